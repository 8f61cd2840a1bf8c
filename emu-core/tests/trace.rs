//! Lines of a trace.

mod common;

use common::*;
use emu_core::observe::Watching;
use emu_core::run::Slice;
use emu_core::state::cpu::Env;
use emu_core::testing::Bench;
use emu_core::trace::{TraceFilter, Tracer};

/// Runs for 100 cycles; the lines without the blanks between their columns.
fn traced(bench: &mut Bench, filter: TraceFilter) -> Vec<String> {
    let mut tracer = Tracer::new(filter, String::new());
    let mut env = Env { ram: &mut bench.ram, bus: &mut bench.bus, outbox: &mut bench.outbox };
    bench.cpu.run_slice(&mut env, &mut bench.cache, Slice::turn(100), Some(Watching::new(&mut tracer)));
    tracer.finish();
    tracer.sink().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn line_has_place_instruction_accesses_and_changed_registers() {
    // mov eax,12h; mov [500h],eax; push ds; out 80h,al; hlt
    let code = [0xB8, 0x12, 0, 0, 0, 0xA3, 0, 5, 0, 0, 0x1E, 0xE6, 0x80, 0xF4];
    let lines = traced(&mut protected(&code, 0), TraceFilter::default());
    assert_eq!(
        lines,
        [
            "0 0 0008:00007c00 00007c00 b812000000 mov eax,0x12 RAX=12",
            "1 0 0008:00007c05 00007c05 a300050000 mov [0x500],eax w4[500]=12",
            "2 0 0008:00007c0a 00007c0a 1e push ds w2[4ffc]=10 RSP=4ffc",
            "3 0 0008:00007c0b 00007c0b e680 out 0x80,al out1[80]=12",
            "4 0 0008:00007c0d 00007c0d f4 hlt",
        ]
    );
}

#[test]
fn instruction_that_faults_shows_the_event_and_what_it_changed() {
    // ud2
    let lines = traced(&mut protected(&[0x0F, 0x0B], 3), TraceFilter::default());
    let [fault, handler] = &lines[..] else { panic!("{lines:?}") };
    assert!(fault.starts_with("0 0 001b:00007c00 00007c00 0f0b ud2 "), "{fault}");
    assert!(fault.contains("-> #UD RSP=5fec") && fault.ends_with("CS=0008 SS=0010"), "{fault}");
    assert!(handler.contains("0008:00009006 00009006 f4 hlt"), "{handler}");
}

/// Who watches memory sees it all by the slow path; in the last page of all there is nothing either.
#[test]
fn access_to_the_last_page_faults_whoever_watches_memory() {
    // mov eax,[rbx]; mov [rbx],eax; add [rbx],eax
    for code in [[0x8B, 0x03], [0x89, 0x03], [0x01, 0x03]] {
        for address in [0xFFFF_FFFF_FFFF_F000, 0xFFFF_FFFF_FFFF_FFF8, u64::MAX] {
            let mut bench = long(&code);
            bench.cpu.gpr[3] = address;
            let lines = traced(&mut bench, TraceFilter::default());
            assert!(lines[0].contains("-> #PF"), "{address:#x}: {lines:?}");
        }
    }
}

/// What a delivery pushes is told whether or not the TLB knows the stack.
#[test]
fn every_push_of_a_delivery_is_told() {
    // push rax; ud2
    let lines = traced(&mut long(&[0x50, 0x0F, 0x0B]), TraceFilter::default());
    assert_eq!(lines[0].matches(" w8[").count(), 1, "{lines:?}");
    assert_eq!(lines[1].matches(" w8[").count(), 5, "{lines:?}");
}

#[test]
fn repeated_instruction_has_a_line_for_each_iteration() {
    // mov ecx,3; mov edi,600h; rep stosb; hlt
    let code = [0xB9, 3, 0, 0, 0, 0xBF, 0, 6, 0, 0, 0xF3, 0xAA, 0xF4];
    let lines = traced(&mut protected(&code, 0), TraceFilter::default());
    let stores: Vec<&str> = lines.iter().filter_map(|line| line.split_once("rep stosb ")).map(|line| line.1).collect();
    assert_eq!(stores, ["w1[600]=0 RCX=2 RDI=601", "w1[601]=0 RCX=1 RDI=602", "w1[602]=0 RCX=0 RDI=603"]);
}

#[test]
fn filter_takes_cycles_from_the_first_to_before_the_last_of_one_processor() {
    let code = [0x90, 0x90, 0x90, 0x90, 0xF4];
    let filter = TraceFilter { cpu: Some(0), from: 1, to: 3 };
    let lines = traced(&mut protected(&code, 0), filter);
    let cycles: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(cycles, ["1", "2"]);
    assert!(traced(&mut protected(&code, 0), TraceFilter { cpu: Some(1), ..filter }).is_empty());
}

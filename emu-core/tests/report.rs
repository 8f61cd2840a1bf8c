//! Reports of a processor: looking changes nothing, the last exceptions, the text.

mod common;

use common::*;
use emu_core::report::{CpuReport, Detail};
use emu_core::run::RunExit;
use emu_core::testing::{Bench, PAGE_PRESENT};
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::vector;

fn report(bench: &Bench) -> CpuReport {
    CpuReport::new(&bench.cpu, &bench.ram)
}

fn peek(bench: &Bench, linear: u64, len: usize) -> Vec<u8> {
    let mut buffer = vec![0; len];
    let read = bench.cpu.peek_linear(&bench.ram, linear, &mut buffer);
    buffer.truncate(read);
    buffer
}

#[test]
fn peek_follows_the_paging_structures_and_sets_no_flag() {
    let mut bench = Bench::long_mode(&[0x90]);
    // Not accessed, supervisor, no write, and at an address far from the page's.
    bench.map(0x7FFF_FFFF_F000, 0x5000, PAGE_PRESENT);
    bench.ram.dma_write(0x5000, b"far");
    let before = bench.ram.ram().to_vec();
    let misses = bench.cpu.tlb.misses;
    assert_eq!(peek(&bench, 0x7FFF_FFFF_F000, 3), b"far");
    assert_eq!(peek(&bench, 0x7FFF_FFFF_FFFE, 8).len(), 2, "up to where nothing is mapped");
    assert!(peek(&bench, 0x8000_0000_0000, 1).is_empty(), "not canonical");
    assert!(bench.ram.ram() == before && bench.cpu.tlb.misses == misses);
}

#[test]
fn peek_knows_32_bit_pae_and_no_paging() {
    let mut bench = protected(&[0x90], 0);
    bench.ram.dma_write(0x40_0000 - 4, b"page");
    assert_eq!(peek(&bench, 0x40_0000 - 4, 4), b"page");
    // A page directory with a page of 4 MiB and a page table.
    write(&mut bench, 0x10000, 0x83 | 0x11003 << 32);
    write(&mut bench, 0x11000, 0x3F_F003);
    bench.cpu.sys.cr3 = 0x10000;
    bench.cpu.sys.cr4 |= Cr4::PSE;
    bench.cpu.sys.cr0 |= Cr0::PG;
    bench.cpu.refresh();
    assert_eq!(peek(&bench, 0x40_0FFC, 4), b"page");
    assert_eq!(peek(&bench, 0x3F_FFFC, 8).len(), 8);
    bench.cpu.sys.pdptes[3] = 0x12001;
    write(&mut bench, 0x12FF8, 0x20_0083);
    bench.cpu.sys.cr4 |= Cr4::PAE;
    bench.cpu.refresh();
    assert_eq!(peek(&bench, 0xFFFF_FFFC, 4), b"page");
    assert!(peek(&bench, 0x0000_7C00, 1).is_empty());
}

#[test]
fn peek_asks_no_device_and_not_the_local_apic() {
    let bench = Bench::real_mode(&[0x90]);
    for address in [0xFEE0_0000, 0xFEC0_0000, 0xA_0000] {
        assert!(peek(&bench, address, 4).is_empty(), "{address:#x}");
    }
}

#[test]
fn chain_of_exceptions_that_ends_in_a_triple_fault_is_told_whole() {
    // int3, whose gate's segment is no code; nor are those of #GP and #DF.
    let mut bench = protected(&[0xCC], 0);
    for n in [vector::BP, vector::GP, vector::DF] {
        write(&mut bench, IDT + u64::from(n) * 8, gate(ABSENT, 0x9000, 0x8E, 0));
    }
    assert_eq!(bench.run(100), RunExit::Stopped);
    let report = report(&bench);
    assert!(report.is_shut_down());
    let [chain] = &report.exceptions[..] else { panic!("{:?}", report.exceptions) };
    assert_eq!(chain.text, "#BP -> #GP(0x40) -> #GP(0x41) -> #DF(0x0) -> #GP(0x41) -> triple fault");
    assert_eq!((chain.cs.0, chain.rip.0, chain.outcome), (CODE0.into(), START + 1, "triple fault"));
    assert!(chain.events[3].delivered && !chain.events[2].delivered);
}

#[test]
fn exceptions_that_are_handled_are_chains_of_their_own_with_cr2() {
    let mut bench = long(&[0x8B, 0x04, 0x25, 0, 0, 0x40, 0]);
    // mov eax,[400000h]: not mapped; the handler's HLT ends it. Then ud2.
    bench.run(100);
    bench.ram.dma_write(START, &[0x0F, 0x0B]);
    bench.cpu.set_rip(START);
    bench.cpu.sys.activity = emu_core::state::system::Activity::Active;
    bench.cpu.refresh();
    bench.run(100);
    let report = report(&bench);
    let texts: Vec<&str> = report.exceptions.iter().map(|chain| chain.text.as_str()).collect();
    assert_eq!(texts, ["#PF(0x0, CR2=0x400000)", "#UD"]);
    let text = report.text(Detail::Full);
    assert!(text.contains("last exception: #UD\n    at 0038:0x7c00, CPL 0, cycle "), "{text}");
    assert!(text.contains("before that: #PF(0x0, CR2=0x400000)"), "{text}");
}

#[test]
fn interrupt_that_is_delivered_is_no_exception_and_one_that_fails_is() {
    // int 80h; int 81h, which is beyond the IDT
    let mut bench = protected(&[0xCD, 0x80], 0);
    bench.run(100);
    assert!(report(&bench).exceptions.is_empty());
    let mut bench = protected(&[0xCD, 0x81], 0);
    bench.run(100);
    let chains = report(&bench).exceptions;
    assert_eq!(chains[0].text, "INT 81h -> #GP(0x40a)");
    assert_eq!(chains[0].events[1].meaning.as_deref(), Some("IDT entry 0x81"));
}

#[test]
fn no_more_exceptions_are_kept_than_promised() {
    // jmp $ with a #UD that returns to itself: an IRET handler.
    let mut bench = protected(&[0x0F, 0x0B], 0);
    bench.ram.dma_write(HANDLERS + u64::from(vector::UD), &[0xCF]);
    bench.run(10_000);
    assert_eq!(report(&bench).exceptions.len(), emu_core::state::history::KEPT);
}

#[test]
fn text_shows_registers_as_wide_as_the_mode_and_the_next_instruction() {
    // mov eax,12345678h; hlt
    let mut bench = protected(&[0xB8, 0x78, 0x56, 0x34, 0x12, 0xF4, 0x90], 0);
    bench.run(100);
    let found = report(&bench);
    let text = found.text(Detail::Short);
    assert!(text.starts_with("processor 0: 32-bit protected mode, CPL 0, no paging, halted with interrupts off\n"));
    assert!(text.contains("  EAX=12345678 ECX="), "{text}");
    assert!(
        text.contains("    0008:00007c05  f4               hlt\n  > 0008:00007c06  90               nop\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 6, "{text}");
    assert_eq!(found.text(Detail::Line).lines().count(), 1);
    assert_eq!(found.registers.get("RAX"), Some(0x1234_5678));
    let mut bench = long(&[0xF4]);
    bench.run(100);
    let full = report(&bench).text(Detail::Full);
    assert!(full.contains("  RAX=0000000000000000 RCX="), "{full}");
    assert!(full.contains("  CS   0038 base=0000000000000000 limit=ffffffff 64-bit code, DPL 0\n"), "{full}");
    assert!(full.lines().all(|line| line.len() <= 80), "{full}");
}

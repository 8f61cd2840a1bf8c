//! What a program can read and write of a machine that it owns.

use emu_devices::input::InputEvent;
use emu_devices::pc::{AccessError, Pc, PcExit};

fn pc() -> Pc {
    Pc::builder().memory(4 << 20).build().expect("the host has memory")
}

/// A machine whose processor is about to execute `code` at 0:7C00h.
fn at(code: &[u8]) -> Pc {
    let mut pc = pc();
    pc.write_physical(0x7C00, code).expect("RAM");
    let cs = &mut pc.cpus[0].sys.segments[1];
    (cs.selector, cs.base) = (0, 0);
    pc.set_register(0, "RIP", 0x7C00).expect("RIP");
    pc
}

#[test]
fn memory_written_is_read_back_across_pages() {
    let mut pc = pc();
    let bytes: Vec<u8> = (0..9000).map(|n| n as u8).collect();
    pc.write_physical(0x10_0FFF, &bytes).unwrap();
    let mut back = vec![0; 9000];
    pc.read_linear(0, 0x10_0FFF, &mut back).unwrap();
    assert_eq!(back, bytes);
    pc.write_linear(0, 0x10_0FFF, &[7]).unwrap();
    pc.read_physical(0x10_0FFF, &mut back[..1]).unwrap();
    assert_eq!(back[0], 7);
}

#[test]
fn memory_that_is_none_or_rom_is_an_error_and_nothing_changes() {
    let mut pc = pc();
    let end = 4 << 20;
    assert_eq!(pc.write_physical(end - 2, &[1, 2, 3]), Err(AccessError::NotMemory { physical: end }));
    let mut buffer = [9; 2];
    pc.read_physical(end - 2, &mut buffer).unwrap();
    assert_eq!(buffer, [0, 0]);
    assert_eq!(pc.read_physical(u64::MAX, &mut buffer), Err(AccessError::NotMemory { physical: u64::MAX }));
    assert_eq!(pc.write_physical(0xFFFF_FFF0, &[0]), Err(AccessError::Rom { physical: 0xFFFF_FFF0 }));
    assert_eq!(pc.read_physical(0xB_8000, &mut buffer), Err(AccessError::NotMemory { physical: 0xB_8000 }));
    assert_eq!(pc.read_linear(1, 0, &mut buffer), Err(AccessError::NoProcessor { processor: 1, processors: 1 }));
}

#[test]
fn code_written_under_decoded_code_is_what_runs() {
    let mut pc = at(&[0x40, 0xEB, 0xFD]); // inc ax; jmp
    assert_eq!(pc.run_for(1000), PcExit::Limit);
    assert!(pc.register(0, "AX").unwrap() > 100);
    pc.write_linear(0, 0x7C00, &[0x43]).unwrap(); // inc bx
    pc.set_register(0, "AX", 0).unwrap();
    pc.run_for(1000);
    assert!(pc.register(0, "AX").unwrap() <= 1 && pc.register(0, "BX").unwrap() > 100);
    assert_eq!(pc.now(), 2000);
}

#[test]
fn looking_at_everything_leaves_the_run_as_it_is() {
    let (mut looked_at, mut alone) = (at(&[0x40, 0xEB, 0xFD]), at(&[0x40, 0xEB, 0xFD]));
    for _ in 0..20 {
        looked_at.run_for(77);
        looked_at.read_linear(0, 0x7C00, &mut [0; 64]).unwrap();
        looked_at.register(0, "IA32_TIME_STAMP_COUNTER").unwrap();
        looked_at.disassemble(0, 0x7C00, 10).unwrap();
        assert!(looked_at.vmcs(0).is_none() && looked_at.vmcs(9).is_none());
    }
    alone.run_until(20 * 77);
    assert_eq!(looked_at.state_hash(), alone.state_hash());
}

#[test]
fn registers_have_their_names_parts_and_limits() {
    let mut pc = pc();
    pc.set_register(0, "rax", 0x1111_2222_3333_4444).unwrap();
    for (name, value) in [("AH", 0x55), ("al", 0x66), ("R9d", 7), ("SPL", 8), ("r15", 9)] {
        pc.set_register(0, name, value).unwrap();
        assert_eq!(pc.register(0, name), Ok(value));
    }
    assert_eq!(pc.register(0, "RAX"), Ok(0x1111_2222_3333_5566));
    pc.set_register(0, "EAX", 1).unwrap();
    assert_eq!(pc.register(0, "RAX"), Ok(1));
    assert_eq!(pc.register(0, "CS"), Ok(0xF000));
    assert_eq!(pc.register(0, "CR0"), Ok(0x6000_0010));
    assert_eq!(pc.register(0, "IA32_APIC_BASE"), Ok(0xFEE0_0900));
    pc.set_register(0, "RFLAGS", 0x202).unwrap();
    assert_eq!(pc.register(0, "eflags"), Ok(0x202));
    assert_eq!(pc.register(0, "R16"), Err(AccessError::NoRegister("R16".into())));
    assert_eq!(pc.set_register(0, "cr3", 0), Err(AccessError::NotSettable("CR3".into())));
    let wide = AccessError::TooWide { register: "AL".into(), value: 256 };
    assert_eq!(pc.set_register(0, "AL", 256), Err(wide));
}

#[test]
fn disassembly_begins_at_a_linear_address_and_names_offsets() {
    let pc = at(&[0xB8, 0x34, 0x12, 0xEB, 0xFE]);
    let list = pc.disassemble(0, 0x7C00, 2).unwrap();
    assert_eq!(list.iter().map(|line| &*line.text).collect::<Vec<_>>(), ["mov ax,0x1234", "jmp short 0x7c03"]);
    assert_eq!(pc.disassemble(0, 0xB_8000, 5).unwrap()[0].text, "(not mapped)");
}

#[test]
fn writes_during_a_recording_must_come_by_the_door() {
    let mut pc = pc();
    pc.board.take_recorded();
    assert_eq!(pc.write_physical(0, &[1]), Err(AccessError::Recorded));
    assert_eq!(pc.set_register(0, "RAX", 1), Err(AccessError::Recorded));
    pc.inject(0, InputEvent::WriteMemory { address: 0, bytes: vec![1] }).unwrap();
    pc.run_for(1);
    assert_eq!(pc.board.take_recorded().len(), 1);
}

//! Linear addresses: 32 bits outside of 64-bit mode, whoever makes them, and what accesses to two pages do.

use emu_core::fault::{Fault, Stop};
use emu_core::model::CpuModel;
use emu_core::state::derived::Size;
use emu_core::state::system::DescriptorTable;
use emu_core::testing::{Bench, PAGE_PRESENT, PAGE_USER, PAGE_WRITABLE};
use emu_vmx::arch::cr::Dr7;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};
use emu_vmx::arch::vector;

const RIGHTS: u64 = PAGE_PRESENT | PAGE_WRITABLE | PAGE_USER;
/// The page that 32-bit addresses lead to, and the one 4 GiB above it, which none leads to.
const LOW: u64 = 0x9000;
const HIGH: u64 = 0x1_0000_9000;
const HIGH_AT: u64 = 0x2_0000;

/// Compatibility mode at CPL 0, with translations above 4 GiB that 64-bit code has used.
fn compatibility_mode(code: &[u8]) -> Bench {
    let mut bench = Bench::long_mode(code);
    bench.map(HIGH, HIGH_AT, RIGHTS);
    bench.map(1 << 32, HIGH_AT + 0x1000, RIGHTS);
    bench.map(0xFFFF_F000, HIGH_AT + 0x2000, RIGHTS);
    for at in [HIGH, 1 << 32] {
        let filled = bench.with_env(|cpu, env| cpu.write::<u64>(env, DS, at, 0xEEEE_EEEE_EEEE_EEEE));
        assert_eq!(filled, Ok(()));
    }
    bench.set_flat_segments(Size::Bits32, 0);
    bench
}

const DS: u8 = SegmentRegister::Ds as u8;

/// Gives a segment register a base as a MOV to it and then 64-bit code's WRMSR leave it.
fn set_base(bench: &mut Bench, register: SegmentRegister, base: u64) {
    let flat = bench.cpu.sys.segments[SegmentRegister::Ds as usize];
    let code = bench.cpu.sys.segments[SegmentRegister::Cs as usize];
    let rights = if register == SegmentRegister::Cs { code } else { flat };
    bench.cpu.sys.segments[register as usize] = Segment { base, ..rights };
    bench.cpu.refresh();
}

/// Bases and offsets whose sums have `LOW` in their low 32 bits.
const SUMS: [(u64, u64); 4] =
    [(0xFFFF_F000, 0xA000), (0xC000_0000, 0x4000_9000), (1 << 32, LOW), (0x7_FFFF_F000, 0xA000)];

/// SDM Vol. 3A 3.3.4 "Canonical Addressing" and 3.4.4 "Segment Loading Instructions in IA-32e Mode": in compatibility mode
/// FS and GS bases, too, give 32-bit linear addresses.
#[test]
fn address_in_compatibility_mode_is_cut_to_32_bits() {
    // With FS: mov eax,[ebx]; mov [ebx],ecx; add [ebx],ecx; xchg [ebx],ecx; movups xmm0,[ebx]; movups [ebx],xmm0;
    // push dword [ebx]; pop dword [ebx]; lodsd; movsd; fld qword [ebx]; cmpxchg8b [ebx]; bt [ebx],ecx; inc byte [ebx]
    let codes: [&[u8]; 14] = [
        &[0x64, 0x8B, 0x03],
        &[0x64, 0x89, 0x0B],
        &[0x64, 0x01, 0x0B],
        &[0x64, 0x87, 0x0B],
        &[0x64, 0x0F, 0x10, 0x03],
        &[0x64, 0x0F, 0x11, 0x03],
        &[0x64, 0xFF, 0x33],
        &[0x64, 0x8F, 0x03],
        &[0x64, 0xAD],
        &[0x64, 0xA5],
        &[0x64, 0xDD, 0x03],
        &[0x64, 0x0F, 0xC7, 0x0B],
        &[0x64, 0x0F, 0xA3, 0x0B],
        &[0x64, 0xFE, 0x03],
    ];
    for (base, offset) in SUMS {
        for code in codes {
            let mut bench = compatibility_mode(code);
            set_base(&mut bench, SegmentRegister::Fs, base);
            bench.ram.dma_write(LOW, &[0x11; 16]);
            (bench.cpu.gpr[3], bench.cpu.gpr[6], bench.cpu.gpr[7]) = (offset, offset, 0xB000);
            bench.cpu.gpr[1] = 1;
            let before = bench.ram.load(HIGH_AT as usize, 8);
            // 4 GiB above, a read would find other bytes, or a page that is not mapped.
            assert_eq!(bench.step(), Ok(()), "{code:x?} at {base:#x} + {offset:#x}: {:?}", bench.cpu.scratch.fault);
            assert_eq!(bench.ram.load(HIGH_AT as usize, 8), before, "{code:x?}");
            let read = match code[1..] {
                [0x8B, ..] | [0xAD] => bench.cpu.gpr[0],
                [0x87, ..] => bench.cpu.gpr[1],
                [0x0F, 0x10, ..] => bench.cpu.fpu.vectors[0].0[0] & 0xFFFF_FFFF,
                [0xFF, ..] => bench.ram.load(bench.cpu.gpr[4] as usize, 4),
                [0xA5] => bench.ram.load(0xB000, 4),
                [0x0F, 0xC7, ..] => bench.cpu.gpr[0],
                _ => continue,
            };
            assert_eq!(read, 0x1111_1111, "{code:x?} at {base:#x} + {offset:#x}");
        }
    }
}

#[test]
fn access_that_crosses_4_gib_in_compatibility_mode_goes_on_at_0() {
    // mov eax,fs:[ebx]; mov fs:[ebx],ecx
    for write in [false, true] {
        let mut bench = compatibility_mode(if write { &[0x64, 0x89, 0x0B] } else { &[0x64, 0x8B, 0x03] });
        set_base(&mut bench, SegmentRegister::Fs, 0xFFFF_F000);
        bench.ram.dma_write(HIGH_AT + 0x2FFE, &[1, 2]);
        bench.ram.dma_write(0, &[3, 4]);
        (bench.cpu.gpr[3], bench.cpu.gpr[1]) = (0xFFE, 0x0807_0605);
        assert_eq!(bench.step(), Ok(()));
        if write {
            assert_eq!((bench.ram.load(HIGH_AT as usize + 0x2FFE, 2), bench.ram.load(0, 2)), (0x0605, 0x0807));
        } else {
            assert_eq!(bench.cpu.gpr[0], 0x0403_0201);
        }
    }
}

/// SDM Vol. 3A 2.4, "Memory Management Registers": they hold 64-bit addresses in IA-32e mode.
#[test]
fn descriptor_table_above_4_gib_is_used_in_compatibility_mode() {
    // mov es,ax
    let mut bench = compatibility_mode(&[0x8E, 0xC0]);
    let data = Segment { base: 0x1234, ..bench.cpu.sys.segments[SegmentRegister::Ds as usize] };
    bench.ram.dma_write(HIGH_AT + 0x10, &data.to_descriptor().to_le_bytes());
    bench.cpu.sys.gdtr = DescriptorTable { base: HIGH, limit: 0x17 };
    bench.cpu.gpr[0] = 0x10;
    assert_eq!(bench.step(), Ok(()));
    assert_eq!(bench.cpu.sys.segments[SegmentRegister::Es as usize].base, 0x1234);
}

#[test]
fn instruction_and_its_breakpoint_in_compatibility_mode_are_cut_to_32_bits() {
    for (base, offset) in SUMS.into_iter().filter(|(base, _)| base >> 32 == 0) {
        let mut bench = compatibility_mode(&[]);
        bench.ram.dma_write(LOW, &[0xB0, 0x42]); // mov al,42h
        set_base(&mut bench, SegmentRegister::Cs, base);
        bench.cpu.set_rip(offset);
        (bench.cpu.sys.dr[0], bench.cpu.sys.dr7) = (LOW, Dr7::from_write(Dr7::L0.bits()));
        assert_eq!(bench.cpu.code_breakpoint_hits(), Some(1));
        assert_eq!(bench.step(), Ok(()));
        assert_eq!(bench.cpu.gpr[0] & 0xFF, 0x42);
    }
}

#[test]
fn instruction_that_crosses_4_gib_in_compatibility_mode_goes_on_at_0() {
    let mut bench = compatibility_mode(&[]);
    bench.ram.dma_write(HIGH_AT + 0x2FFE, &[0xB8, 0x01]); // mov eax,04030201h
    bench.ram.dma_write(0, &[0x02, 0x03, 0x04]);
    set_base(&mut bench, SegmentRegister::Cs, 0xFFFF_F000);
    bench.cpu.set_rip(0xFFE);
    for _ in 0..2 {
        bench.cpu.set_rip(0xFFE);
        assert_eq!(bench.step(), Ok(()));
        assert_eq!(bench.cpu.gpr[0], 0x0403_0201);
    }
}

#[test]
fn eip_behind_4_gib_is_0() {
    let mut bench = compatibility_mode(&[]);
    bench.ram.dma_write(HIGH_AT + 0x2FFF, &[0x90]); // nop
    bench.ram.dma_write(0, &[0xB0, 0x42]); // mov al,42h
    bench.cpu.set_rip(0xFFFF_FFFF);
    assert_eq!((bench.step(), bench.step()), (Ok(()), Ok(())));
    assert_eq!((bench.cpu.gpr[0] & 0xFF, bench.cpu.rip()), (0x42, 2));
}

/// Where the last entry for `linear` is.
fn page_table_entry(bench: &Bench, linear: u64) -> u64 {
    let mut table = bench.cpu.sys.cr3;
    for level in [3, 2, 1] {
        table = bench.ram.load((table + (linear >> (12 + 9 * level) & 0x1FF) * 8) as usize, 8) & !0xFFF;
    }
    table + (linear >> 12 & 0x1FF) * 8
}

#[test]
fn invlpg_in_compatibility_mode_invalidates_the_32_bit_address() {
    for (base, offset) in SUMS {
        // invlpg fs:[ebx]; mov eax,[ecx]
        let mut bench = compatibility_mode(&[0x64, 0x0F, 0x01, 0x3B, 0x8B, 0x01]);
        set_base(&mut bench, SegmentRegister::Fs, base);
        bench.ram.dma_write(LOW, &[0x11; 4]);
        bench.ram.dma_write(0xB000, &[0x22; 4]);
        assert_eq!(bench.with_env(|cpu, env| cpu.read::<u32>(env, DS, LOW)), Ok(0x1111_1111));
        let entry = page_table_entry(&bench, LOW);
        bench.ram.dma_write(entry, &(0xB000 | RIGHTS | 0x60).to_le_bytes());
        assert_eq!(bench.with_env(|cpu, env| cpu.read::<u32>(env, DS, LOW)), Ok(0x1111_1111), "the TLB has it");
        (bench.cpu.gpr[3], bench.cpu.gpr[1]) = (offset, LOW);
        assert_eq!((bench.step(), bench.step()), (Ok(()), Ok(())));
        assert_eq!(bench.cpu.gpr[0], 0x2222_2222, "{base:#x} + {offset:#x}");
    }
}

/// Physical addresses from here on are nobody's, and read as ones.
const NOWHERE: u64 = 0x50_0000;

#[test]
fn instruction_across_ram_and_a_device_is_decoded_from_both_and_no_further() {
    // What stands before the page's end, how many bytes of ones follow, and what RAX is then.
    let cases: [(&[u8], u64, u64); 3] =
        [(&[0xB0], 1, 0xFF), (&[0xB8], 4, 0xFFFF_FFFF), (&[0x48, 0xC7, 0xC0, 0xFF], 3, u64::MAX)];
    for (code, from_device, rax) in cases {
        let mut bench = Bench::long_mode(&[]);
        bench.map(0xA000, NOWHERE, RIGHTS);
        let start = 0xA000 - code.len() as u64;
        bench.ram.dma_write(start, code);
        // Bytes that must not be taken for the second page's.
        bench.ram.dma_write(0x9000, &[0x90; 16]);
        bench.cpu.set_rip(start);
        assert_eq!(bench.step(), Ok(()), "{code:x?}");
        assert_eq!((bench.cpu.gpr[0], bench.cpu.rip()), (rax, 0xA000 + from_device), "{code:x?}");
        let read: Vec<_> = (0..from_device).map(|n| (NOWHERE + n, 1)).collect();
        assert_eq!(bench.bus.read, read, "{code:x?}");
    }
}

#[test]
fn instruction_at_the_end_of_a_devices_page_touches_no_other() {
    let mut bench = Bench::long_mode(&[]);
    bench.map(0xA000, NOWHERE, RIGHTS);
    bench.map(0xB000, 0, 0);
    bench.cpu.set_rip(0xAFFE);
    // FF FF is no instruction.
    assert_eq!(bench.step(), Err(Stop::Fault));
    assert_eq!(bench.cpu.scratch.fault, Fault::exception(vector::UD));
    assert_eq!(bench.bus.read, [(NOWHERE + 0xFFE, 1), (NOWHERE + 0xFFF, 1)]);
    bench.cpu.set_rip(0xAFFF);
    assert_eq!(bench.step(), Err(Stop::Fault));
    assert_eq!((bench.cpu.scratch.fault.vector, bench.cpu.sys.cr2), (vector::PF, 0xB000));
}

/// SDM Vol. 3A Table 6-2 "Priority Among Concurrent Events": the segment limit of an instruction comes before the page.
#[test]
fn instruction_across_the_cs_limit_and_an_absent_page_is_gp() {
    let mut bench = Bench::long_mode(&[]);
    bench.set_flat_segments(Size::Bits32, 0);
    bench.map(0xA000, 0, 0);
    bench.ram.dma_write(0x9FFF, &[0xB0]); // mov al,imm8
    for (limit, expected) in [(0x9FFF, vector::GP), (0xA000, vector::PF)] {
        bench.cpu.sys.segments[SegmentRegister::Cs as usize].limit = limit;
        bench.cpu.refresh();
        bench.cpu.set_rip(0x9FFF);
        assert_eq!(bench.step(), Err(Stop::Fault));
        assert_eq!(bench.cpu.scratch.fault.vector, expected, "limit {limit:#x}");
    }
}

/// SDM Vol. 3A 4.8 "Accessed and Dirty Flags": the dirty flag is set when the page is written.
#[test]
fn store_across_two_pages_leaves_the_dirty_flag_of_the_first_if_the_second_faults() {
    const DIRTY: u64 = 1 << 6;
    // mov [rbx],eax; add [rbx],eax; xchg [rbx],eax; movups [rbx],xmm0; push rax; call $+5; stosq; movsq; cmpxchg8b [rbx];
    // fst qword [rbx]; enter 0,0; fxsave [rcx]
    let codes: [&[u8]; 12] = [
        &[0x89, 0x03],
        &[0x01, 0x03],
        &[0x87, 0x03],
        &[0x0F, 0x11, 0x03],
        &[0x50],
        &[0xE8, 0, 0, 0, 0],
        &[0x48, 0xAB],
        &[0x48, 0xA5],
        &[0x0F, 0xC7, 0x0B],
        &[0xDD, 0x13],
        &[0xC8, 0, 0, 0],
        &[0x0F, 0xAE, 0x01],
    ];
    for code in codes {
        for present in [false, true] {
            let mut bench = Bench::long_mode(code);
            for page in [0x9000, 0xA000] {
                bench.map(page, page, RIGHTS);
                let entry = page_table_entry(&bench, page);
                bench.ram.dma_write(entry, &(page | if present || page == 0x9000 { RIGHTS } else { 0 }).to_le_bytes());
            }
            bench.cpu.flush_tlb();
            (bench.cpu.gpr[3], bench.cpu.gpr[1], bench.cpu.gpr[4]) = (0x9FFE, 0x9F00, 0xA006);
            (bench.cpu.gpr[7], bench.cpu.gpr[6]) = (0x9FFE, 0x8000);
            let result = bench.step();
            let dirty = |page| bench.ram.load(page_table_entry(&bench, page) as usize, 8) & DIRTY != 0;
            if present {
                assert_eq!((result, dirty(0x9000), dirty(0xA000)), (Ok(()), true, true), "{code:x?}");
            } else {
                assert_eq!((result, bench.cpu.scratch.fault.vector), (Err(Stop::Fault), vector::PF), "{code:x?}");
                assert_eq!((bench.cpu.sys.cr2, dirty(0x9000)), (0xA000, false), "{code:x?}");
            }
        }
    }
}

#[test]
fn store_across_two_absent_pages_faults_at_the_first() {
    let mut bench = Bench::long_mode(&[0x89, 0x03]); // mov [rbx],eax
    bench.map(0x9000, 0, 0);
    bench.map(0xA000, 0, 0);
    bench.cpu.gpr[3] = 0x9FFE;
    assert_eq!(bench.step(), Err(Stop::Fault));
    assert_eq!(bench.cpu.sys.cr2, 0x9FFE);
}

/// SDM Vol. 2A, CLFLUSH: it "is allowed to flush a linear address in an execute-only segment".
#[test]
fn cache_line_instructions_in_an_execute_only_segment_do_not_fault() {
    // With CS: clflush [ebx]; clflushopt [ebx]; clwb [ebx]
    for code in [&[0x2E, 0x0F, 0xAE, 0x3B][..], &[0x2E, 0x66, 0x0F, 0xAE, 0x3B], &[0x2E, 0x66, 0x0F, 0xAE, 0x33]] {
        let mut bench = Bench::new(CpuModel::everything());
        bench.ram.dma_write(0x7C00, code);
        bench.cpu.sys.cr0 |= emu_vmx::arch::cr::Cr0::PE;
        bench.set_flat_segments(Size::Bits32, 0);
        let cs = &mut bench.cpu.sys.segments[SegmentRegister::Cs as usize];
        (cs.limit, cs.access_rights) = (0xFFFF, cs.access_rights - AccessRights::READ_WRITE);
        bench.cpu.refresh();
        for (offset, expected) in [(0xFFFF, Ok(())), (0x1_0000, Err(Stop::Fault))] {
            bench.cpu.set_rip(0x7C00);
            bench.cpu.gpr[3] = offset;
            assert_eq!(bench.step(), expected, "{code:x?}");
        }
        assert_eq!(bench.cpu.scratch.fault, Fault::with_code(vector::GP, 0));
    }
}

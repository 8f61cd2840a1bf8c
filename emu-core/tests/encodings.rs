//! VEX, EVEX and XOP encodings need protected mode: every class of exceptions in SDM Vol. 2A 2.4 (VEX), 2.5.1 (VEX-encoded
//! general instructions) and 2.8 (EVEX) has #UD in real-address and virtual-8086 mode.

use emu_core::fault::{Fault, Stop};
use emu_core::flags::VM;
use emu_core::model::CpuModel;
use emu_core::state::derived::Size;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::segment::{Segment, SegmentRegister};
use emu_vmx::arch::vector;
use iced_x86::{Decoder, DecoderOptions, EncodingKind};

const START: u64 = 0x7C00;

/// A processor with every feature, on which the operating system has enabled vectors.
fn everything() -> Bench {
    let mut bench = Bench::new(CpuModel::everything());
    bench.cpu.sys.cr4 |= Cr4::OSXSAVE | Cr4::OSFXSR;
    bench.cpu.sys.xcr0 = 0xE7;
    bench.cpu.load_real_segment(SegmentRegister::Cs, 0);
    bench.cpu.refresh();
    bench
}

/// Every prefix, map and opcode, with a register and a memory operand, that is an instruction in 16-bit code.
fn encodings() -> Vec<Vec<u8>> {
    let mut prefixes = Vec::new();
    for low in (0..8).flat_map(|low| [0xF8 | low, 0x80 | 0x78 | low]) {
        prefixes.push(vec![0xC5, low | 0xC0]);
        for map in 1..=3 {
            prefixes.push(vec![0xC4, 0xE0 | map, low]);
            prefixes.push(vec![0xC4, 0xE0 | map, low & 0x7F]);
        }
        for map in 8..=10 {
            prefixes.push(vec![0x8F, 0xE0 | map, low & 0x7F]);
        }
    }
    for (map, pp, w) in (1..=6).flat_map(|map| (0..4).flat_map(move |pp| [(map, pp, 0), (map, pp, 0x80)])) {
        for length in [0x08, 0x28, 0x48] {
            prefixes.push(vec![0x62, 0xF0 | map, 0x7C | pp | w, length]);
        }
    }
    prefixes.sort();
    prefixes.dedup();
    let operands = [0xC1, 0x07, 0x0F, 0x17];
    let all = prefixes.iter().flat_map(|prefix| {
        (0..=255u8).flat_map(move |opcode| operands.map(|operand| [&prefix[..], &[opcode, operand, 0, 0, 0]].concat()))
    });
    all.filter(|bytes| {
        let instruction = Decoder::new(16, bytes, DecoderOptions::NONE).decode();
        !instruction.is_invalid() && instruction.code().encoding() != EncodingKind::Legacy
    })
    .collect()
}

fn assert_undefined(bench: &mut Bench, bytes: &[u8]) {
    bench.ram.dma_write(START, bytes);
    bench.cpu.set_rip(START);
    assert_eq!(bench.step(), Err(Stop::Fault), "{bytes:x?}");
    assert_eq!(bench.cpu.scratch.fault, Fault::exception(vector::UD), "{bytes:x?}");
}

#[test]
fn vex_evex_and_xop_in_real_and_virtual_8086_mode_are_undefined() {
    let encodings = encodings();
    assert!(encodings.len() > 2000, "{}", encodings.len());
    let mut real = everything();
    let mut v86 = everything();
    v86.cpu.sys.cr0 |= Cr0::PE;
    v86.cpu.put_flags(VM, true);
    v86.cpu.sys.cpl = 3;
    for register in SegmentRegister::USER {
        v86.cpu.sys.segments[register as usize] = Segment::virtual_8086(0);
    }
    v86.cpu.refresh();
    for bytes in encodings {
        assert_undefined(&mut real, &bytes);
        assert_undefined(&mut v86, &bytes);
    }
}

#[test]
fn vex_code_at_the_same_place_is_defined_again_in_protected_mode() {
    let andn = [0xC4, 0xE2, 0x78, 0xF2, 0xC1]; // andn eax,eax,ecx
    let mut bench = everything();
    assert_undefined(&mut bench, &andn);
    bench.cpu.sys.cr0 |= Cr0::PE;
    bench.set_flat_segments(Size::Bits16, 0);
    (bench.cpu.gpr[0], bench.cpu.gpr[1]) = (0xF0, 0xFF);
    assert_eq!(bench.step(), Ok(()));
    assert_eq!(bench.cpu.gpr[0], 0x0F);
    bench.cpu.sys.cr0 -= Cr0::PE;
    bench.cpu.refresh();
    assert_undefined(&mut bench, &andn);
}

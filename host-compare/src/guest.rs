//! The instruction in the interpreter.

use crate::fpu::Fpu;
use crate::generate::Case;
use crate::layout::{DATA, HIGH_CODE, HIGH_DATA, LOW_CODE, LOW_DATA, PAGE, WRITABLE};
use crate::native::Outcome;
use emu_core::block::tier::Tier;
use emu_core::fault::Stop;
use emu_core::flags;
use emu_core::model::CpuModel;
use emu_core::state::derived::Size;
use emu_core::testing::{Bench, PAGE_PRESENT, PAGE_USER, PAGE_WRITABLE};
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::segment::SegmentRegister;

const DATA_AT: usize = 0x20_0000;
const CODE_AT: usize = 0x21_0000;
/// Goes of a repeated instruction at most.
const MAX_GOES: u64 = 1 << 16;

/// The interpreter with the same memory as the native side.
pub struct Guest {
    bench: Bench,
    wide: bool,
    /// Runs what it can compile; without it everything is interpreted.
    tier: Option<Box<dyn Tier>>,
}

impl Default for Guest {
    fn default() -> Self {
        let mut bench = Bench::long_mode(&[]);
        let user = PAGE_PRESENT | PAGE_USER;
        for base in [LOW_DATA, HIGH_DATA] {
            for offset in (0..DATA).step_by(PAGE as usize) {
                let rights = if offset < WRITABLE { user | PAGE_WRITABLE } else { user };
                bench.map(base + offset as u64, (DATA_AT + offset) as u64, rights);
            }
        }
        for base in [LOW_CODE, HIGH_CODE] {
            bench.map(base, CODE_AT as u64, user);
        }
        for page in (0..0x30_0000).step_by(PAGE as usize) {
            bench.map(page, page, 0);
        }
        bench.cpu.sys.cr0 |= Cr0::NE | Cr0::MP;
        bench.cpu.sys.cr4 |= Cr4::OSFXSR | Cr4::OSXMMEXCPT | Cr4::OSXSAVE;
        bench.cpu.sys.xcr0 = 7;
        bench.set_flat_segments(Size::Bits64, 3);
        bench.cpu.config.model = std::sync::Arc::new(CpuModel::everything());
        // A TSS without an I/O permission bitmap, as Linux gives it to a process that asks for none.
        bench.cpu.sys.segments[SegmentRegister::Tr as usize].limit = 0x60;
        Self { bench, wide: true, tier: None }
    }
}

impl Guest {
    /// From now on the compiled tier runs what it has templates for.
    pub fn compile(&mut self) {
        self.tier = emu_jit::tier(1);
    }

    /// The data, all three pages.
    pub fn data(&self) -> &[u8] {
        &self.bench.ram.bytes()[DATA_AT..DATA_AT + DATA]
    }

    /// Writes data.
    pub fn write_data(&mut self, offset: usize, bytes: &[u8]) {
        self.bench.ram.dma_write((DATA_AT + offset) as u64, bytes);
    }

    /// Makes the code page the same as the native one; `page` is all of it.
    pub fn load_code(&mut self, case: &Case, page: &[u8]) {
        use crate::layout::AT;
        self.bench.ram.dma_write((CODE_AT + AT) as u64, &page[AT..AT + 48]);
        if case.wide != self.wide {
            self.wide = case.wide;
            self.bench.set_flat_segments(if case.wide { Size::Bits64 } else { Size::Bits32 }, 3);
        }
    }

    /// Fills the code page once.
    pub fn fill_code(&mut self, page: &[u8]) {
        self.bench.ram.dma_write(CODE_AT as u64, page);
    }

    /// Runs the instruction that was loaded.
    pub fn run(&mut self, case: &Case) -> Outcome {
        let start = case.start();
        let cpu = &mut self.bench.cpu;
        cpu.gpr[..16].copy_from_slice(&case.gpr);
        cpu.set_flags(case.flags);
        cpu.set_rip(start);
        case.fpu.load(&mut cpu.fpu);
        let mut fault = None;
        for _ in 0..MAX_GOES {
            let done = match &mut self.tier {
                Some(tier) => self.bench.step_compiled(&mut **tier),
                None => self.bench.step(),
            };
            match done {
                Ok(()) if case.repeats && self.bench.cpu.rip() == start => continue,
                Ok(()) => {}
                Err(Stop::Fault) => {
                    let cpu = &self.bench.cpu;
                    let cr2 = if cpu.scratch.fault.vector == 14 { cpu.sys.cr2 } else { 0 };
                    fault = Some((cpu.scratch.fault.vector, cpu.scratch.fault.error_code.unwrap_or(0), cr2));
                }
                Err(stop) => panic!("{stop:?} from an instruction in user mode"),
            }
            break;
        }
        let cpu = &self.bench.cpu;
        let mut gpr = [0; 16];
        gpr.copy_from_slice(&cpu.gpr[..16]);
        Outcome {
            gpr,
            flags: cpu.flags.get() & flags::DEFINED & !flags::RF,
            rip: cpu.rip(),
            fault,
            fpu: Fpu::of(&cpu.fpu),
        }
    }
}

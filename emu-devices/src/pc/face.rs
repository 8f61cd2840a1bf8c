//! A machine in the hands of a program: time, memory, code, VMCSs. Looking changes nothing; a write happens at once,
//! between two instructions. Registers are in [`super::registers`].

use super::{Pc, PcExit};
use emu_core::disasm::{Disassembly, MAX_LENGTH, disassemble};
use emu_core::mem::ram::{PAGE, Place};
use emu_core::state::cpu::Cpu;
use emu_vmx::vmcs::Vmcs;
use std::ops::Range;

/// Why a program cannot read or write something of the machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// There is no such processor.
    #[error("there is no processor {processor}; this machine has {processors}, the first is 0")]
    NoProcessor {
        /// The number given.
        processor: usize,
        /// How many there are.
        processors: usize,
    },
    /// The processor's present paging structures, or EPT, map nothing there.
    #[error("processor {processor} has nothing mapped at linear address {linear:#x} at present")]
    NotMapped {
        /// The processor.
        processor: usize,
        /// The first address that is not mapped.
        linear: u64,
    },
    /// A device, or nothing, answers there.
    #[error(
        "no memory answers at physical address {physical:#x}; accesses to devices can be observed, not made from here"
    )]
    NotMemory {
        /// The first such address.
        physical: u64,
    },
    /// ROM answers there.
    #[error("at physical address {physical:#x} is ROM; give the machine another ROM when it is built")]
    Rom {
        /// The first such address.
        physical: u64,
    },
    /// No register has this name.
    #[error("this processor has no register {0:?}; names are the SDM's, as in RAX, BH, CR3, RFLAGS or IA32_EFER")]
    NoRegister(String),
    /// The register cannot be set.
    #[error(
        "register {0} can be read only here; general-purpose registers, RIP and RFLAGS can be set, and SSP with shadow stacks"
    )]
    NotSettable(String),
    /// The value has more bits than the register.
    #[error("{value:#x} does not fit into register {register}")]
    TooWide {
        /// The register.
        register: String,
        /// The value.
        value: u64,
    },
    /// The run is being recorded, and the recording would not hold the write.
    #[error("the run is being recorded: write with Pc::inject, so that the recording has it")]
    Recorded,
}

/// Where bytes are: offset in guest memory, and which of the bytes. None crosses a page.
type Piece = (usize, Range<usize>);

impl Pc {
    /// Runs for `cycles` more cycles of the machine's clock, or until the machine ends. See [`Pc::run_until`].
    pub fn run_for(&mut self, cycles: u64) -> PcExit {
        self.run_until(self.now().saturating_add(cycles))
    }

    /// Reads RAM or ROM at a physical address as the bus has it; the A20 gate does not count.
    ///
    /// # Errors
    /// [`AccessError::NotMemory`] if not all of it is memory; `buffer` is then unchanged.
    pub fn read_physical(&self, physical: u64, buffer: &mut [u8]) -> Result<(), AccessError> {
        let pieces = self.physical_pieces(physical, buffer.len(), false)?;
        self.load(&pieces, buffer);
        Ok(())
    }

    /// Writes RAM at a physical address, at once. What was decoded from there is decoded again. As on a processor,
    /// translations that a TLB holds stay when paging structures are written.
    ///
    /// # Errors
    /// [`AccessError::NotMemory`] or [`AccessError::Rom`] if not all of it is RAM, [`AccessError::Recorded`] during a
    /// recording; nothing is written then.
    pub fn write_physical(&mut self, physical: u64, bytes: &[u8]) -> Result<(), AccessError> {
        let pieces = self.physical_pieces(physical, bytes.len(), true)?;
        self.store(&pieces, bytes)
    }

    /// Reads RAM or ROM at a linear address of the address space that a processor is in, through EPT in VMX non-root
    /// operation. Access rights do not count, the paging structures do and not the TLB; no flag in them is set.
    ///
    /// ```
    /// # let pc = emu_devices::pc::Pc::builder().memory(2 << 20).build()?;
    /// let mut opcode = [0];
    /// pc.read_linear(0, 0xFFFF_FFF0, &mut opcode)?; // where a processor starts after power-on
    /// assert_eq!(opcode, [0xEA]); // a far jump
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AccessError::NoProcessor`]; [`AccessError::NotMapped`] or [`AccessError::NotMemory`] if that is so of any byte;
    /// `buffer` is then unchanged.
    pub fn read_linear(&self, processor: usize, linear: u64, buffer: &mut [u8]) -> Result<(), AccessError> {
        let pieces = self.linear_pieces(processor, linear, buffer.len(), false)?;
        self.load(&pieces, buffer);
        Ok(())
    }

    /// Writes RAM at a linear address of the address space that a processor is in, as [`Pc::read_linear`] reads it and
    /// [`Pc::write_physical`] writes.
    ///
    /// # Errors
    /// Those of both; nothing is written then.
    pub fn write_linear(&mut self, processor: usize, linear: u64, bytes: &[u8]) -> Result<(), AccessError> {
        let pieces = self.linear_pieces(processor, linear, bytes.len(), true)?;
        self.store(&pieces, bytes)
    }

    /// The instructions from a linear address on, `count` at most, as a processor in its present mode would fetch them.
    /// The list ends with the first that cannot be read or is none; its text says so.
    ///
    /// # Errors
    /// [`AccessError::NoProcessor`].
    pub fn disassemble(&self, processor: usize, linear: u64, count: usize) -> Result<Vec<Disassembly>, AccessError> {
        let cpu = self.processor(processor)?;
        let mut list = Vec::new();
        let mut at = cpu.wrap_system(linear);
        while list.len() < count {
            let mut buffer = [0; MAX_LENGTH];
            let read = cpu.peek_code(&self.ram, at, &mut buffer);
            let ip = at.wrapping_sub(cpu.code_linear(0)) & cpu.derived.mode.code.mask();
            let instruction = disassemble(&buffer[..read], cpu.derived.mode.code, ip);
            at = cpu.wrap_system(at.wrapping_add(instruction.bytes.len() as u64));
            let ends = instruction.text.starts_with('(');
            list.push(instruction);
            if ends {
                break;
            }
        }
        Ok(list)
    }

    /// A processor's current VMCS, as the processor holds it; `None` without one, or without such a processor.
    pub fn vmcs(&self, processor: usize) -> Option<&Vmcs> {
        self.cpus.get(processor)?.vmx.current()
    }

    pub(super) fn processor(&self, processor: usize) -> Result<&Cpu, AccessError> {
        let none = AccessError::NoProcessor { processor, processors: self.cpus.len() };
        self.cpus.get(processor).ok_or(none)
    }

    /// `Err` while a write from outside would be missing in a recording.
    pub(super) fn may_write(&self) -> Result<(), AccessError> {
        if self.board.is_recorded() { Err(AccessError::Recorded) } else { Ok(()) }
    }

    fn physical_pieces(&self, start: u64, len: usize, write: bool) -> Result<Vec<Piece>, AccessError> {
        pieces(start, len, |physical, wrapped| {
            if wrapped {
                return Err(AccessError::NotMemory { physical: u64::MAX });
            }
            memory(self.ram.place(physical, write), physical)
        })
    }

    fn linear_pieces(&self, n: usize, start: u64, len: usize, write: bool) -> Result<Vec<Piece>, AccessError> {
        let cpu = self.processor(n)?;
        pieces(start, len, |linear, _| {
            let linear = cpu.wrap_system(linear);
            let physical = cpu.peek_translate(&self.ram, linear);
            let physical = physical.ok_or(AccessError::NotMapped { processor: n, linear })?;
            memory(cpu.peek_place(&self.ram, physical, write), physical)
        })
    }

    fn load(&self, pieces: &[Piece], buffer: &mut [u8]) {
        for (offset, range) in pieces {
            buffer[range.clone()].copy_from_slice(&self.ram.bytes()[*offset..offset + range.len()]);
        }
    }

    /// The one place where a program's writes come to memory: decoded code under them goes when the run goes on.
    fn store(&mut self, pieces: &[Piece], bytes: &[u8]) -> Result<(), AccessError> {
        self.may_write()?;
        for (offset, range) in pieces {
            self.ram.store_bytes(*offset, &bytes[range.clone()]);
        }
        Ok(())
    }
}

/// Cuts `len` bytes at `start` at the borders of pages. `find` gets the address of each piece, and whether addresses
/// have begun anew at 0.
fn pieces(
    start: u64,
    len: usize,
    find: impl Fn(u64, bool) -> Result<usize, AccessError>,
) -> Result<Vec<Piece>, AccessError> {
    let mut list = Vec::new();
    let mut done = 0;
    while done < len {
        let (at, wrapped) = start.overflowing_add(done as u64);
        let size = ((PAGE - at % PAGE) as usize).min(len - done);
        list.push((find(at, wrapped)?, done..done + size));
        done += size;
    }
    Ok(list)
}

fn memory(place: Place, physical: u64) -> Result<usize, AccessError> {
    match place {
        Place::Memory(offset) => Ok(offset),
        Place::Bus => Err(AccessError::NotMemory { physical }),
        Place::Ignored => Err(AccessError::Rom { physical }),
    }
}

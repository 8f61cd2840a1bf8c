//! Observers: who watches a run is told what happens in it, and changes nothing.
//!
//! A run goes the same way with and without observers: they are lent the processor for reading, and what is asked for
//! only costs time. Accesses, events and the like are told after the instruction that they belong to, in their order; the
//! processor's registers are then those after it. Nobody watching costs nothing.

use crate::ir::uop::Uop;
use crate::mem::ram::Ram;
use crate::state::cpu::Cpu;
pub use crate::state::observed::*;

/// An instruction.
#[derive(Debug, Clone, Copy)]
pub struct Instruction<'a> {
    /// Its offset in the code segment.
    pub rip: u64,
    /// Its micro-op: length, operation, operands.
    pub uop: &'a Uop,
}

/// The processor and the memory that an observer may read. `cpu.sys.index` says which processor it is.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The processor.
    pub cpu: &'a Cpu,
    /// Guest memory.
    pub ram: &'a Ram,
}

/// Someone who watches a run. All methods but the first have defaults that do nothing.
pub trait Observer {
    /// What it wants to be told of; asked when a run begins, and not again until it comes back.
    fn watches(&self) -> Watch;
    /// Before an instruction: RIP is its address. [`Observer::stops`] is asked next, and stops before the instruction.
    fn before_instruction(&mut self, _view: View, _instruction: Instruction) {}
    /// After an instruction that completed, or an iteration of a repeated one, and after all that it has done.
    fn after_instruction(&mut self, _view: View, _instruction: Instruction) {}
    /// A memory operand was read or written.
    fn memory_access(&mut self, _view: View, _access: &MemoryAccess) {}
    /// A port was read or written.
    fn port_access(&mut self, _view: View, _access: &DeviceAccess) {}
    /// A device in memory was read or written.
    fn mmio_access(&mut self, _view: View, _access: &DeviceAccess) {}
    /// An exception or interrupt was delivered.
    fn event(&mut self, _view: View, _event: &DeliveredEvent) {}
    /// VMLAUNCH or VMRESUME was executed.
    fn vm_entry(&mut self, _view: View, _entry: &VmEntry) {}
    /// VMX non-root operation was left.
    fn vm_exit(&mut self, _view: View, _exit: &VmExit) {}
    /// A field of a VMCS was written.
    fn vmcs_write(&mut self, _view: View, _write: &VmcsWrite) {}
    /// A control register was written.
    fn control_register_write(&mut self, _view: View, _write: &RegisterWrite) {}
    /// A model-specific register was written.
    fn msr_write(&mut self, _view: View, _write: &RegisterWrite) {}
    /// A block was decoded.
    fn block_built(&mut self, _view: View, _block: &BuiltBlock) {}
    /// Whether the run is to stop here; asked at instruction boundaries after something was told.
    fn stops(&mut self) -> bool {
        false
    }
}

/// An observer of one run, and what it has said that it watches.
pub struct Watching<'a> {
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) watch: Watch,
}

impl<'a> Watching<'a> {
    /// Asks it what it watches.
    pub fn new(observer: &'a mut dyn Observer) -> Self {
        let watch = observer.watches();
        Self { observer, watch }
    }

    /// The same for a part of the run.
    pub fn reborrow(&mut self) -> Watching<'_> {
        Watching { observer: &mut *self.observer, watch: self.watch }
    }
}

/// Several observers, told in their order.
#[derive(Default)]
pub struct Observers<'a>(pub Vec<&'a mut dyn Observer>);

impl Observers<'_> {
    fn each(&mut self, watch: Watch, mut tell: impl FnMut(&mut dyn Observer)) {
        for observer in self.0.iter_mut().filter(|observer| observer.watches().intersects(watch)) {
            tell(&mut **observer);
        }
    }
}

impl Observer for Observers<'_> {
    fn watches(&self) -> Watch {
        self.0.iter().fold(Watch::empty(), |all, observer| all | observer.watches())
    }
    fn before_instruction(&mut self, view: View, instruction: Instruction) {
        self.each(Watch::INSTRUCTIONS, |observer| observer.before_instruction(view, instruction));
    }
    fn after_instruction(&mut self, view: View, instruction: Instruction) {
        self.each(Watch::INSTRUCTIONS, |observer| observer.after_instruction(view, instruction));
    }
    fn memory_access(&mut self, view: View, access: &MemoryAccess) {
        self.each(Watch::MEMORY, |observer| observer.memory_access(view, access));
    }
    fn port_access(&mut self, view: View, access: &DeviceAccess) {
        self.each(Watch::PORTS, |observer| observer.port_access(view, access));
    }
    fn mmio_access(&mut self, view: View, access: &DeviceAccess) {
        self.each(Watch::MMIO, |observer| observer.mmio_access(view, access));
    }
    fn event(&mut self, view: View, event: &DeliveredEvent) {
        self.each(Watch::EVENTS, |observer| observer.event(view, event));
    }
    fn vm_entry(&mut self, view: View, entry: &VmEntry) {
        self.each(Watch::VM_ENTRIES, |observer| observer.vm_entry(view, entry));
    }
    fn vm_exit(&mut self, view: View, exit: &VmExit) {
        self.each(Watch::VM_EXITS, |observer| observer.vm_exit(view, exit));
    }
    fn vmcs_write(&mut self, view: View, write: &VmcsWrite) {
        self.each(Watch::VMCS_WRITES, |observer| observer.vmcs_write(view, write));
    }
    fn control_register_write(&mut self, view: View, write: &RegisterWrite) {
        self.each(Watch::CONTROL_REGISTERS, |observer| observer.control_register_write(view, write));
    }
    fn msr_write(&mut self, view: View, write: &RegisterWrite) {
        self.each(Watch::MSRS, |observer| observer.msr_write(view, write));
    }
    fn block_built(&mut self, view: View, block: &BuiltBlock) {
        self.each(Watch::BLOCKS, |observer| observer.block_built(view, block));
    }
    fn stops(&mut self) -> bool {
        self.0.iter_mut().fold(false, |stops, observer| observer.stops() | stops)
    }
}

impl Cpu {
    /// Sets what is noted from now on.
    pub(crate) fn set_watch(&mut self, watch: Watch) {
        let memory = (self.notes.watch ^ watch).contains(Watch::MEMORY);
        self.notes.watch = watch;
        if memory {
            self.refresh_context();
        }
    }

    /// Notes something that is watched, and ends the block behind the present instruction, so that it is told there.
    #[cold]
    #[inline(never)]
    pub(crate) fn note(&mut self, observed: Observed) {
        self.notes.observed.push(observed);
        self.leave_block();
    }

    /// Tells what has been noted; whether there was anything.
    #[inline(always)]
    pub(crate) fn tell(&mut self, ram: &Ram, observer: &mut dyn Observer) -> bool {
        let any = !self.notes.observed.is_empty();
        if any {
            self.tell_noted(ram, observer);
        }
        any
    }

    #[cold]
    fn tell_noted(&mut self, ram: &Ram, observer: &mut dyn Observer) {
        let mut noted = std::mem::take(&mut self.notes.observed);
        let view = View { cpu: self, ram };
        for observed in noted.drain(..) {
            match &observed {
                Observed::Memory(access) => observer.memory_access(view, access),
                Observed::Port(access) => observer.port_access(view, access),
                Observed::Mmio(access) => observer.mmio_access(view, access),
                Observed::Event(event) => observer.event(view, event),
                Observed::VmEntry(entry) => observer.vm_entry(view, entry),
                Observed::VmExit(exit) => observer.vm_exit(view, exit),
                Observed::VmcsWrite(write) => observer.vmcs_write(view, write),
                Observed::ControlRegister(write) => observer.control_register_write(view, write),
                Observed::Msr(write) => observer.msr_write(view, write),
                Observed::Block(block) => observer.block_built(view, block),
            }
        }
        self.notes.observed = noted;
    }
}

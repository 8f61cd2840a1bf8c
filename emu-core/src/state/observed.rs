//! What a processor notes for those who watch it: plain data, no part of its state.

use super::fault::Fault;
use emu_vmx::checks::BasicFailure;
use emu_vmx::entry::EntryPlan;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;

bitflags::bitflags! {
    /// What an observer wants to be told of.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Watch: u16 {
        /// Instructions, before and after.
        const INSTRUCTIONS = 1 << 0;
        /// Accesses to the memory operands of instructions; not those of paging, of descriptors and of event delivery.
        const MEMORY = 1 << 1;
        /// IN, OUT, INS and OUTS.
        const PORTS = 1 << 2;
        /// Accesses to devices in memory, but for the local APIC.
        const MMIO = 1 << 3;
        /// Exceptions and interrupts as they are delivered through the IDT.
        const EVENTS = 1 << 4;
        /// VMLAUNCH and VMRESUME in VMX root operation that raise no exception.
        const VM_ENTRIES = 1 << 5;
        /// VM exits.
        const VM_EXITS = 1 << 6;
        /// VMWRITE.
        const VMCS_WRITES = 1 << 7;
        /// MOV to CR0, CR2, CR3, CR4 and CR8.
        const CONTROL_REGISTERS = 1 << 8;
        /// WRMSR, and the MSR lists of VM entries and exits.
        const MSRS = 1 << 9;
        /// Blocks as they are decoded.
        const BLOCKS = 1 << 10;
        /// With [`Watch::INSTRUCTIONS`]: each iteration of a repeated string instruction as one.
        const ITERATIONS = 1 << 11;
    }
}

/// A read or write of at most 8 bytes; longer operands are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryAccess {
    /// Linear address.
    pub linear: u64,
    /// Physical address (host-physical in VMX non-root operation) of the first byte.
    pub physical: u64,
    /// Bytes, 1 to 8.
    pub size: u8,
    /// Written rather than read.
    pub write: bool,
    /// The value, zero-extended.
    pub value: u64,
}

/// An access to a port or to a device in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceAccess {
    /// Port or physical address.
    pub address: u64,
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// Written rather than read.
    pub write: bool,
    /// The value, zero-extended.
    pub value: u64,
}

/// An exception or interrupt that has been delivered: the processor is at its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveredEvent {
    /// The event.
    pub event: Fault,
    /// CS before delivery.
    pub cs: u16,
    /// RIP that the handler returns to.
    pub return_rip: u64,
    /// VM entry injected it.
    pub injected: bool,
}

/// How a VM entry ended.
#[derive(Debug, Clone, PartialEq)]
pub enum EntryOutcome {
    /// Before any field was looked at: no current VMCS, a wrong launch state, blocking by MOV SS.
    Refused(BasicFailure),
    /// In VMX non-root operation; what was loaded.
    Entered(Box<EntryPlan>),
    /// A rule of emu-vmx does not hold: its identifier.
    Failed(&'static str),
    /// An entry of the MSR-load area could not be loaded: its number, the first is 1.
    MsrLoading(u32),
}

/// A VM entry.
#[derive(Debug, Clone, PartialEq)]
pub struct VmEntry {
    /// The current-VMCS pointer.
    pub vmcs: u64,
    /// VMRESUME rather than VMLAUNCH.
    pub resume: bool,
    /// RIP of the instruction.
    pub rip: u64,
    /// How it ended.
    pub outcome: EntryOutcome,
}

/// A VM exit: the processor is in VMX root operation again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmExit {
    /// The current-VMCS pointer.
    pub vmcs: u64,
    /// Basic exit reason.
    pub reason: ExitReason,
    /// Exit qualification.
    pub qualification: u64,
    /// The guest's RIP as it was saved.
    pub guest_rip: u64,
}

/// A VMWRITE that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmcsWrite {
    /// The VMCS: the current one, or the shadow VMCS linked to it.
    pub vmcs: u64,
    /// The field, if the encoding has one; also for the high half of a 64-bit field.
    pub field: Option<Field>,
    /// Encoding, as the operand had it.
    pub encoding: u64,
    /// The source operand.
    pub value: u64,
}

/// A write of a control register or MSR that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisterWrite {
    /// Number: 0, 2, 3, 4 or 8 of a control register, ECX of an MSR.
    pub number: u32,
    /// The value.
    pub value: u64,
}

/// A block that was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltBlock {
    /// Linear address.
    pub linear: u64,
    /// Bytes.
    pub size: u32,
    /// Instructions.
    pub instructions: u32,
}

/// Something that an observer has asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// See [`Watch::MEMORY`].
    Memory(MemoryAccess),
    /// See [`Watch::PORTS`].
    Port(DeviceAccess),
    /// See [`Watch::MMIO`].
    Mmio(DeviceAccess),
    /// See [`Watch::EVENTS`].
    Event(DeliveredEvent),
    /// See [`Watch::VM_ENTRIES`].
    VmEntry(Box<VmEntry>),
    /// See [`Watch::VM_EXITS`].
    VmExit(VmExit),
    /// See [`Watch::VMCS_WRITES`].
    VmcsWrite(VmcsWrite),
    /// See [`Watch::CONTROL_REGISTERS`].
    ControlRegister(RegisterWrite),
    /// See [`Watch::MSRS`].
    Msr(RegisterWrite),
    /// See [`Watch::BLOCKS`].
    Block(BuiltBlock),
}

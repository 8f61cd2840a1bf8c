//! The device model: one thin trait, and what a device is lent while it is called.

pub use crate::devices::DeviceId;
use crate::input::RegisterWrite;
use crate::line::Lines;
use crate::pci::PciMap;
use crate::sched::Deadlines;
use emu_core::bus::ApicMessage;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What a device wants of the machine beyond its lines; the board collects it after each call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Messages to local APICs, oldest first.
    pub apic: Vec<ApicMessage>,
    /// The A20 gate was moved to this position.
    pub a20: Option<bool>,
    /// The machine is to be reset (CF9h, port 92h, 8042 pulse).
    pub reset: bool,
    /// The processors alone are to get INIT (port 92h bit 0, 8042 pulse).
    pub init: bool,
    /// The guest asks to power off (ACPI, APM, `Shutdown` to port 8900h).
    pub power_off: bool,
    /// isa-debug-exit: end the run with this status.
    pub exit_status: Option<i32>,
    /// An NMI to all processors through LINT1 (port 61h channel check, test devices).
    pub nmi: bool,
    /// Debuggers' writes to processors' registers, oldest first.
    pub registers: Vec<RegisterWrite>,
    /// The device's claims changed (a PCI BAR or an enable bit): the board asks [`Device::claims`] again.
    pub remap: bool,
}

/// Physical memory as a bus master sees it: no paging, no APIC; writes to ROM and holes vanish, reads there give FFh.
pub trait DmaMemory {
    /// Fills `buffer` from physical address `address`.
    fn dma_read(&mut self, address: u64, buffer: &mut [u8]);
    /// Writes `data` to physical address `address`.
    fn dma_write(&mut self, address: u64, data: &[u8]);
}

/// How far a request on an ISA DMA channel got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DmaProgress {
    /// Bytes moved; 0 when the channel is masked or set for the other direction.
    pub bytes: usize,
    /// Whether the channel reached terminal count.
    pub terminal_count: bool,
}

/// The ISA DMA controller as a device on one of its channels uses it.
pub trait IsaDma {
    /// Device to memory.
    fn to_memory(&mut self, memory: &mut dyn DmaMemory, channel: u8, data: &[u8]) -> DmaProgress;
    /// Memory to device.
    #[allow(clippy::wrong_self_convention)] // "from memory" is the direction, not a conversion.
    fn from_memory(&mut self, memory: &mut dyn DmaMemory, channel: u8, buffer: &mut [u8]) -> DmaProgress;
}

/// What a look at a status register is worth to a device, in nanoseconds: so long an access took on the ISA bus. A driver
/// that gives up after so many looks finds the device ready in time on the fastest of processors.
pub const POLL_NS: u64 = 1_000;

/// What the board lends a device for one call.
pub struct Ctx<'a> {
    /// The time of this call, in cycles.
    pub now: u64,
    /// Cycles per guest second.
    pub hz: u64,
    /// Whose call this is; scheduling uses it.
    pub device: DeviceId,
    /// The interrupt lines.
    pub lines: &'a mut Lines,
    /// The deadlines.
    pub deadlines: &'a mut Deadlines,
    /// What the device wants of the machine.
    pub requests: &'a mut Requests,
    /// Guest memory.
    pub memory: &'a mut dyn DmaMemory,
    /// The ISA DMA controller.
    pub dma: &'a mut dyn IsaDma,
}

impl Ctx<'_> {
    /// Schedules this device's deadline `tag` at `at` cycles, in place of an earlier one with that tag.
    pub fn schedule(&mut self, tag: u32, at: u64) {
        self.deadlines.schedule(self.device, tag, at);
    }

    /// Schedules this device's deadline `tag` after `nanoseconds` of guest time (at least one cycle).
    pub fn schedule_ns(&mut self, tag: u32, nanoseconds: u64) {
        self.schedule(tag, self.now + self.cycles(nanoseconds).max(1));
    }

    /// Brings this device's deadline `tag`, if there is one, nearer by `nanoseconds` of guest time; to the next cycle at
    /// most.
    pub fn hurry(&mut self, tag: u32, nanoseconds: u64) {
        if let Some(at) = self.deadlines.of(self.device, tag) {
            let nearer = at.saturating_sub(self.cycles(nanoseconds)).max(self.now + 1);
            if nearer < at {
                self.schedule(tag, nearer);
            }
        }
    }

    /// `nanoseconds` of guest time in cycles, rounded down.
    fn cycles(&self, nanoseconds: u64) -> u64 {
        (u128::from(nanoseconds) * u128::from(self.hz) / 1_000_000_000) as u64
    }

    /// Drops this device's deadline `tag`.
    pub fn cancel(&mut self, tag: u32) {
        self.deadlines.cancel(self.device, tag);
    }

    /// `now` in ticks of a clock of `frequency` Hz, counted from cycle 0, rounded down.
    pub fn ticks(&self, frequency: u64) -> u64 {
        ticks_at(self.now, self.hz, frequency)
    }

    /// The first cycle at which [`Ctx::ticks`] of `frequency` gives at least `tick`.
    pub fn cycle_of_tick(&self, frequency: u64, tick: u64) -> u64 {
        (u128::from(tick) * u128::from(self.hz)).div_ceil(u128::from(frequency)) as u64
    }
}

/// `now` cycles of a clock of `hz`, in ticks of a clock of `frequency` Hz, rounded down.
pub fn ticks_at(now: u64, hz: u64, frequency: u64) -> u64 {
    (u128::from(now) * u128::from(frequency) / u128::from(hz)) as u64
}

/// The addresses a device answers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Port ranges, end exclusive (u32, so that FFFFh can be claimed).
    pub ports: Vec<Range<u32>>,
    /// Physical address ranges, end exclusive.
    pub mmio: Vec<Range<u64>>,
}

/// A device on the board. All facets but the first two have defaults: a device implements those it has.
///
/// Accesses arrive in the size the guest used (1, 2 or 4 bytes; 8 for MMIO). A device that is narrower than
/// the access splits it itself, lowest address first, as the ISA bus does: [`split_read`] and [`split_write`].
pub trait Device {
    /// The addresses it answers to now.
    fn claims(&self) -> Claims;
    /// Power-on or hard reset. Deadlines of this device are already cancelled.
    fn reset(&mut self, ctx: &mut Ctx);
    /// IN.
    fn port_read(&mut self, _ctx: &mut Ctx, _port: u16, size: u8) -> u32 {
        all_ones(size)
    }
    /// OUT.
    fn port_write(&mut self, _ctx: &mut Ctx, _port: u16, _size: u8, _value: u32) {}
    /// A read at a claimed physical address.
    fn mmio_read(&mut self, _ctx: &mut Ctx, _address: u64, size: u8) -> u64 {
        if size == 8 { u64::MAX } else { u64::from(all_ones(size)) }
    }
    /// A write at a claimed physical address.
    fn mmio_write(&mut self, _ctx: &mut Ctx, _address: u64, _size: u8, _value: u64) {}
    /// PCI configuration has moved something; the board asks [`Device::claims`] again afterwards.
    fn pci_moved(&mut self, _map: &PciMap) {}
    /// Some device has opened or closed the A20 gate.
    fn a20_moved(&mut self, _open: bool) {}
    /// A deadline of this device has come.
    fn deadline(&mut self, _ctx: &mut Ctx, _tag: u32) {}
}

/// All ones in `size` bytes (1, 2 or 4): what a bus reads where nothing answers.
pub fn all_ones(size: u8) -> u32 {
    u32::MAX >> (32 - 8 * u32::from(size.clamp(1, 4)))
}

/// Reads `size` bytes by byte reads at rising addresses.
pub fn split_read(port: u16, size: u8, mut byte: impl FnMut(u16) -> u8) -> u32 {
    (0..u16::from(size)).fold(0, |value, i| value | u32::from(byte(port.wrapping_add(i))) << (8 * i))
}

/// Writes `size` bytes by byte writes at rising addresses.
pub fn split_write(port: u16, size: u8, value: u32, mut byte: impl FnMut(u16, u8)) {
    for i in 0..u16::from(size) {
        byte(port.wrapping_add(i), (value >> (8 * i)) as u8);
    }
}

/// Logs an error the first time its site is reached: a guest can repeat anything forever.
macro_rules! error_once {
    ($($argument:tt)*) => {{
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| log::error!($($argument)*));
    }};
}
pub(crate) use error_once;

/// Most bytes of one stream of a guest's output that wait for the host. Who drives a machine takes them more often.
pub const MAX_OUTPUT: usize = 16 << 20;

/// Adds to a stream of the guest's output; what is beyond [`MAX_OUTPUT`] is lost.
pub fn push_output(output: &mut Vec<u8>, byte: u8) {
    if output.len() < MAX_OUTPUT {
        output.push(byte);
    } else {
        error_once!("{MAX_OUTPUT} bytes of a guest's output have not been taken; more of it is lost");
    }
}

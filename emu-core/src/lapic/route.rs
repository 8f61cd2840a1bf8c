//! The interrupt bus: which local APICs take a message (SDM Vol. 3A 11.6.2).

use super::{Lapic, Lvt};
use crate::bus::{ApicMessage, BROADCAST, DeliveryMode, Shorthand};
use crate::state::cpu::Cpu;
use crate::state::derived::Attention;
use crate::state::system::Activity;

/// The log line of a start-up IPI that finds nobody.
const LONELY: &str = "start-up IPI";
/// Where a BIOS runs; it counts processors by such an IPI and is content with one.
const FIRMWARE: std::ops::Range<u64> = 0xE_0000..0x10_0000;

impl Lapic {
    /// Whether a message without shorthand names this APIC.
    fn is_named(&self, message: &ApicMessage) -> bool {
        let destination = message.destination;
        if !self.enabled {
            // A globally disabled APIC takes what a bus agent without one does: INIT, SIPI and NMI by its id.
            let reset_like = matches!(message.delivery, DeliveryMode::Init | DeliveryMode::StartUp | DeliveryMode::Nmi);
            return reset_like && !message.logical && (destination == self.id || destination == BROADCAST);
        }
        if destination == BROADCAST {
            return true;
        }
        match (message.logical, self.x2apic) {
            (false, _) => destination == self.id,
            (true, true) => {
                let same_cluster = destination >> 16 == self.ldr >> 16;
                same_cluster && destination & self.ldr & 0xFFFF != 0
            }
            // A destination of more than 8 bits is none of an xAPIC.
            (true, false) if destination > 0xFF => false,
            (true, false) => {
                let (mda, ldr) = (destination as u8, (self.ldr >> 24) as u8);
                if self.dfr >> 28 == 0xF {
                    mda & ldr != 0
                } else {
                    (mda >> 4 == ldr >> 4 || mda >> 4 == 0xF) && mda & ldr & 0xF != 0
                }
            }
        }
    }
}

/// Delivers a message. `sender` is the processor it comes from; `None` for the I/O APIC and MSIs.
pub fn deliver(cpus: &mut [Cpu], sender: Option<usize>, message: &ApicMessage) {
    log::trace!(target: "apic", "from {}: {message}", sender.map_or("a device".to_owned(), |n| format!("cpu{n}")));
    let named = |cpus: &[Cpu], n: usize| match message.shorthand {
        Shorthand::None => cpus[n].lapic.is_named(message),
        Shorthand::SelfOnly => sender == Some(n),
        Shorthand::AllIncludingSelf => true,
        Shorthand::AllExcludingSelf => sender != Some(n),
    };
    if message.delivery == DeliveryMode::LowestPriority {
        // Ties go to the processor after the vector's number, so that no one takes all.
        let start = usize::from(message.vector);
        let count = cpus.len();
        let chosen = (0..count)
            .filter(|&n| named(cpus, n) && cpus[n].lapic.software_enabled())
            .min_by_key(|&n| (cpus[n].lapic.ppr(), (n + count - start % count) % count));
        if let Some(n) = chosen {
            cpus[n].accept(message);
        }
        return;
    }
    for n in 0..cpus.len() {
        if named(cpus, n) {
            cpus[n].accept(message);
        }
    }
    if let [only] = cpus
        && message.delivery == DeliveryMode::StartUp
        && message.shorthand == Shorthand::AllExcludingSelf
        && !FIRMWARE.contains(&only.code_linear(only.rip()))
        && only.log_once(LONELY, 0)
    {
        log::info!(target: "apic", "start-up IPI to all other processors, and there is no other: software that waits for one waits for ever");
    }
}

impl Cpu {
    /// Whether software, not the BIOS, has sent a start-up IPI to all other processors where there is none. No part of the
    /// state: for hints alone.
    pub fn looks_for_others(&self) -> bool {
        self.notes.logged.contains(&(LONELY, 0))
    }

    /// Takes a message that names this processor.
    pub fn accept(&mut self, message: &ApicMessage) {
        match message.delivery {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority => {
                if self.lapic.software_enabled() {
                    self.lapic.request(message.vector, message.level_triggered);
                    self.refresh_apic_attention();
                }
            }
            DeliveryMode::Nmi => self.accept_nmi(),
            DeliveryMode::Init => {
                if message.assert {
                    self.accept_init();
                }
            }
            DeliveryMode::StartUp => {
                if self.accepts_sipi() {
                    self.lapic.sipi_vector = message.vector;
                    self.sys.sipi_pending = true;
                    self.raise(Attention::SIPI);
                }
            }
            DeliveryMode::ExtInt => {
                self.sys.ext_int = true;
                self.raise(Attention::INTR);
            }
            DeliveryMode::Smi => {
                if self.log_once("SMI", 0) {
                    log::error!(target: "apic", "SMI to processor {} dropped: system-management mode is not implemented (SDM Vol. 3C 32)", self.sys.index);
                }
            }
        }
    }

    /// An NMI from any source; one is held while another is handled.
    pub fn accept_nmi(&mut self) {
        self.sys.nmi_pending = true;
        self.raise(Attention::NMI);
    }

    /// Whether a start-up IPI means something: to a processor that waits for one, or that is going to, because an INIT
    /// is pending that nothing blocks. Any other is discarded, also one that comes while VMX operation blocks an INIT or
    /// makes it a VM exit (SDM Vol. 3C 24.8 "Restrictions on VMX Operation", 26.2 "Other Causes of VM Exits").
    fn accepts_sipi(&self) -> bool {
        self.sys.activity == Activity::WaitForSipi || (self.sys.init_pending && !self.vmx.on())
    }

    /// An INIT from any source. What waited for a processor that it resets is lost, and a processor that waits for a
    /// start-up IPI in VMX non-root operation drops it (docs/decisions/0009-init-while-waiting-for-sipi.md).
    pub fn accept_init(&mut self) {
        if self.in_non_root() && self.sys.activity == Activity::WaitForSipi {
            return;
        }
        self.sys.sipi_pending = false;
        self.attention.remove(Attention::SIPI);
        self.sys.init_pending = true;
        self.raise(Attention::INIT);
    }

    /// A pulse on LINT1.
    pub fn pulse_lint1(&mut self) {
        let entry = self.lapic.lvt[Lvt::Lint1 as usize];
        if !self.lapic.software_enabled() || entry & 0x1_0700 == 0x400 {
            self.accept_nmi();
        } else if entry & 0x1_0700 == 0 {
            self.lapic.request(entry as u8, false);
            self.refresh_apic_attention();
        }
    }

    fn set_intr_level(&mut self, high: bool) {
        // A level that stays wakes nobody again who has found that it is blocked.
        let rises = high && !self.sys.intr;
        self.sys.intr = high;
        if rises {
            self.raise(Attention::INTR);
        } else if !high && !self.sys.ext_int {
            self.attention.remove(Attention::INTR);
        }
    }

    /// The level of the PIC's INTR output, which drives LINT0 of every processor.
    pub fn set_intr(&mut self, high: bool, rising: bool) {
        self.set_intr_level(high);
        let entry = self.lapic.lvt[Lvt::Lint0 as usize];
        if rising && self.lapic.software_enabled() && entry & 0x1_0700 == 0 {
            self.lapic.request(entry as u8, entry & 1 << 15 != 0);
            self.refresh_apic_attention();
        } else if rising && self.lapic.software_enabled() && entry & 0x1_0700 == 0x400 {
            self.accept_nmi();
        }
    }
}

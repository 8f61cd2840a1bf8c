//! The devices of the board, one row each: a new device is a file and a row here.

use crate::ata::Ata;
use crate::board::{BoardConfig, Lent, Wires, lines};
use crate::coprocessor::Coprocessor;
use crate::debug_ports::DebugPorts;
use crate::device::{Device, IsaDma};
use crate::dma::{Dma, NoDma};
use crate::flash::Flash;
use crate::floppy::Floppy;
use crate::fw_cfg::FwCfg;
use crate::hpet::Hpet;
use crate::ioapic::{IoApic, IoApicConfig};
use crate::keyboard::KeyboardController;
use crate::pci::{Pci, PciConfig};
use crate::pic::Pic;
use crate::pit::Pit;
use crate::power::{Power, PowerConfig};
use crate::rtc::Rtc;
use crate::serial::{COM1, Serial};
use crate::state::{StateError, Stateful};
use crate::testdev::{PcTestdev, PciTestdev};
use crate::vga::{Vga, VgaConfig};
use serde::{Deserialize, Serialize};

/// Makes [`DeviceId`] and its order, [`Board`]'s fields and their power-on, what a call of a device is lent, and
/// [`DevicesState`]. A device that may be missing is an `Option`.
macro_rules! devices {
    ($config:ident => $($(#[doc = $doc:literal])* $id:ident $field:ident: $device:ty = $new:expr;)*) => {
        /// The devices of the board, in the order in which they are reset, and have an address that two of them claim.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum DeviceId {
            $($(#[doc = $doc])* $id,)*
        }

        impl DeviceId {
            /// All of them, in order.
            pub const ALL: [DeviceId; [$(stringify!($id)),*].len()] = [$(Self::$id),*];

            /// What it is, for people.
            pub fn words(self) -> &'static str {
                match self {
                    $(Self::$id => concat!($($doc),*).trim_ascii().trim_end_matches('.'),)*
                }
            }
        }

        /// Everything around the processors.
        pub struct Board {
            pub(crate) wires: Wires,
            $($(#[doc = $doc])* pub $field: $device,)*
        }

        impl Board {
            /// The devices as they are made, before their first reset.
            pub(crate) fn assemble($config: BoardConfig) -> Self {
                Self { wires: Wires::new($config.hz), $($field: $new,)* }
            }

            /// A device, if it is there, with what a call of it is lent. `none` takes the place of the DMA controller
            /// for itself.
            pub(crate) fn lend<'a>(&'a mut self, id: DeviceId, none: &'a mut NoDma) -> Option<Lent<'a>> {
                let wires = &mut self.wires;
                match id {
                    $(DeviceId::$id => {
                        let dma: &mut dyn IsaDma = isa_dma!(self none $field);
                        Some(Lent { device: self.$field.as_device()?, dma, wires })
                    })*
                }
            }

            pub(crate) fn save_devices(&self) -> DevicesState {
                DevicesState { $($field: self.$field.save(),)* }
            }

            pub(crate) fn restore_devices(&mut self, state: DevicesState) -> Result<(), StateError> {
                let DevicesState { $($field,)* } = state;
                $(self.$field.restore($field)?;)*
                Ok(())
            }

            /// Appends what a guest can notice of the devices, encoded.
            pub(crate) fn encode_devices(&self, mut to: Vec<u8>) -> Result<Vec<u8>, StateError> {
                $(to = postcard::to_extend(&self.$field.guest(), to)?;)*
                Ok(to)
            }
        }

        /// What all devices have put away.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        pub struct DevicesState {
            $($field: <$device as Stateful>::Saved,)*
        }
    };
}

/// The DMA controller that a device is lent: none for the controller itself.
macro_rules! isa_dma {
    ($board:ident $none:ident dma) => {
        $none
    };
    ($board:ident $none:ident $field:ident) => {
        &mut $board.dma
    };
}

devices! { config =>
    /// 8259A pair.
    Pic pic: Pic = Pic::new();
    /// 8254 and port 61h.
    Pit pit: Pit = Pit::new(lines::PIT);
    /// 8042, keyboard and mouse.
    Keyboard keyboard: KeyboardController = KeyboardController::new(lines::KEYBOARD, lines::MOUSE);
    /// MC146818 and its RAM.
    Rtc rtc: Rtc = Rtc::new(&config.rtc, lines::RTC);
    /// I/O APIC.
    IoApic ioapic: IoApic = IoApic::new(IoApicConfig { version: 0x11 });
    /// High-precision event timer.
    Hpet hpet: Hpet = Hpet::new(lines::hpet());
    /// PIIX4 power management (PM timer, PM1 registers, SMI command port).
    PowerManagement power: Power = Power::new(PowerConfig { timer_bits: 24, smi: false }, lines::SCI);
    /// i440FX host bridge, PIIX3 ISA bridge, configuration ports CF8h/CFCh, reset port CF9h.
    Pci pci: Pci = Pci::new(PciConfig {
        vga_lfb_size: u32::try_from(Vga::memory_size(config.video_memory)).ok(),
        vga_rom_size: u32::try_from(config.vga_rom.len()).unwrap_or(0),
        testdev: config.test_devices,
        smm_ready: true,
    });
    // Test programs print much and poll: the line takes no time beside the test devices.
    /// COM1.
    Serial serial: Serial = Serial::new(COM1, lines::SERIAL).immediate(config.test_devices);
    /// Ports 80h, E9h, 8900h, 92h, isa-debug-exit.
    Debug debug: DebugPorts = DebugPorts::new(config.debug);
    /// Primary and secondary ATA channels.
    Ata ata: Ata = Ata::new(config.ata, lines::ATA);
    /// Floppy controller.
    Floppy floppy: Floppy = Floppy::new(config.floppies, lines::FLOPPY);
    /// 8237 pair.
    Dma dma: Dma = Dma::new();
    /// FERR#, IRQ 13 and port F0h.
    Coprocessor coprocessor: Coprocessor = Coprocessor::new(lines::COPROCESSOR);
    /// VGA.
    Vga vga: Vga = Vga::new(VgaConfig { memory: config.video_memory, lfb: None }).with_rom(config.vga_rom);
    /// QEMU's pc-testdev.
    PcTestdev pc_testdev: Option<PcTestdev> = config.test_devices.then(|| PcTestdev::new(lines::testdev()));
    /// QEMU's pci-testdev.
    PciTestdev pci_testdev: Option<PciTestdev> = config.test_devices.then(PciTestdev::new);
    /// Flash memory with UEFI firmware's variables.
    Flash flash: Option<Flash> = config.flash.map(Flash::new);
    /// QEMU's firmware configuration device.
    FwCfg fw_cfg: Option<FwCfg> = config.fw_cfg.map(FwCfg::new);
}

/// A field of the board: a device, or one that may be missing.
trait Place {
    fn as_device(&mut self) -> Option<&mut dyn Device>;
}

impl<D: Device> Place for D {
    fn as_device(&mut self) -> Option<&mut dyn Device> {
        Some(self)
    }
}

impl<D: Device> Place for Option<D> {
    fn as_device(&mut self) -> Option<&mut dyn Device> {
        self.as_mut().map(|device| device as &mut dyn Device)
    }
}

//! The 8259A pair: master at ports 20h/21h, slave at A0h/A1h on the master's IR2, and the edge/level
//! control registers 4D0h/4D1h (Intel 8259A data sheet; 82371SB PIIX3 data sheet 2.5.4, 2.5.7).

use crate::device::{Claims, Ctx, Device, error_once, split_read, split_write};
use crate::state::{StateError, Stateful};
use serde::{Deserialize, Serialize};

/// The master's input that carries the slave's INT output.
const CASCADE: u8 = 2;
/// Inputs that PIIX3 lets be level-triggered: not IRQ 0, 1, 2, 8 and 13.
const ELCR_WRITABLE: [u8; 2] = [0xF8, 0xDE];

/// Which initialization word an 8259A waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Init {
    /// ICW1 has not been written since power-on: no interrupts.
    #[default]
    Uninitialized,
    /// ICW2, then ICW3 unless single, then ICW4 if ICW1 announced it.
    Icw2,
    Icw3,
    Icw4,
    /// Operational: writes to the odd port are OCW1.
    Done,
}

/// Guest-visible state of one 8259A.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChipState {
    init: Init,
    /// Levels of the input pins.
    inputs: u8,
    /// Requests latched by an edge; a level-triggered input requests while it is high.
    edges: u8,
    in_service: u8,
    mask: u8,
    /// One bit per input: 1 level-triggered (ELCR).
    level_triggered: u8,
    /// Vector of IR0 (ICW2 bits 7:3).
    base: u8,
    /// ICW1 bits 1 and 0.
    single: bool,
    expects_icw4: bool,
    /// ICW3: inputs with a slave (master), identity (slave).
    cascade: u8,
    auto_eoi: bool,
    special_fully_nested: bool,
    special_mask: bool,
    rotate_on_auto_eoi: bool,
    /// The input of lowest priority; the next one up, modulo 8, has the highest.
    lowest: u8,
    /// The even port reads the in-service register rather than the request register.
    read_in_service: bool,
    /// The next read is a poll.
    poll: bool,
}

impl ChipState {
    fn irr(&self) -> u8 {
        (self.inputs & self.level_triggered) | (self.edges & !self.level_triggered)
    }

    /// Priority of `input`: 0 highest.
    fn priority(&self, input: u8) -> u8 {
        input.wrapping_sub(self.lowest).wrapping_sub(1) & 7
    }

    /// The input of highest priority in `set`.
    fn highest(&self, set: u8) -> Option<u8> {
        (0..8).map(|i| self.lowest.wrapping_add(1 + i) & 7).find(|input| set & (1 << input) != 0)
    }

    /// The input that would be acknowledged now: unmasked, and of higher priority than all in service. In special
    /// mask mode masked inputs in service block nothing; in special fully nested mode a slave's input is not
    /// blocked by itself.
    fn request(&self) -> Option<u8> {
        if self.init != Init::Done {
            return None;
        }
        let input = self.highest(self.irr() & !self.mask)?;
        let blocking = if self.special_mask { self.in_service & !self.mask } else { self.in_service };
        let Some(serving) = self.highest(blocking) else { return Some(input) };
        let same_slave = self.special_fully_nested && input == serving && self.cascade & (1 << input) != 0;
        (self.priority(input) < self.priority(serving) || same_slave).then_some(input)
    }

    fn set_input(&mut self, input: u8, high: bool) {
        let bit = 1 << (input & 7);
        if high {
            if self.inputs & bit == 0 {
                self.edges |= bit;
            }
            self.inputs |= bit;
        } else {
            // A request must stay until it is acknowledged, or the acknowledge finds none: IR7, spurious.
            self.inputs &= !bit;
            self.edges &= !bit;
        }
    }

    /// The first INTA pulse, or a poll: takes the request into service.
    fn accept(&mut self) -> Option<u8> {
        let input = self.request()?;
        let bit = 1 << input;
        self.edges &= !bit;
        if self.auto_eoi {
            if self.rotate_on_auto_eoi {
                self.lowest = input;
            }
        } else {
            self.in_service |= bit;
        }
        Some(input)
    }

    fn write_icw1(&mut self, value: u8) {
        self.init = Init::Icw2;
        self.edges = 0;
        self.in_service = 0;
        self.mask = 0;
        self.lowest = 7;
        self.cascade = 7;
        self.special_mask = false;
        self.read_in_service = false;
        self.poll = false;
        self.single = value & 0x02 != 0;
        self.expects_icw4 = value & 0x01 != 0;
        self.auto_eoi = false;
        self.special_fully_nested = false;
        self.rotate_on_auto_eoi = false;
    }

    fn write_ocw2(&mut self, value: u8) {
        let named = value & 7;
        let serving = if self.special_mask { self.in_service & !self.mask } else { self.in_service };
        let (target, rotate) = match value >> 5 {
            0b001 => (self.highest(serving), false),
            0b101 => (self.highest(serving), true),
            0b011 => (Some(named), false),
            0b111 => (Some(named), true),
            0b110 => {
                self.lowest = named;
                (None, false)
            }
            0b100 | 0b000 => {
                self.rotate_on_auto_eoi = value & 0x80 != 0;
                (None, false)
            }
            _ => (None, false),
        };
        if let Some(input) = target {
            self.in_service &= !(1 << input);
            if rotate {
                self.lowest = input;
            }
        }
    }

    fn write_ocw3(&mut self, value: u8) {
        if value & 0x40 != 0 {
            self.special_mask = value & 0x20 != 0;
        }
        self.poll = value & 0x04 != 0;
        if value & 0x02 != 0 {
            self.read_in_service = value & 0x01 != 0;
        }
    }

    fn write(&mut self, odd: bool, value: u8) {
        if !odd {
            match value & 0x18 {
                0x10 | 0x18 => self.write_icw1(value),
                0x08 => self.write_ocw3(value),
                _ => self.write_ocw2(value),
            }
            return;
        }
        let after_icw3 = if self.expects_icw4 { Init::Icw4 } else { Init::Done };
        match self.init {
            Init::Uninitialized | Init::Done => self.mask = value,
            Init::Icw2 => {
                self.base = value & 0xF8;
                self.init = if self.single { after_icw3 } else { Init::Icw3 };
            }
            Init::Icw3 => {
                self.cascade = value;
                self.init = after_icw3;
            }
            Init::Icw4 => {
                if value & 0x01 == 0 {
                    error_once!("PIC: ICW4 {value:02X}h asks for MCS-80/85 mode; a PC's processor takes 8086 vectors");
                }
                self.auto_eoi = value & 0x02 != 0;
                self.special_fully_nested = value & 0x10 != 0;
                self.init = Init::Done;
            }
        }
    }

    /// Reads a port; a poll answers at either.
    fn read(&mut self, odd: bool) -> u8 {
        if std::mem::take(&mut self.poll) {
            return self.accept().map_or(0, |input| 0x80 | input);
        }
        match (odd, self.read_in_service) {
            (true, _) => self.mask,
            (false, true) => self.in_service,
            (false, false) => self.irr(),
        }
    }
}

/// Guest-visible state of the pair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PicState {
    /// Master, slave.
    pub chips: [ChipState; 2],
}

/// The 8259A pair.
#[derive(Debug, Default)]
pub struct Pic {
    state: PicState,
}

impl Pic {
    /// The pair as it is at power-on: no interrupts until it is initialized.
    pub fn new() -> Self {
        Self::default()
    }

    /// Drives IRQ 0 to 15; IRQ 2 is the slave's and ignored.
    pub fn set_input(&mut self, irq: u8, high: bool) {
        if irq == CASCADE || irq > 15 {
            return;
        }
        self.state.chips[usize::from(irq >> 3)].set_input(irq & 7, high);
        self.update_cascade();
    }

    /// The INT output to the processor (or its LINT0 pin).
    pub fn intr(&self) -> bool {
        self.state.chips[0].request().is_some()
    }

    /// The two INTA pulses: the vector. Without a request it is that of IR7 of the chip asked, and nothing comes
    /// into service (spurious interrupt).
    pub fn acknowledge(&mut self) -> u8 {
        let [master, slave] = &mut self.state.chips;
        let Some(input) = master.accept() else { return master.base | 7 };
        if input != CASCADE || master.single || master.cascade & (1 << CASCADE) == 0 {
            return master.base | input;
        }
        let vector = slave.base | slave.accept().unwrap_or(7);
        // INT falls during the acknowledge; what is pending behind it gives a new edge.
        master.set_input(CASCADE, false);
        self.update_cascade();
        vector
    }

    fn update_cascade(&mut self) {
        let [master, slave] = &mut self.state.chips;
        master.set_input(CASCADE, slave.request().is_some());
    }

    fn read(&mut self, port: u16) -> u8 {
        let value = match port {
            0x20 | 0x21 => self.state.chips[0].read(port & 1 != 0),
            0xA0 | 0xA1 => self.state.chips[1].read(port & 1 != 0),
            0x4D0 | 0x4D1 => self.state.chips[usize::from(port & 1)].level_triggered,
            _ => 0xFF,
        };
        self.update_cascade();
        value
    }

    fn write(&mut self, port: u16, value: u8) {
        match port {
            0x20 | 0x21 => self.state.chips[0].write(port & 1 != 0, value),
            0xA0 | 0xA1 => self.state.chips[1].write(port & 1 != 0, value),
            0x4D0 | 0x4D1 => {
                let chip = usize::from(port & 1);
                self.state.chips[chip].level_triggered = value & ELCR_WRITABLE[chip];
            }
            _ => {}
        }
        self.update_cascade();
    }
}

impl Stateful for Pic {
    type Saved = PicState;

    fn save(&self) -> PicState {
        let Self { state } = self;
        state.clone()
    }

    fn restore(&mut self, state: PicState) -> Result<(), StateError> {
        self.state = state;
        Ok(())
    }
}

impl Device for Pic {
    fn claims(&self) -> Claims {
        Claims { ports: vec![0x20..0x22, 0xA0..0xA2, 0x4D0..0x4D2], mmio: vec![] }
    }

    fn reset(&mut self, _ctx: &mut Ctx) {
        for chip in &mut self.state.chips {
            *chip = ChipState { inputs: chip.inputs, lowest: 7, ..ChipState::default() };
        }
    }

    fn port_read(&mut self, _ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        split_read(port, size, |port| self.read(port))
    }

    fn port_write(&mut self, _ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        split_write(port, size, value, |port, byte| self.write(port, byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pair as a PC's firmware sets it: vectors 08h and 70h, all unmasked; `icw4` for the master.
    fn pair(icw4: u8) -> Pic {
        let mut pic = Pic::new();
        for (port, value) in [(0x20, 0x11), (0x21, 0x08), (0x21, 0x04), (0x21, icw4), (0x21, 0)] {
            pic.write(port, value);
        }
        for (port, value) in [(0xA0, 0x11), (0xA1, 0x70), (0xA1, 0x02), (0xA1, 0x01), (0xA1, 0)] {
            pic.write(port, value);
        }
        pic
    }

    #[test]
    fn pic_before_initialization_raises_no_interrupt() {
        let mut pic = Pic::new();
        pic.set_input(1, true);
        assert!(!pic.intr());
    }

    #[test]
    fn pic_two_requests_are_acknowledged_by_priority_and_nested() {
        let mut pic = pair(1);
        pic.set_input(4, true);
        pic.set_input(1, true);
        assert_eq!(pic.acknowledge(), 0x09);
        assert!(!pic.intr(), "IRQ 4 waits while IRQ 1 is in service");
        pic.set_input(0, true);
        assert_eq!(pic.acknowledge(), 0x08, "IRQ 0 interrupts IRQ 1");
        pic.write(0x20, 0x20);
        pic.write(0x20, 0x20);
        assert_eq!(pic.acknowledge(), 0x0C);
    }

    #[test]
    fn pic_edge_input_needs_a_new_edge_after_acknowledge() {
        let mut pic = pair(1);
        pic.set_input(3, true);
        assert_eq!(pic.acknowledge(), 0x0B);
        pic.write(0x20, 0x63);
        assert!(!pic.intr());
        pic.set_input(3, false);
        pic.set_input(3, true);
        assert!(pic.intr());
    }

    #[test]
    fn pic_level_input_requests_while_high() {
        let mut pic = pair(1);
        pic.write(0x4D0, 0xFF);
        assert_eq!(pic.read(0x4D0), 0xF8, "IRQ 0 to 2 stay edge-triggered");
        pic.set_input(5, true);
        assert_eq!(pic.acknowledge(), 0x0D);
        pic.write(0x20, 0x20);
        assert_eq!(pic.acknowledge(), 0x0D);
        pic.set_input(5, false);
        pic.write(0x20, 0x20);
        assert!(!pic.intr());
    }

    #[test]
    fn pic_slave_request_comes_through_the_cascade() {
        let mut pic = pair(1);
        pic.set_input(14, true);
        assert_eq!(pic.acknowledge(), 0x76);
        pic.write(0x20, 0x0B);
        pic.write(0xA0, 0x0B);
        assert_eq!((pic.read(0x20), pic.read(0xA0)), (0x04, 0x40));
        pic.set_input(15, true);
        pic.write(0xA0, 0x20);
        pic.write(0x20, 0x20);
        assert_eq!(pic.acknowledge(), 0x77);
    }

    #[test]
    fn pic_request_withdrawn_before_acknowledge_is_spurious_irq7_without_in_service() {
        let mut pic = pair(1);
        pic.set_input(3, true);
        pic.set_input(3, false);
        assert!(!pic.intr());
        assert_eq!(pic.acknowledge(), 0x0F);
        pic.write(0x20, 0x0B);
        assert_eq!(pic.read(0x20), 0);
    }

    #[test]
    fn pic_slave_masked_after_request_latched_is_spurious_irq15_with_master_in_service() {
        let mut pic = pair(1);
        pic.set_input(9, true);
        // The master is in level mode on no input, so its latch keeps the edge only while the slave's INT is high;
        // a race inside the acknowledge is what makes IRQ 15 spurious.
        pic.state.chips[1].mask = 0xFF;
        assert_eq!(pic.acknowledge(), 0x77);
        pic.write(0x20, 0x0B);
        assert_eq!(pic.read(0x20), 0x04);
    }

    #[test]
    fn pic_auto_eoi_leaves_nothing_in_service_and_rotates_when_asked() {
        let mut pic = pair(3);
        pic.write(0x20, 0x80);
        pic.set_input(3, true);
        pic.set_input(4, true);
        assert_eq!(pic.acknowledge(), 0x0B);
        assert_eq!(pic.acknowledge(), 0x0C);
        pic.set_input(3, false);
        pic.set_input(3, true);
        pic.set_input(5, true);
        assert_eq!(pic.acknowledge(), 0x0D, "after IRQ 4 was served IRQ 5 has the highest priority");
    }

    #[test]
    fn pic_rotate_on_nonspecific_eoi_makes_the_served_input_lowest() {
        let mut pic = pair(1);
        pic.set_input(0, true);
        assert_eq!(pic.acknowledge(), 0x08);
        pic.write(0x20, 0xA0);
        pic.set_input(0, false);
        pic.set_input(0, true);
        pic.set_input(7, true);
        assert_eq!(pic.acknowledge(), 0x0F);
    }

    #[test]
    fn pic_set_priority_command_names_the_lowest() {
        let mut pic = pair(1);
        pic.write(0x20, 0xC4);
        pic.set_input(1, true);
        pic.set_input(5, true);
        assert_eq!(pic.acknowledge(), 0x0D);
    }

    #[test]
    fn pic_special_mask_mode_lets_lower_priorities_through() {
        let mut pic = pair(1);
        pic.set_input(1, true);
        assert_eq!(pic.acknowledge(), 0x09);
        pic.set_input(6, true);
        assert!(!pic.intr());
        pic.write(0x21, 0x02);
        pic.write(0x20, 0x68);
        assert_eq!(pic.acknowledge(), 0x0E);
        pic.write(0x20, 0x20);
        pic.write(0x20, 0x0B);
        assert_eq!(pic.read(0x20), 0x02, "non-specific EOI leaves masked levels in service");
    }

    #[test]
    fn pic_special_fully_nested_mode_lets_the_same_slave_interrupt_itself_but_not_irq3() {
        let mut pic = pair(0x11);
        pic.set_input(12, true);
        assert_eq!(pic.acknowledge(), 0x74);
        pic.set_input(3, true);
        assert!(!pic.intr());
        pic.set_input(8, true);
        assert_eq!(pic.acknowledge(), 0x70);
    }

    #[test]
    fn pic_poll_acknowledges_and_reads_the_input() {
        let mut pic = pair(1);
        pic.write(0x20, 0x0C);
        assert_eq!(pic.read(0x20), 0x00);
        pic.set_input(6, true);
        pic.write(0x20, 0x0C);
        assert_eq!(pic.read(0x20), 0x86);
        pic.write(0x20, 0x0B);
        assert_eq!(pic.read(0x20), 0x40);
    }

    #[test]
    fn pic_icw1_clears_mask_edges_and_selects_the_request_register() {
        let mut pic = pair(1);
        pic.write(0x21, 0xFF);
        pic.set_input(1, true);
        pic.write(0x20, 0x0B);
        pic.write(0x20, 0x11);
        assert_eq!(pic.read(0x21), 0);
        assert_eq!(pic.read(0x20), 0, "the edge is forgotten: the input must rise again");
    }
}

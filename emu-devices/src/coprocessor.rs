//! The PC's handling of x87 errors with CR0.NE clear: FERR# to IRQ 13, and port F0h, which asserts IGNNE# (SDM Vol. 1
//! D.2.1.2; 82371SB data sheet, "Coprocessor error").

use crate::device::{Claims, Ctx, Device};
use crate::line::Line;
use crate::state::{StateError, Stateful};
use serde::{Deserialize, Serialize};

/// Clears the coprocessor-busy latch.
const CLEAR_BUSY: u16 = 0xF0;

/// Guest-visible state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoprocessorState {
    /// FERR# as the processor drives it.
    ferr: bool,
    /// IGNNE# as the chip set drives it: from a write to port F0h until FERR# falls.
    ignne: bool,
}

/// The latch between FERR#, IRQ 13 and IGNNE#.
#[derive(Debug)]
pub struct Coprocessor {
    irq: Line,
    state: CoprocessorState,
}

impl Coprocessor {
    /// A latch that drives `irq` (IRQ 13).
    pub fn new(irq: Line) -> Self {
        Self { irq, state: CoprocessorState::default() }
    }

    /// Whether FERR# is asserted.
    pub fn ferr(&self) -> bool {
        self.state.ferr
    }

    /// Whether IGNNE# is asserted.
    pub fn ignne(&self) -> bool {
        self.state.ignne
    }

    /// FERR# changes.
    pub fn set_ferr(&mut self, ctx: &mut Ctx, asserted: bool) {
        if asserted && !self.state.ferr {
            ctx.lines.set(self.irq, true);
        }
        self.state.ferr = asserted;
        self.state.ignne &= asserted;
    }
}

impl Stateful for Coprocessor {
    type Saved = CoprocessorState;

    fn save(&self) -> CoprocessorState {
        let Self { irq: _, state } = self;
        *state
    }

    fn restore(&mut self, state: CoprocessorState) -> Result<(), StateError> {
        self.state = state;
        Ok(())
    }
}

impl Device for Coprocessor {
    fn claims(&self) -> Claims {
        Claims { ports: vec![u32::from(CLEAR_BUSY)..u32::from(CLEAR_BUSY) + 2], ..Claims::default() }
    }

    fn reset(&mut self, _ctx: &mut Ctx) {
        self.state = CoprocessorState::default();
    }

    /// Port F0h ends the interrupt; while the error stands, waiting instructions may go on. Port F1h reset the 80287
    /// and does nothing since.
    fn port_write(&mut self, ctx: &mut Ctx, port: u16, _size: u8, _value: u32) {
        if port == CLEAR_BUSY {
            ctx.lines.set(self.irq, false);
            self.state.ignne = self.state.ferr;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceId;
    use crate::testing::Bench;

    #[test]
    fn irq13_stays_up_until_port_f0_and_ignne_until_ferr_falls() {
        let irq = Line(13);
        let mut bench = Bench::new(DeviceId::Coprocessor, 1_000_000);
        let mut latch = Coprocessor::new(irq);
        latch.set_ferr(&mut bench.ctx(), true);
        assert!(bench.lines.level(irq) && !latch.ignne());
        latch.port_write(&mut bench.ctx(), 0xF0, 1, 0);
        assert!(!bench.lines.level(irq) && latch.ignne());
        latch.set_ferr(&mut bench.ctx(), true);
        assert!(!bench.lines.level(irq) && latch.ignne());
        latch.set_ferr(&mut bench.ctx(), false);
        assert!(!latch.ignne());
        latch.set_ferr(&mut bench.ctx(), true);
        assert!(bench.lines.level(irq));
    }
}

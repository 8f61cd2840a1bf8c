//! Segment selectors (SDM Vol. 3A 3.4.2).

/// A segment selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selector(pub u16);

impl Selector {
    /// Index 0 of the GDT, whatever the RPL.
    pub fn is_null(self) -> bool {
        self.0 & !3 == 0
    }

    /// Requested privilege level, 0 to 3.
    pub fn rpl(self) -> u8 {
        (self.0 & 3) as u8
    }

    /// TI: the descriptor is in the LDT.
    pub fn is_local(self) -> bool {
        self.0 & 4 != 0
    }

    /// Offset of the descriptor in its table.
    pub fn offset(self) -> u64 {
        u64::from(self.0 & !7)
    }

    /// The same selector with another RPL.
    pub fn with_rpl(self, rpl: u8) -> Self {
        Self(self.0 & !3 | u16::from(rpl & 3))
    }

    /// Error code that names this selector; `ext` is 1 for an event external to the program (SDM Vol. 3A 6.13).
    pub fn error(self, ext: u32) -> u32 {
        u32::from(self.0 & !3) | ext
    }
}

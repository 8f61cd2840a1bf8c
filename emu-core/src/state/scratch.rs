//! What one instruction leaves for its own later steps.

/// Where the write half of a read-modify-write goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct RmwTarget {
    /// Linear address of the first byte.
    pub(crate) linear: u64,
    /// Physical address of the first byte.
    pub(crate) physical: u64,
    /// Physical address of the part in the next page, and how many bytes lie before it; 0 when there is none.
    pub(crate) second: u64,
    pub(crate) first_len: u8,
}

//! What task switches are (SDM Vol. 3A 10.3 "Task Switching").

/// What switches tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskSwitch {
    /// JMP to a TSS or task gate.
    Jump,
    /// CALL to a TSS or task gate.
    Call,
    /// IRET with NT.
    Iret,
    /// An event through a task gate of the IDT.
    Event,
}

impl TaskSwitch {
    /// Whether the new task is nested: its link names the old one, which stays busy.
    pub fn nests(self) -> bool {
        matches!(self, Self::Call | Self::Event)
    }
}

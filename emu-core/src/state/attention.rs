//! What the next instruction boundary has to look at: derived from the state.

bitflags::bitflags! {
    /// What the next instruction boundary has to look at: derived from the state.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
    pub struct Attention: u32 {
        /// The PIC's INTR line is high, or an ExtINT message was received.
        const INTR = 1 << 0;
        /// The local APIC has an interrupt to deliver.
        const APIC = 1 << 1;
        /// An NMI waits.
        const NMI = 1 << 2;
        /// INIT was received.
        const INIT = 1 << 3;
        /// A start-up IPI was received.
        const SIPI = 1 << 4;
        /// TF, an interrupt shadow, pending debug conditions or instruction breakpoints: run one instruction at a time.
        const STEP = 1 << 5;
        /// The processor does not execute (HLT, shutdown, wait-for-SIPI).
        const STOPPED = 1 << 6;
        /// VMX non-root operation: something waits that every boundary must look at.
        const VMX = 1 << 7;
    }
}

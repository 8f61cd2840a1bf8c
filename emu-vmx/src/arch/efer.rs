//! IA32_EFER (SDM Vol. 3A 2.2.1 "Extended Feature Enable Register"). AMD's LMSLE, FFXSR and SVME do not exist here:
//! they are reserved, and writing them raises #GP.

use serde::{Deserialize, Serialize};

bitflags::bitflags! {
    /// IA32_EFER.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct Efer: u64 {
        /// SYSCALL enable.
        const SCE = 1 << 0;
        /// IA-32e mode enable.
        const LME = 1 << 8;
        /// IA-32e mode active (read-only to WRMSR).
        const LMA = 1 << 10;
        /// Execute-disable bit enable.
        const NXE = 1 << 11;
    }
}

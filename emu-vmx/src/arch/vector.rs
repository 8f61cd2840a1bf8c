//! Exception vectors and their error codes (SDM Vol. 3A 6.3 "Sources of Interrupts", 6.15 "Exception and Interrupt
//! Reference").

use serde::{Deserialize, Serialize};

/// #DE, divide error.
pub const DE: u8 = 0;
/// #DB, debug.
pub const DB: u8 = 1;
/// Non-maskable interrupt.
pub const NMI: u8 = 2;
/// #BP, breakpoint (INT3).
pub const BP: u8 = 3;
/// #OF, overflow (INTO).
pub const OF: u8 = 4;
/// #BR, BOUND range exceeded.
pub const BR: u8 = 5;
/// #UD, invalid opcode.
pub const UD: u8 = 6;
/// #NM, device not available.
pub const NM: u8 = 7;
/// #DF, double fault.
pub const DF: u8 = 8;
/// Coprocessor segment overrun (reserved since the Intel486).
pub const COPROCESSOR_OVERRUN: u8 = 9;
/// #TS, invalid TSS.
pub const TS: u8 = 10;
/// #NP, segment not present.
pub const NP: u8 = 11;
/// #SS, stack-segment fault.
pub const SS: u8 = 12;
/// #GP, general protection.
pub const GP: u8 = 13;
/// #PF, page fault.
pub const PF: u8 = 14;
/// #MF, x87 floating-point error.
pub const MF: u8 = 16;
/// #AC, alignment check.
pub const AC: u8 = 17;
/// #MC, machine check.
pub const MC: u8 = 18;
/// #XM, SIMD floating-point.
pub const XM: u8 = 19;
/// #VE, virtualization exception.
pub const VE: u8 = 20;
/// #CP, control protection.
pub const CP: u8 = 21;

/// Whether the exception `vector` pushes an error code outside real-address mode.
pub const fn has_error_code(vector: u8) -> bool {
    matches!(vector, DF | TS | NP | SS | GP | PF | AC | CP)
}

/// The SDM's mnemonic of an exception vector, for logs and dumps.
pub const fn name(vector: u8) -> &'static str {
    match vector {
        DE => "#DE",
        DB => "#DB",
        NMI => "NMI",
        BP => "#BP",
        OF => "#OF",
        BR => "#BR",
        UD => "#UD",
        NM => "#NM",
        DF => "#DF",
        TS => "#TS",
        NP => "#NP",
        SS => "#SS",
        GP => "#GP",
        PF => "#PF",
        MF => "#MF",
        AC => "#AC",
        MC => "#MC",
        XM => "#XM",
        VE => "#VE",
        CP => "#CP",
        _ => "reserved",
    }
}

/// Class of an exception for the double-fault rule (SDM Vol. 3A Table 6-4 "Interrupt and Exception Classes").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExceptionClass {
    /// Never makes a double fault.
    Benign,
    /// Two of these make a double fault.
    Contributory,
    /// Page fault or virtualization exception.
    PageFault,
}

/// Class of the exception `vector`; interrupts are benign.
pub const fn class(vector: u8) -> ExceptionClass {
    match vector {
        DE | TS | NP | SS | GP | CP => ExceptionClass::Contributory,
        PF | VE => ExceptionClass::PageFault,
        _ => ExceptionClass::Benign,
    }
}

/// What happens when `second` is raised while `first` is being delivered (SDM Vol. 3A Table 6-5 "Conditions for
/// Generating a Double Fault").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NestedFault {
    /// The second exception is delivered instead.
    Serial,
    /// #DF is delivered.
    DoubleFault,
    /// The processor shuts down (triple fault).
    Shutdown,
}

/// Applies the double-fault rule. `first_is_exception` is false when an external or software interrupt or an NMI was
/// being delivered.
pub const fn nest(first: u8, first_is_exception: bool, second: u8) -> NestedFault {
    if !first_is_exception {
        return NestedFault::Serial;
    }
    let second_class = class(second);
    if first == DF {
        return match second_class {
            ExceptionClass::Benign => NestedFault::Serial,
            _ => NestedFault::Shutdown,
        };
    }
    match (class(first), second_class) {
        (ExceptionClass::Contributory, ExceptionClass::Contributory)
        | (ExceptionClass::PageFault, ExceptionClass::Contributory | ExceptionClass::PageFault) => {
            NestedFault::DoubleFault
        }
        _ => NestedFault::Serial,
    }
}

bitflags::bitflags! {
    /// Page-fault error code (SDM Vol. 3A 4.7 "Page-Fault Exceptions").
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct PageFaultError: u32 {
        /// The translation was present; the access violated protection.
        const P = 1 << 0;
        /// Write access.
        const WR = 1 << 1;
        /// User-mode access.
        const US = 1 << 2;
        /// A reserved bit was set in a paging-structure entry.
        const RSVD = 1 << 3;
        /// Instruction fetch (with NXE or SMEP).
        const ID = 1 << 4;
        /// Protection-key violation.
        const PK = 1 << 5;
        /// Shadow-stack access.
        const SS = 1 << 6;
        /// HLAT paging was used.
        const HLAT = 1 << 7;
        /// SGX access-control violation.
        const SGX = 1 << 15;
    }
}

bitflags::bitflags! {
    /// Low bits of the error code that names a selector (SDM Vol. 3A 6.13 "Error Code").
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct SelectorError: u32 {
        /// External event.
        const EXT = 1 << 0;
        /// The index is of an IDT gate.
        const IDT = 1 << 1;
        /// The index is in the LDT (when IDT is clear).
        const TI = 1 << 2;
    }
}

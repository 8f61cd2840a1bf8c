//! Which descriptor may be loaded where: pure functions of access rights and privilege levels.

use super::selector::Selector;
use emu_vmx::arch::segment::AccessRights;
use emu_vmx::arch::vector;

/// The exception of a rule that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Vector.
    pub vector: u8,
    /// Error code.
    pub code: u32,
}

/// What a rule says.
pub type Verdict = Result<(), Refusal>;

fn refuse(vector: u8, selector: Selector, ext: u32) -> Verdict {
    Err(Refusal { vector, code: selector.error(ext) })
}

/// Requires P, else the exception `vector`.
pub fn present(rights: AccessRights, vector: u8, selector: Selector, ext: u32) -> Verdict {
    if rights.present() { Ok(()) } else { refuse(vector, selector, ext) }
}

/// A descriptor for DS, ES, FS or GS (SDM Vol. 2B, MOV; Vol. 3A 5.6). `wrong` is #GP, or #TS in a task switch.
pub fn data_segment(rights: AccessRights, selector: Selector, cpl: u8, wrong: u8, ext: u32) -> Verdict {
    let too_private = !rights.conforming() && (selector.rpl() > rights.dpl() || cpl > rights.dpl());
    if !rights.readable() || too_private {
        return refuse(wrong, selector, ext);
    }
    present(rights, vector::NP, selector, ext)
}

/// A descriptor for SS at privilege `cpl`. `wrong` is #GP, or #TS where the selector comes from a TSS.
pub fn stack_segment(rights: AccessRights, selector: Selector, cpl: u8, wrong: u8, ext: u32) -> Verdict {
    if selector.rpl() != cpl || rights.dpl() != cpl || !rights.writable() {
        return refuse(wrong, selector, ext);
    }
    present(rights, vector::SS, selector, ext)
}

/// In IA-32e mode a code segment cannot have both L and D.
fn code_size(rights: AccessRights, selector: Selector, long: bool) -> Verdict {
    if long && rights.long() && rights.default_big() { refuse(vector::GP, selector, 0) } else { Ok(()) }
}

/// The code segment of a far JMP or CALL without a gate (SDM Vol. 3A 5.8.1).
pub fn direct_transfer(rights: AccessRights, selector: Selector, cpl: u8, long: bool) -> Verdict {
    let allowed = if rights.conforming() {
        rights.dpl() <= cpl
    } else {
        rights.is_code() && selector.rpl() <= cpl && rights.dpl() == cpl
    };
    if !allowed {
        return refuse(vector::GP, selector, 0);
    }
    code_size(rights, selector, long)?;
    present(rights, vector::NP, selector, 0)
}

/// The code segment that a call gate names (SDM Vol. 3A 5.8.4). Only CALL may gain privilege.
pub fn gate_transfer(rights: AccessRights, selector: Selector, cpl: u8, long: bool, call: bool) -> Verdict {
    let allowed =
        rights.is_code() && if call || rights.conforming() { rights.dpl() <= cpl } else { rights.dpl() == cpl };
    // A 64-bit call gate leads to 64-bit code.
    if !allowed || (long && (!rights.long() || rights.default_big())) {
        return refuse(vector::GP, selector, 0);
    }
    present(rights, vector::NP, selector, 0)
}

/// The code segment that an interrupt or trap gate names (SDM Vol. 3A 6.12.1).
pub fn interrupt_transfer(rights: AccessRights, selector: Selector, cpl: u8, long: bool, ext: u32) -> Verdict {
    if !rights.is_code() || rights.dpl() > cpl {
        return refuse(vector::GP, selector, ext);
    }
    present(rights, vector::NP, selector, ext)?;
    if long && (!rights.long() || rights.default_big()) { refuse(vector::GP, selector, ext) } else { Ok(()) }
}

/// The code segment that RET or IRET returns to (SDM Vol. 3A 5.8.6).
pub fn return_transfer(rights: AccessRights, selector: Selector, cpl: u8, long: bool) -> Verdict {
    let rpl = selector.rpl();
    let allowed = rights.is_code() && if rights.conforming() { rights.dpl() <= rpl } else { rights.dpl() == rpl };
    if !allowed || rpl < cpl {
        return refuse(vector::GP, selector, 0);
    }
    code_size(rights, selector, long)?;
    present(rights, vector::NP, selector, 0)
}

/// The code segment of a task that is switched to; its RPL becomes CPL (SDM Vol. 3A Table 8-1).
pub fn task_code(rights: AccessRights, selector: Selector, ext: u32) -> Verdict {
    let rpl = selector.rpl();
    let allowed = rights.is_code() && if rights.conforming() { rights.dpl() <= rpl } else { rights.dpl() == rpl };
    if !allowed {
        return refuse(vector::TS, selector, ext);
    }
    present(rights, vector::NP, selector, ext)
}

/// Whether a data-segment register keeps its segment when a return lowers the privilege to `cpl`
/// (SDM Vol. 3A 5.8.6).
pub fn survives_return(rights: AccessRights, cpl: u8) -> bool {
    rights.unusable() || rights.conforming() || rights.dpl() >= cpl
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn rights(bits: u32) -> AccessRights {
        AccessRights::from_bits_retain(bits)
    }

    #[test]
    fn data_segment_with_rpl_above_dpl_is_gp_but_conforming_code_has_no_such_rule() {
        assert_eq!(
            data_segment(rights(0x93), Selector(0x13), 0, vector::GP, 0),
            Err(Refusal { vector: vector::GP, code: 0x10 })
        );
        assert_eq!(data_segment(rights(0x9F), Selector(0x13), 3, vector::GP, 0), Ok(()));
    }

    #[test]
    fn stack_segment_not_present_is_ss_and_wrong_privilege_comes_first() {
        assert_eq!(
            stack_segment(rights(0x13), Selector(0x10), 0, vector::GP, 0),
            Err(Refusal { vector: vector::SS, code: 0x10 })
        );
        assert_eq!(
            stack_segment(rights(0x13), Selector(0x13), 0, vector::TS, 1),
            Err(Refusal { vector: vector::TS, code: 0x11 })
        );
    }

    #[test]
    fn gate_to_inner_code_is_for_call_only() {
        assert_eq!(gate_transfer(rights(0x9B), Selector(8), 3, false, true), Ok(()));
        assert!(gate_transfer(rights(0x9B), Selector(8), 3, false, false).is_err());
        assert_eq!(gate_transfer(rights(0x9F), Selector(8), 3, false, false), Ok(()));
    }
}

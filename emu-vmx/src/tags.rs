//! Which cached translations an operation must invalidate (SDM Vol. 3C 29.4 "Caching Translation Information",
//! 29.4.3 "Invalidating Cached Translation Information"; Vol. 3A 4.10.4).

use crate::arch::addr::is_canonical;
use crate::caps::{EptVpidCap, ProcessorFacts};
use crate::ept::{entry, eptp_valid};
use crate::vmcs::VmInstructionError;
use serde::{Deserialize, Serialize};

/// “EP4TA”: bits 51:12 of EPTP name an EPT hierarchy.
pub const fn ep4ta(eptp: u64) -> u64 {
    eptp & entry::ADDRESS
}

/// A cached translation (TLB entry or paging-structure-cache entry).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mapping {
    /// Linear mapping (EPT not in use), or with `ep4ta` a combined mapping.
    Linear {
        /// VPID; 0 outside VMX non-root operation and without “enable VPID”.
        vpid: u16,
        /// PCID; 0 without CR4.PCIDE.
        pcid: u16,
        /// EPT hierarchy of a combined mapping.
        ep4ta: Option<u64>,
        /// Linear address of the page, aligned to `shift`.
        page: u64,
        /// log2 of the page size.
        shift: u8,
        /// The page is global.
        global: bool,
    },
    /// Guest-physical mapping: from EPT alone.
    GuestPhysical {
        /// EPT hierarchy.
        ep4ta: u64,
        /// Guest-physical address of the page, aligned to `shift`.
        page: u64,
        /// log2 of the page size.
        shift: u8,
    },
}

/// An operation that invalidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Invalidation {
    /// Everything (reset, a change of what no tag carries).
    All,
    /// INVLPG, or INVPCID type 0 with its PCID: one linear address.
    LinearAddress {
        /// VPID.
        vpid: u16,
        /// PCID.
        pcid: u16,
        /// Linear address.
        address: u64,
        /// Global translations go too (INVLPG); INVPCID type 0 may keep them.
        globals: bool,
    },
    /// MOV CR3 without bit 63, INVPCID type 1: a PCID, not its globals. As all that says nothing of EPT, this is for every
    /// hierarchy (29.4.3.1).
    Pcid {
        /// VPID.
        vpid: u16,
        /// PCID.
        pcid: u16,
    },
    /// MOV CR4 that changes PGE, or sets SMEP/changes paging; INVPCID type 2: all PCIDs, also globals; INVVPID type 1.
    Vpid {
        /// VPID.
        vpid: u16,
    },
    /// INVPCID type 3; INVVPID type 3: all PCIDs, not the globals.
    VpidRetainingGlobals {
        /// VPID.
        vpid: u16,
    },
    /// INVVPID type 0: one linear address in a VPID, every PCID, also globals.
    VpidAddress {
        /// VPID.
        vpid: u16,
        /// Linear address.
        address: u64,
    },
    /// INVVPID type 2: every VPID but 0.
    AllVpids,
    /// INVEPT type 1: guest-physical and combined mappings of a hierarchy.
    Ept {
        /// EPT hierarchy.
        ep4ta: u64,
    },
    /// INVEPT type 2.
    AllEpt,
    /// An EPT violation: guest-physical mappings of the address, and combined mappings of the linear address, if any.
    EptViolation {
        /// EPT hierarchy.
        ep4ta: u64,
        /// VPID.
        vpid: u16,
        /// PCID.
        pcid: u16,
        /// Guest-physical address.
        guest_physical: u64,
        /// Linear address, if there was one.
        linear: Option<u64>,
    },
}

const fn covers(page: u64, shift: u8, address: u64) -> bool {
    let shift = if shift < 64 { shift } else { 63 };
    page >> shift == address >> shift
}

impl Invalidation {
    /// The linear address, of an operation that invalidates no other.
    pub fn linear_address(&self) -> Option<u64> {
        match *self {
            Invalidation::LinearAddress { address, .. } | Invalidation::VpidAddress { address, .. } => Some(address),
            Invalidation::EptViolation { linear, .. } => linear,
            _ => None,
        }
    }

    /// Whether `mapping` must go.
    pub fn affects(&self, mapping: &Mapping) -> bool {
        match *mapping {
            Mapping::Linear { vpid, pcid, ep4ta, page, shift, global } => match *self {
                Invalidation::All => true,
                Invalidation::LinearAddress { vpid: v, pcid: p, address, globals } => {
                    vpid == v && covers(page, shift, address) && if global { globals } else { pcid == p }
                }
                Invalidation::Pcid { vpid: v, pcid: p } => vpid == v && pcid == p && !global,
                Invalidation::Vpid { vpid: v } => vpid == v,
                Invalidation::VpidRetainingGlobals { vpid: v } => vpid == v && !global,
                Invalidation::VpidAddress { vpid: v, address } => vpid == v && covers(page, shift, address),
                Invalidation::AllVpids => vpid != 0,
                Invalidation::Ept { ep4ta: e } => ep4ta == Some(e),
                Invalidation::AllEpt => ep4ta.is_some(),
                Invalidation::EptViolation { ep4ta: e, vpid: v, pcid: p, linear, .. } => {
                    ep4ta == Some(e)
                        && vpid == v
                        && (pcid == p || global)
                        && linear.is_some_and(|address| covers(page, shift, address))
                }
            },
            Mapping::GuestPhysical { ep4ta, page, shift } => match *self {
                Invalidation::All | Invalidation::AllEpt => true,
                Invalidation::Ept { ep4ta: e } => ep4ta == e,
                Invalidation::EptViolation { ep4ta: e, guest_physical, .. } => {
                    ep4ta == e && covers(page, shift, guest_physical)
                }
                _ => false,
            },
        }
    }
}

/// Whether a cached mapping may be used now: `vpid`, `pcid` and `ep4ta` are the current ones.
pub fn usable(mapping: &Mapping, vpid: u16, pcid: u16, ep4ta: Option<u64>) -> bool {
    match *mapping {
        Mapping::Linear { vpid: v, pcid: p, ep4ta: e, global, .. } => v == vpid && e == ep4ta && (global || p == pcid),
        Mapping::GuestPhysical { ep4ta: e, .. } => ep4ta == Some(e),
    }
}

/// What VM entry or VM exit invalidates: VPID 0 when “enable VPID” is 0, nothing otherwise.
pub const fn vm_transition(enable_vpid: bool) -> Option<Invalidation> {
    if enable_vpid { None } else { Some(Invalidation::Vpid { vpid: 0 }) }
}

/// Whether the processor has a type of INVEPT.
pub fn has_invept(kind: u64, cap: EptVpidCap) -> bool {
    match kind {
        1 => cap.contains(EptVpidCap::INVEPT_SINGLE),
        2 => cap.contains(EptVpidCap::INVEPT_ALL),
        _ => false,
    }
}

/// Whether the processor has a type of INVVPID.
pub fn has_invvpid(kind: u64, cap: EptVpidCap) -> bool {
    match kind {
        0 => cap.contains(EptVpidCap::INVVPID_ADDRESS),
        1 => cap.contains(EptVpidCap::INVVPID_SINGLE),
        2 => cap.contains(EptVpidCap::INVVPID_ALL),
        3 => cap.contains(EptVpidCap::INVVPID_SINGLE_RETAINING_GLOBALS),
        _ => false,
    }
}

/// INVEPT (SDM Vol. 3C 31.3): `descriptor` is the first quadword of its operand (EPTP).
pub fn invept(
    kind: u64,
    descriptor: u64,
    cap: EptVpidCap,
    cpu: &ProcessorFacts,
) -> Result<Invalidation, VmInstructionError> {
    let refused = Err(VmInstructionError::InvalidInvalidationOperand);
    match kind {
        _ if !has_invept(kind, cap) => refused,
        1 if !eptp_valid(descriptor, cap, cpu) => refused,
        1 => Ok(Invalidation::Ept { ep4ta: ep4ta(descriptor) }),
        _ => Ok(Invalidation::AllEpt),
    }
}

/// INVVPID (SDM Vol. 3C 31.3): `descriptor` is its operand: VPID in bits 15:0, the rest of the first quadword is
/// reserved, linear address in the second.
pub fn invvpid(
    kind: u64,
    descriptor: [u64; 2],
    cap: EptVpidCap,
    cpu: &ProcessorFacts,
) -> Result<Invalidation, VmInstructionError> {
    let refused = Err(VmInstructionError::InvalidInvalidationOperand);
    let [first, address] = descriptor;
    if !has_invvpid(kind, cap) || first >> 16 != 0 {
        return refused;
    }
    let vpid = first as u16;
    if kind != 2 && vpid == 0 {
        return refused;
    }
    match kind {
        0 if is_canonical(address, cpu.linear_width) => Ok(Invalidation::VpidAddress { vpid, address }),
        1 => Ok(Invalidation::Vpid { vpid }),
        2 => Ok(Invalidation::AllVpids),
        3 => Ok(Invalidation::VpidRetainingGlobals { vpid }),
        _ => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(vpid: u16, pcid: u16, ep4ta: Option<u64>, global: bool) -> Mapping {
        Mapping::Linear { vpid, pcid, ep4ta, page: 0x40_0000, shift: 21, global }
    }
    const PHYSICAL: Mapping = Mapping::GuestPhysical { ep4ta: 0x1000, page: 0x5000, shift: 12 };

    #[test]
    fn invlpg_takes_globals_of_every_pcid_but_no_other_vpid() {
        let invlpg = Invalidation::LinearAddress { vpid: 1, pcid: 2, address: 0x41_2345, globals: true };
        assert!(invlpg.affects(&linear(1, 2, None, false)) && invlpg.affects(&linear(1, 9, None, true)));
        assert!(invlpg.affects(&linear(1, 2, Some(0x1000), false)));
        assert!(!invlpg.affects(&linear(1, 9, None, false)) && !invlpg.affects(&linear(2, 2, None, true)));
        assert!(!invlpg.affects(&PHYSICAL));
    }

    #[test]
    fn mov_cr3_keeps_globals_and_other_pcids() {
        let mov = Invalidation::Pcid { vpid: 0, pcid: 1 };
        assert!(mov.affects(&linear(0, 1, None, false)));
        assert!(!mov.affects(&linear(0, 1, None, true)) && !mov.affects(&linear(0, 2, None, false)));
    }

    #[test]
    fn invvpid_keeps_guest_physical_and_invept_keeps_linear_mappings() {
        for scope in [Invalidation::AllVpids, Invalidation::Vpid { vpid: 1 }] {
            assert!(scope.affects(&linear(1, 0, Some(0x1000), true)) && !scope.affects(&PHYSICAL));
        }
        assert!(!Invalidation::AllVpids.affects(&linear(0, 0, None, false)));
        let ept = Invalidation::Ept { ep4ta: 0x1000 };
        assert!(ept.affects(&PHYSICAL) && ept.affects(&linear(7, 3, Some(0x1000), true)));
        assert!(!ept.affects(&linear(7, 3, Some(0x2000), true)) && !ept.affects(&linear(7, 3, None, true)));
    }

    #[test]
    fn invvpid_operand_errors() {
        let cpu = ProcessorFacts::CORE_I5_M520;
        let all = EptVpidCap::all();
        assert_eq!(invvpid(1, [5, 0], all, &cpu), Ok(Invalidation::Vpid { vpid: 5 }));
        assert_eq!(invvpid(2, [0, 0], all, &cpu), Ok(Invalidation::AllVpids));
        for (kind, descriptor) in [(0, [0, 0]), (1, [0, 0]), (3, [0, 0]), (4, [5, 0]), (1, [0x1_0005, 0])] {
            assert!(invvpid(kind, descriptor, all, &cpu).is_err(), "{kind} {descriptor:x?}");
        }
        assert!(invvpid(0, [5, 1 << 47], all, &cpu).is_err());
        assert!(invvpid(1, [5, 0], all.difference(EptVpidCap::INVVPID_SINGLE), &cpu).is_err());
    }

    #[test]
    fn invept_single_context_needs_a_valid_eptp() {
        let (cpu, all) = (ProcessorFacts::CORE_I5_M520, EptVpidCap::all());
        assert_eq!(invept(1, 0x7000 | 0x1E, all, &cpu), Ok(Invalidation::Ept { ep4ta: 0x7000 }));
        assert_eq!(invept(2, 0, all, &cpu), Ok(Invalidation::AllEpt));
        assert!(invept(1, 0x7000, all, &cpu).is_err() && invept(0, 0x701E, all, &cpu).is_err());
    }
}

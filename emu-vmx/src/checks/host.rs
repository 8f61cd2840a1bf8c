//! Checks on the host-state area (SDM Vol. 3C 27.2.2–27.2.4): VMfailValid with error 8.

/// Checks on Host Control Registers, MSRs, and SSP.
pub mod registers {
    use crate::arch::{Cr0, Cr4, Efer, msr};
    use crate::checks::{CR0_UNCHECKED, CheckContext, Section, Stage, differing, rules};
    use crate::controls::*;
    use crate::field::Field;

    const SECTION: Section = Section { number: "27.2.2", title: "Checks on Host Control Registers, MSRs, and SSP" };

    /// Host IA32_EFER with LMA and LME as “host address-space size” asks.
    fn host_efer(c: &CheckContext) -> Option<u64> {
        let both = (Efer::LMA | Efer::LME).bits();
        let efer = c.get(Field::HostIa32Efer);
        Some(if c.exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE) { efer | both } else { efer & !both })
    }

    rules! {
        section SECTION; stage Stage::HostState; qualification 0;
        "host.cr0.fixed" => [HostCr0],
            "host CR0 respects IA32_VMX_CR0_FIXED0 and FIXED1 (NW and CD are not checked)",
            [word(Field::HostCr0)],
            |c| c.caps.cr0_allowed(c.get(Field::HostCr0) & !CR0_UNCHECKED | c.caps.cr0_fixed0 & CR0_UNCHECKED),
            show |c| differing(Field::HostCr0, c.caps.cr0_fixed0 & !c.get(Field::HostCr0) & !CR0_UNCHECKED,
                c.get(Field::HostCr0) & !c.caps.cr0_fixed1 & !CR0_UNCHECKED);
        "host.cr4.fixed" => [HostCr4],
            "host CR4 respects IA32_VMX_CR4_FIXED0 and FIXED1",
            [word(Field::HostCr4)],
            |c| c.caps.cr4_allowed(c.get(Field::HostCr4)),
            show |c| differing(Field::HostCr4, c.caps.cr4_fixed0 & !c.get(Field::HostCr4),
                c.get(Field::HostCr4) & !c.caps.cr4_fixed1);
        "host.cr4.cet_wp" => [HostCr0, HostCr4],
            "host CR0.WP is 1 when host CR4.CET is 1",
            [set(Field::HostCr0, Cr0::WP.bits()), clear(Field::HostCr4, Cr4::CET.bits())],
            |c| c.get(Field::HostCr4) & Cr4::CET.bits() == 0 || c.get(Field::HostCr0) & Cr0::WP.bits() != 0;
        "host.cr3.width" => [VmExitControls, HostCr3],
            "host CR3 has no bit beyond the physical-address width (bits 62:61 excepted for a VMM in IA-32e mode on a \
             processor with linear-address masking)",
            [make(Field::HostCr3, |c| {
                Some(c.cr3_within(Field::HostCr3, c.exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE)))
            })],
            |c| c.cr3_ok(Field::HostCr3, c.exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE));
        "host.sysenter_esp.canonical" => [HostIa32SysenterEsp],
            "host IA32_SYSENTER_ESP is canonical",
            [canonical(Field::HostIa32SysenterEsp)],
            |c| c.canonical(Field::HostIa32SysenterEsp);
        "host.sysenter_eip.canonical" => [HostIa32SysenterEip],
            "host IA32_SYSENTER_EIP is canonical",
            [canonical(Field::HostIa32SysenterEip)],
            |c| c.canonical(Field::HostIa32SysenterEip);
        "host.perf_global_ctrl.reserved" => [VmExitControls, HostIa32PerfGlobalCtrl],
            "with “load IA32_PERF_GLOBAL_CTRL” no reserved bit of host IA32_PERF_GLOBAL_CTRL is set",
            [make(Field::HostIa32PerfGlobalCtrl, |c| {
                Some(c.get(Field::HostIa32PerfGlobalCtrl) & c.cpu.perf_global_ctrl_mask)
            })],
            when |c| c.exit.contains(VmExitControls::LOAD_IA32_PERF_GLOBAL_CTRL),
            |c| c.get(Field::HostIa32PerfGlobalCtrl) & !c.cpu.perf_global_ctrl_mask == 0;
        "host.pat.types" => [VmExitControls, HostIa32Pat],
            "with “load IA32_PAT” each byte of host IA32_PAT is 0, 1, 4, 5, 6 or 7",
            [
                all(
                    &[make(Field::HostIa32Pat, |c| Some(msr::pat_repaired(c.get(Field::HostIa32Pat))))],
                    "bytes that are no memory type get what they are after reset",
                ),
            ],
            when |c| c.exit.contains(VmExitControls::LOAD_IA32_PAT),
            |c| msr::pat_valid(c.get(Field::HostIa32Pat));
        "host.efer.reserved" => [VmExitControls, HostIa32Efer],
            "with “load IA32_EFER” no reserved bit of host IA32_EFER is set",
            [make(Field::HostIa32Efer, |c| Some(c.get(Field::HostIa32Efer) & c.cpu.efer_mask))],
            when |c| c.exit.contains(VmExitControls::LOAD_IA32_EFER),
            |c| c.get(Field::HostIa32Efer) & !c.cpu.efer_mask == 0;
        "host.efer.lma" => [VmExitControls, HostIa32Efer],
            "with “load IA32_EFER” host IA32_EFER.LMA equals “host address-space size”",
            [make(Field::HostIa32Efer, host_efer), off_exit(VmExitControls::LOAD_IA32_EFER)],
            when |c| c.exit.contains(VmExitControls::LOAD_IA32_EFER),
            |c| c.efer(Field::HostIa32Efer).contains(Efer::LMA)
                    == c.exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE);
        "host.efer.lme" => [VmExitControls, HostIa32Efer],
            "with “load IA32_EFER” host IA32_EFER.LME equals “host address-space size”",
            [make(Field::HostIa32Efer, host_efer), off_exit(VmExitControls::LOAD_IA32_EFER)],
            when |c| c.exit.contains(VmExitControls::LOAD_IA32_EFER),
            |c| c.efer(Field::HostIa32Efer).contains(Efer::LME)
                    == c.exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE);
        "host.s_cet.reserved" => [VmExitControls, HostIa32SCet],
            "with “load CET state” no reserved bit of host IA32_S_CET is set",
            [make(Field::HostIa32SCet, |c| Some(c.get(Field::HostIa32SCet) & c.cpu.s_cet_mask))],
            when |c| c.exit.contains(VmExitControls::LOAD_CET_STATE),
            |c| c.get(Field::HostIa32SCet) & !c.cpu.s_cet_mask == 0;
        "host.s_cet.suppress_tracker" => [VmExitControls, HostIa32SCet],
            "with “load CET state” bits 10 and 11 of host IA32_S_CET are not both 1",
            [clear(Field::HostIa32SCet, 1 << 10), clear(Field::HostIa32SCet, 1 << 11)],
            when |c| c.exit.contains(VmExitControls::LOAD_CET_STATE),
            |c| c.get(Field::HostIa32SCet) & 0xC00 != 0xC00;
        "host.s_cet.canonical" => [VmExitControls, HostIa32SCet],
            "with “load CET state” host IA32_S_CET is canonical",
            [canonical(Field::HostIa32SCet)],
            when |c| c.exit.contains(VmExitControls::LOAD_CET_STATE),
            |c| c.canonical(Field::HostIa32SCet);
        "host.ssp.align" => [VmExitControls, HostSsp],
            "with “load CET state” bits 1:0 of host SSP are 0",
            [clear(Field::HostSsp, 3)],
            when |c| c.exit.contains(VmExitControls::LOAD_CET_STATE),
            |c| c.get(Field::HostSsp) & 3 == 0;
        "host.ssp.canonical" => [VmExitControls, HostSsp],
            "with “load CET state” host SSP is canonical",
            [canonical(Field::HostSsp)],
            when |c| c.exit.contains(VmExitControls::LOAD_CET_STATE),
            |c| c.canonical(Field::HostSsp);
        "host.interrupt_ssp_table.canonical" => [VmExitControls, HostIa32InterruptSspTableAddr],
            "with “load CET state” host IA32_INTERRUPT_SSP_TABLE_ADDR is canonical",
            [canonical(Field::HostIa32InterruptSspTableAddr)],
            when |c| c.exit.contains(VmExitControls::LOAD_CET_STATE),
            |c| c.canonical(Field::HostIa32InterruptSspTableAddr);
        "host.pkrs.reserved" => [VmExitControls, HostIa32Pkrs],
            "with “load PKRS” bits 63:32 of host IA32_PKRS are 0",
            [low32(Field::HostIa32Pkrs)],
            when |c| c.exit.contains(VmExitControls::LOAD_PKRS),
            |c| c.get(Field::HostIa32Pkrs) >> 32 == 0;
        "host.spec_ctrl.reserved" => [SecondaryVmExitControls, HostIa32SpecCtrl],
            "with “load IA32_SPEC_CTRL” no reserved bit of host IA32_SPEC_CTRL is set",
            [make(Field::HostIa32SpecCtrl, |c| Some(c.get(Field::HostIa32SpecCtrl) & c.cpu.spec_ctrl_mask))],
            when |c| c.vmcs.secondary_exit().contains(SecondaryVmExitControls::LOAD_IA32_SPEC_CTRL),
            |c| c.get(Field::HostIa32SpecCtrl) & !c.cpu.spec_ctrl_mask == 0;
    }
}

/// Checks on Host Segment and Descriptor-Table Registers.
pub mod segments {
    use crate::checks::{Section, Stage, rules};
    use crate::controls::*;
    use crate::field::Field;

    const SECTION: Section =
        Section { number: "27.2.3", title: "Checks on Host Segment and Descriptor-Table Registers" };

    rules! {
        section SECTION; stage Stage::HostState; qualification 0;
        "host.es.rpl_ti" => [HostEsSelector], "RPL and TI of the host ES selector are 0",
            [clear(Field::HostEsSelector, 7)],
            |c| c.get(Field::HostEsSelector) & 7 == 0;
        "host.cs.rpl_ti" => [HostCsSelector], "RPL and TI of the host CS selector are 0",
            [clear(Field::HostCsSelector, 7)],
            |c| c.get(Field::HostCsSelector) & 7 == 0;
        "host.ss.rpl_ti" => [HostSsSelector], "RPL and TI of the host SS selector are 0",
            [clear(Field::HostSsSelector, 7)],
            |c| c.get(Field::HostSsSelector) & 7 == 0;
        "host.ds.rpl_ti" => [HostDsSelector], "RPL and TI of the host DS selector are 0",
            [clear(Field::HostDsSelector, 7)],
            |c| c.get(Field::HostDsSelector) & 7 == 0;
        "host.fs.rpl_ti" => [HostFsSelector], "RPL and TI of the host FS selector are 0",
            [clear(Field::HostFsSelector, 7)],
            |c| c.get(Field::HostFsSelector) & 7 == 0;
        "host.gs.rpl_ti" => [HostGsSelector], "RPL and TI of the host GS selector are 0",
            [clear(Field::HostGsSelector, 7)],
            |c| c.get(Field::HostGsSelector) & 7 == 0;
        "host.tr.rpl_ti" => [HostTrSelector], "RPL and TI of the host TR selector are 0",
            [clear(Field::HostTrSelector, 7)],
            |c| c.get(Field::HostTrSelector) & 7 == 0;
        "host.cs.null" => [HostCsSelector], "the host CS selector is not 0000h",
            [say("write the selector of the VMM's CS, with RPL and TI 0, to Host CS selector")],
            |c| c.get(Field::HostCsSelector) != 0;
        "host.tr.null" => [HostTrSelector], "the host TR selector is not 0000h",
            [say("write the selector of the VMM's TSS, with RPL and TI 0, to Host TR selector; without a TSS make one")],
            |c| c.get(Field::HostTrSelector) != 0;
        "host.ss.null" => [VmExitControls, HostSsSelector],
            "the host SS selector is not 0000h when “host address-space size” is 0",
            [say("write the selector of the VMM's SS, with RPL and TI 0, to Host SS selector")],
            when |c| !c.exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE),
            |c| c.get(Field::HostSsSelector) != 0;
        "host.fs.canonical" => [HostFsBase], "the host FS base is canonical",
            [canonical(Field::HostFsBase)],
            |c| c.canonical(Field::HostFsBase);
        "host.gs.canonical" => [HostGsBase], "the host GS base is canonical",
            [canonical(Field::HostGsBase)],
            |c| c.canonical(Field::HostGsBase);
        "host.tr.canonical" => [HostTrBase], "the host TR base is canonical",
            [canonical(Field::HostTrBase)],
            |c| c.canonical(Field::HostTrBase);
        "host.gdtr.canonical" => [HostGdtrBase], "the host GDTR base is canonical",
            [canonical(Field::HostGdtrBase)],
            |c| c.canonical(Field::HostGdtrBase);
        "host.idtr.canonical" => [HostIdtrBase], "the host IDTR base is canonical",
            [canonical(Field::HostIdtrBase)],
            |c| c.canonical(Field::HostIdtrBase);
    }
}

/// Checks Related to Address-Space Size.
pub mod address_space {
    use crate::arch::Cr4;
    use crate::checks::{Section, Stage, rules};
    use crate::controls::*;
    use crate::field::Field;

    const SECTION: Section = Section { number: "27.2.4", title: "Checks Related to Address-Space Size" };

    rules! {
        section SECTION; stage Stage::HostState; qualification 0;
        "host.size.legacy_guest" => [VmEntryControls],
            "“IA-32e mode guest” is 0 when the VMM is not in IA-32e mode",
            [off_entry(VmEntryControls::IA32E_MODE_GUEST)],
            |c| c.now.ia32e_mode || !c.ia32e_guest();
        "host.size.legacy_host" => [VmExitControls],
            "“host address-space size” is 0 when the VMM is not in IA-32e mode",
            [off_exit(VmExitControls::HOST_ADDRESS_SPACE_SIZE)],
            |c| c.now.ia32e_mode || !c.exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE);
        "host.size.long_host" => [VmExitControls],
            "“host address-space size” is 1 when the VMM is in IA-32e mode",
            [on_exit(VmExitControls::HOST_ADDRESS_SPACE_SIZE)],
            |c| !c.now.ia32e_mode || c.exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE);
        // “IA-32e mode guest” is 0 when “host address-space size” is 0: follows from the three rules above.
        "host.cr4.pcide" => [VmExitControls, HostCr4],
            "host CR4.PCIDE is 0 when “host address-space size” is 0",
            [clear(Field::HostCr4, Cr4::PCIDE.bits())],
            when |c| !c.exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE),
            |c| c.get(Field::HostCr4) & Cr4::PCIDE.bits() == 0;
        "host.rip.upper" => [VmExitControls, HostRip],
            "bits 63:32 of host RIP are 0 when “host address-space size” is 0",
            [low32(Field::HostRip)],
            when |c| !c.exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE),
            |c| c.get(Field::HostRip) >> 32 == 0;
        "host.s_cet.upper" => [VmExitControls, HostIa32SCet],
            "with “load CET state” bits 63:32 of host IA32_S_CET are 0 when “host address-space size” is 0",
            [low32(Field::HostIa32SCet)],
            when |c| !c.exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE)
                && c.exit.contains(VmExitControls::LOAD_CET_STATE),
            |c| c.get(Field::HostIa32SCet) >> 32 == 0;
        "host.ssp.upper" => [VmExitControls, HostSsp],
            "with “load CET state” bits 63:32 of host SSP are 0 when “host address-space size” is 0",
            [low32(Field::HostSsp)],
            when |c| !c.exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE)
                && c.exit.contains(VmExitControls::LOAD_CET_STATE),
            |c| c.get(Field::HostSsp) >> 32 == 0;
        "host.cr4.pae" => [VmExitControls, HostCr4],
            "host CR4.PAE is 1 when “host address-space size” is 1",
            [set(Field::HostCr4, Cr4::PAE.bits())],
            when |c| c.exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE),
            |c| c.get(Field::HostCr4) & Cr4::PAE.bits() != 0;
        "host.rip.canonical" => [VmExitControls, HostRip],
            "host RIP is canonical when “host address-space size” is 1",
            [canonical(Field::HostRip)],
            when |c| c.exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE),
            |c| c.canonical(Field::HostRip);
    }
}

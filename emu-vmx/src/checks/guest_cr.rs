//! Checks on Guest Control Registers, Debug Registers, and MSRs (SDM Vol. 3C 27.3.1.1): exit reason 33.

use crate::arch::{Cr0, Cr4, Efer, msr};
use crate::checks::{CR0_UNCHECKED, Section, Stage, differing, rules};
use crate::controls::*;
use crate::field::Field;

const SECTION: Section =
    Section { number: "27.3.1.1", title: "Checks on Guest Control Registers, Debug Registers, and MSRs" };

rules! {
    section SECTION; stage Stage::GuestState; qualification 0;
    "guest.cr0.fixed" => [GuestCr0, SecondaryProcessorControls],
        "guest CR0 respects IA32_VMX_CR0_FIXED0 and FIXED1 (PE and PG may be 0 with “unrestricted guest”; NW and CD \
         are not checked)",
        [
            word(Field::GuestCr0),
            all(
                &[on_secondary(
                    SecondaryProcessorControls::UNRESTRICTED_GUEST.union(SecondaryProcessorControls::ENABLE_EPT),
                )],
                "for a guest without paging or in real-address mode",
            ),
        ],
        |c| c.caps.guest_cr0_allowed(c.cr0.bits() & !CR0_UNCHECKED | c.caps.cr0_fixed0 & CR0_UNCHECKED, c.unrestricted()),
        show |c| differing(Field::GuestCr0,
            c.caps.cr0_fixed0 & !c.cr0.bits() & !CR0_UNCHECKED & !if c.unrestricted() { (Cr0::PE | Cr0::PG).bits() } else { 0 },
            c.cr0.bits() & !c.caps.cr0_fixed1 & !CR0_UNCHECKED);
    "guest.cr0.pg_pe" => [GuestCr0],
        "guest CR0.PE is 1 when CR0.PG is 1",
        [set(Field::GuestCr0, Cr0::PE.bits()), clear(Field::GuestCr0, Cr0::PG.bits())],
        // Without “unrestricted guest” guest.cr0.fixed asks for PE and PG both, and tells more.
        |c| !c.unrestricted() || !c.cr0.contains(Cr0::PG) || c.cr0.contains(Cr0::PE);
    "guest.cr4.fixed" => [GuestCr4],
        "guest CR4 respects IA32_VMX_CR4_FIXED0 and FIXED1",
        [all(&[word(Field::GuestCr4)], "mask and read shadow can hide bits from the guest")],
        |c| c.caps.cr4_allowed(c.cr4.bits()),
        show |c| differing(Field::GuestCr4, c.caps.cr4_fixed0 & !c.cr4.bits(),
            c.cr4.bits() & !c.caps.cr4_fixed1);
    "guest.cr4.cet_wp" => [GuestCr0, GuestCr4],
        "guest CR0.WP is 1 when guest CR4.CET is 1",
        [set(Field::GuestCr0, Cr0::WP.bits()), clear(Field::GuestCr4, Cr4::CET.bits())],
        |c| !c.cr4.contains(Cr4::CET) || c.cr0.contains(Cr0::WP);
    "guest.debugctl.reserved" => [VmEntryControls, GuestIa32Debugctl],
        "with “load debug controls” no reserved bit of guest IA32_DEBUGCTL is set",
        [make(Field::GuestIa32Debugctl, |c| Some(c.get(Field::GuestIa32Debugctl) & c.cpu.debugctl_mask))],
        when |c| c.entry.contains(VmEntryControls::LOAD_DEBUG_CONTROLS),
        |c| c.get(Field::GuestIa32Debugctl) & !c.cpu.debugctl_mask == 0;
    "guest.cr0.ia32e_pg" => [VmEntryControls, GuestCr0],
        "guest CR0.PG is 1 with “IA-32e mode guest”",
        [set(Field::GuestCr0, Cr0::PG.union(Cr0::PE).bits()), off_entry(VmEntryControls::IA32E_MODE_GUEST)],
        when |c| c.ia32e_guest(),
        |c| c.cr0.contains(Cr0::PG);
    "guest.cr4.ia32e_pae" => [VmEntryControls, GuestCr4],
        "guest CR4.PAE is 1 with “IA-32e mode guest”",
        [set(Field::GuestCr4, Cr4::PAE.bits()), off_entry(VmEntryControls::IA32E_MODE_GUEST)],
        when |c| c.ia32e_guest(),
        |c| c.cr4.contains(Cr4::PAE);
    "guest.cr4.pcide" => [VmEntryControls, GuestCr4],
        "guest CR4.PCIDE is 0 without “IA-32e mode guest”",
        [clear(Field::GuestCr4, Cr4::PCIDE.bits()), on_entry(VmEntryControls::IA32E_MODE_GUEST)],
        when |c| !c.ia32e_guest(),
        |c| !c.cr4.contains(Cr4::PCIDE);
    "guest.cr3.width" => [VmEntryControls, GuestCr3],
        "guest CR3 has no bit beyond the physical-address width (bits 62:61 excepted for a guest in IA-32e mode on a \
         processor with linear-address masking)",
        [make(Field::GuestCr3, |c| Some(c.cr3_within(Field::GuestCr3, c.ia32e_guest())))],
        |c| c.cr3_ok(Field::GuestCr3, c.ia32e_guest());
    "guest.dr7.upper" => [VmEntryControls, GuestDr7],
        "with “load debug controls” bits 63:32 of guest DR7 are 0",
        [low32(Field::GuestDr7)],
        when |c| c.entry.contains(VmEntryControls::LOAD_DEBUG_CONTROLS),
        |c| c.get(Field::GuestDr7) >> 32 == 0;
    "guest.sysenter_esp.canonical" => [GuestIa32SysenterEsp],
        "guest IA32_SYSENTER_ESP is canonical",
        [canonical(Field::GuestIa32SysenterEsp)],
        |c| c.canonical(Field::GuestIa32SysenterEsp);
    "guest.sysenter_eip.canonical" => [GuestIa32SysenterEip],
        "guest IA32_SYSENTER_EIP is canonical",
        [canonical(Field::GuestIa32SysenterEip)],
        |c| c.canonical(Field::GuestIa32SysenterEip);
    "guest.s_cet.reserved" => [VmEntryControls, GuestIa32SCet],
        "with “load CET state” no reserved bit of guest IA32_S_CET is set",
        [make(Field::GuestIa32SCet, |c| Some(c.get(Field::GuestIa32SCet) & c.cpu.s_cet_mask))],
        when |c| c.entry.contains(VmEntryControls::LOAD_CET_STATE),
        |c| c.get(Field::GuestIa32SCet) & !c.cpu.s_cet_mask == 0;
    "guest.s_cet.suppress_tracker" => [VmEntryControls, GuestIa32SCet],
        "with “load CET state” bits 10 and 11 of guest IA32_S_CET are not both 1",
        [clear(Field::GuestIa32SCet, 1 << 10), clear(Field::GuestIa32SCet, 1 << 11)],
        when |c| c.entry.contains(VmEntryControls::LOAD_CET_STATE),
        |c| c.get(Field::GuestIa32SCet) & 0xC00 != 0xC00;
    "guest.s_cet.canonical" => [VmEntryControls, GuestIa32SCet],
        "with “load CET state” guest IA32_S_CET is canonical",
        [canonical(Field::GuestIa32SCet)],
        when |c| c.entry.contains(VmEntryControls::LOAD_CET_STATE),
        |c| c.canonical(Field::GuestIa32SCet);
    "guest.interrupt_ssp_table.canonical" => [VmEntryControls, GuestIa32InterruptSspTableAddr],
        "with “load CET state” guest IA32_INTERRUPT_SSP_TABLE_ADDR is canonical",
        [canonical(Field::GuestIa32InterruptSspTableAddr)],
        when |c| c.entry.contains(VmEntryControls::LOAD_CET_STATE),
        |c| c.canonical(Field::GuestIa32InterruptSspTableAddr);
    "guest.perf_global_ctrl.reserved" => [VmEntryControls, GuestIa32PerfGlobalCtrl],
        "with “load IA32_PERF_GLOBAL_CTRL” no reserved bit of guest IA32_PERF_GLOBAL_CTRL is set",
        [make(Field::GuestIa32PerfGlobalCtrl, |c| {
            Some(c.get(Field::GuestIa32PerfGlobalCtrl) & c.cpu.perf_global_ctrl_mask)
        })],
        when |c| c.entry.contains(VmEntryControls::LOAD_IA32_PERF_GLOBAL_CTRL),
        |c| c.get(Field::GuestIa32PerfGlobalCtrl) & !c.cpu.perf_global_ctrl_mask == 0;
    "guest.pat.types" => [VmEntryControls, GuestIa32Pat],
        "with “load IA32_PAT” each byte of guest IA32_PAT is 0, 1, 4, 5, 6 or 7",
        [
            all(
                &[make(Field::GuestIa32Pat, |c| Some(msr::pat_repaired(c.get(Field::GuestIa32Pat))))],
                "bytes that are no memory type get what they are after reset",
            ),
        ],
        when |c| c.entry.contains(VmEntryControls::LOAD_IA32_PAT),
        |c| msr::pat_valid(c.get(Field::GuestIa32Pat));
    "guest.efer.reserved" => [VmEntryControls, GuestIa32Efer],
        "with “load IA32_EFER” no reserved bit of guest IA32_EFER is set",
        [make(Field::GuestIa32Efer, |c| Some(c.get(Field::GuestIa32Efer) & c.cpu.efer_mask))],
        when |c| c.entry.contains(VmEntryControls::LOAD_IA32_EFER),
        |c| c.get(Field::GuestIa32Efer) & !c.cpu.efer_mask == 0;
    "guest.efer.lma" => [VmEntryControls, GuestIa32Efer],
        "with “load IA32_EFER” guest IA32_EFER.LMA equals “IA-32e mode guest”",
        [
            make(Field::GuestIa32Efer, |c| {
                let both = (Efer::LMA | Efer::LME).bits();
                let efer = c.get(Field::GuestIa32Efer);
                Some(if c.ia32e_guest() { efer | both } else { efer & !both })
            }),
            on_entry(VmEntryControls::IA32E_MODE_GUEST),
            off_entry(VmEntryControls::IA32E_MODE_GUEST),
        ],
        when |c| c.entry.contains(VmEntryControls::LOAD_IA32_EFER),
        |c| c.efer(Field::GuestIa32Efer).contains(Efer::LMA) == c.ia32e_guest();
    "guest.efer.lme" => [VmEntryControls, GuestIa32Efer, GuestCr0],
        "with “load IA32_EFER” guest IA32_EFER.LME equals LMA when guest CR0.PG is 1",
        [
            make(Field::GuestIa32Efer, |c| {
                let efer = c.efer(Field::GuestIa32Efer);
                let lme = if efer.contains(Efer::LMA) { Efer::LME } else { Efer::empty() };
                Some(((efer - Efer::LME) | lme).bits())
            }),
        ],
        when |c| c.entry.contains(VmEntryControls::LOAD_IA32_EFER),
        |c| {
            let efer = c.efer(Field::GuestIa32Efer);
            !c.cr0.contains(Cr0::PG)
                || efer.contains(Efer::LMA) == efer.contains(Efer::LME)
        };
    "guest.bndcfgs.reserved" => [VmEntryControls, GuestIa32Bndcfgs],
        "with “load IA32_BNDCFGS” bits 11:2 of guest IA32_BNDCFGS are 0",
        [clear(Field::GuestIa32Bndcfgs, 0xFFC)],
        when |c| c.entry.contains(VmEntryControls::LOAD_IA32_BNDCFGS),
        |c| c.get(Field::GuestIa32Bndcfgs) & 0xFFC == 0;
    "guest.bndcfgs.canonical" => [VmEntryControls, GuestIa32Bndcfgs],
        "with “load IA32_BNDCFGS” the linear address in bits 63:12 of guest IA32_BNDCFGS is canonical",
        [canonical(Field::GuestIa32Bndcfgs)],
        when |c| c.entry.contains(VmEntryControls::LOAD_IA32_BNDCFGS),
        |c| c.cpu.canonical(c.get(Field::GuestIa32Bndcfgs) & !0xFFF);
    "guest.rtit_ctl.reserved" => [VmEntryControls, GuestIa32RtitCtl],
        "with “load IA32_RTIT_CTL” no reserved bit of guest IA32_RTIT_CTL is set",
        [make(Field::GuestIa32RtitCtl, |c| Some(c.get(Field::GuestIa32RtitCtl) & c.cpu.rtit_ctl_mask))],
        when |c| c.entry.contains(VmEntryControls::LOAD_IA32_RTIT_CTL),
        |c| c.get(Field::GuestIa32RtitCtl) & !c.cpu.rtit_ctl_mask == 0;
    "guest.lbr_ctl.reserved" => [VmEntryControls, GuestIa32LbrCtl],
        "with “load guest IA32_LBR_CTL” no reserved bit of guest IA32_LBR_CTL is set",
        [make(Field::GuestIa32LbrCtl, |c| Some(c.get(Field::GuestIa32LbrCtl) & c.cpu.lbr_ctl_mask))],
        when |c| c.entry.contains(VmEntryControls::LOAD_GUEST_IA32_LBR_CTL),
        |c| c.get(Field::GuestIa32LbrCtl) & !c.cpu.lbr_ctl_mask == 0;
    "guest.pkrs.reserved" => [VmEntryControls, GuestIa32Pkrs],
        "with “load PKRS” bits 63:32 of guest IA32_PKRS are 0",
        [low32(Field::GuestIa32Pkrs)],
        when |c| c.entry.contains(VmEntryControls::LOAD_PKRS),
        |c| c.get(Field::GuestIa32Pkrs) >> 32 == 0;
    "guest.spec_ctrl.reserved" => [VmEntryControls, GuestIa32SpecCtrl],
        "with “load IA32_SPEC_CTRL” no reserved bit of guest IA32_SPEC_CTRL is set",
        [make(Field::GuestIa32SpecCtrl, |c| Some(c.get(Field::GuestIa32SpecCtrl) & c.cpu.spec_ctrl_mask))],
        when |c| c.entry.contains(VmEntryControls::LOAD_IA32_SPEC_CTRL),
        |c| c.get(Field::GuestIa32SpecCtrl) & !c.cpu.spec_ctrl_mask == 0;
    "guest.uinv.reserved" => [VmEntryControls, GuestUinv],
        "with “load UINV” bits 15:8 of guest UINV are 0",
        [clear(Field::GuestUinv, 0xFF00)],
        when |c| c.entry.contains(VmEntryControls::LOAD_UINV),
        |c| c.get(Field::GuestUinv) >> 8 == 0;
}

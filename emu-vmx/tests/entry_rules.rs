//! Every rule of VM entry: a passing base VMCS, and a mutation that fails exactly that rule.
#![allow(missing_docs)]

mod support;

use emu_vmx::arch::SegmentRegister;
use emu_vmx::caps::VmxBasic;
use emu_vmx::checks::{self, Failure};
use emu_vmx::controls::*;
use emu_vmx::field::Field;
use emu_vmx::vmcs::{GuestSegmentFields, VmInstructionError};
use std::collections::BTreeMap;
use support::Case;

use PinBasedControls as Pin;
use PrimaryProcessorControls as P1;
use SecondaryProcessorControls as P2;
use TertiaryProcessorControls as P3;
use VmEntryControls as Entry;
use VmExitControls as Exit;

type Mutation = Box<dyn Fn(&mut Case)>;
type Variant = (&'static str, fn(&mut Case));

const WIDE: u64 = 1 << 40;
const NON_CANONICAL: u64 = 0x0000_8000_0000_0000;

/// Adds the mutations "misaligned" and "too wide" of an address field that `enable` makes count.
fn address(table: &mut Vec<(String, Mutation)>, id: &str, field: Field, misalign: u64, enable: fn(&mut Case)) {
    table.push((
        format!("{id}.align"),
        Box::new(move |t| {
            enable(t);
            t.or(field, misalign);
        }),
    ));
    table.push((
        format!("{id}.width"),
        Box::new(move |t| {
            enable(t);
            t.or(field, WIDE);
        }),
    ));
}

fn mutations() -> Vec<(String, Mutation)> {
    let mut table: Vec<(String, Mutation)> = Vec::new();
    macro_rules! m {
        ($($id:literal => |$t:ident| $body:expr;)*) => {
            $(table.push(($id.to_string(), Box::new(|$t: &mut Case| { $body; })));)*
        };
    }
    let t = &mut table;
    address(t, "ctl.io_bitmap_a", Field::IoBitmapA, 1, |t| _ = t.primary(P1::USE_IO_BITMAPS));
    address(t, "ctl.io_bitmap_b", Field::IoBitmapB, 0x800, |t| _ = t.primary(P1::USE_IO_BITMAPS));
    address(t, "ctl.msr_bitmaps", Field::MsrBitmaps, 0x10, |t| _ = t.primary(P1::USE_MSR_BITMAPS));
    address(t, "ctl.virtual_apic", Field::VirtualApicAddress, 8, |t| _ = t.primary(P1::USE_TPR_SHADOW));
    address(t, "ctl.apic_access", Field::ApicAccessAddress, 8, |t| _ = t.secondary(P2::VIRTUALIZE_APIC_ACCESSES));
    let posted = |t: &mut Case| {
        t.primary(P1::USE_TPR_SHADOW)
            .pin(Pin::PROCESS_POSTED_INTERRUPTS | Pin::EXTERNAL_INTERRUPT_EXITING)
            .secondary(P2::VIRTUAL_INTERRUPT_DELIVERY)
            .exit(Exit::ACKNOWLEDGE_INTERRUPT_ON_EXIT);
    };
    address(t, "ctl.posted_interrupts.descriptor", Field::PostedInterruptDescriptorAddress, 0x20, posted);
    address(t, "ctl.pml", Field::PmlAddress, 1, |t| _ = t.ept().secondary(P2::ENABLE_PML));
    address(t, "ctl.sub_page", Field::SubPagePermissionTablePointer, 1, |t| {
        _ = t.ept().secondary(P2::SUB_PAGE_WRITE_PERMISSIONS)
    });
    address(t, "ctl.eptp_list", Field::EptpListAddress, 1, |t| {
        _ = t.ept().secondary(P2::ENABLE_VM_FUNCTIONS).set(Field::VmFunctionControls, 1)
    });
    address(t, "ctl.vmread_bitmap", Field::VmreadBitmapAddress, 1, |t| _ = t.secondary(P2::VMCS_SHADOWING));
    address(t, "ctl.vmwrite_bitmap", Field::VmwriteBitmapAddress, 1, |t| _ = t.secondary(P2::VMCS_SHADOWING));
    address(t, "ctl.ve_information", Field::VirtualizationExceptionInformationAddress, 1, |t| {
        _ = t.secondary(P2::EPT_VIOLATION_VE)
    });
    address(t, "ctl.pasid_low", Field::LowPasidDirectoryAddress, 1, |t| _ = t.secondary(P2::PASID_TRANSLATION));
    address(t, "ctl.pasid_high", Field::HighPasidDirectoryAddress, 1, |t| _ = t.secondary(P2::PASID_TRANSLATION));
    address(t, "ctl.pid_table", Field::PidPointerTableAddress, 4, |t| {
        _ = t.primary(P1::USE_TPR_SHADOW).tertiary(P3::IPI_VIRTUALIZATION)
    });
    address(t, "ctl.exit_msr_store", Field::VmExitMsrStoreAddress, 8, |t| _ = t.set(Field::VmExitMsrStoreCount, 1));
    address(t, "ctl.exit_msr_load", Field::VmExitMsrLoadAddress, 8, |t| _ = t.set(Field::VmExitMsrLoadCount, 1));
    address(t, "ctl.entry_msr_load", Field::VmEntryMsrLoadAddress, 8, |t| _ = t.set(Field::VmEntryMsrLoadCount, 1));
    m! {
        "ctl.pin.reserved" => |t| t.clear(Field::PinBasedControls, 2);
        "ctl.primary.reserved" => |t| t.primary(P1::from_bits_retain(1));
        "ctl.secondary.reserved" => |t| t.secondary(P2::from_bits_retain(1 << 29));
        "ctl.tertiary.reserved" => |t| t.tertiary(P3::from_bits_retain(1 << 5));
        "ctl.cr3_target_count" => |t| t.set(Field::Cr3TargetCount, 5);
        "ctl.tpr_threshold.reserved" => |t| {
            t.now.vtpr = Some(0xF0);
            t.primary(P1::USE_TPR_SHADOW).set(Field::TprThreshold, 0x10)
        };
        "ctl.tpr_threshold.vtpr" => |t| {
            t.now.vtpr = Some(0x4F);
            t.primary(P1::USE_TPR_SHADOW).set(Field::TprThreshold, 5)
        };
        "ctl.x2apic_mode.tpr_shadow" => |t| t.secondary(P2::VIRTUALIZE_X2APIC_MODE);
        "ctl.apic_registers.tpr_shadow" => |t| t.secondary(P2::APIC_REGISTER_VIRTUALIZATION);
        "ctl.virtual_interrupts.tpr_shadow" => |t|
            t.secondary(P2::VIRTUAL_INTERRUPT_DELIVERY).pin(Pin::EXTERNAL_INTERRUPT_EXITING);
        "ctl.ipi_virtualization.tpr_shadow" => |t| t.tertiary(P3::IPI_VIRTUALIZATION);
        "ctl.virtual_nmis.nmi_exiting" => |t| t.pin(Pin::VIRTUAL_NMIS);
        "ctl.nmi_window.virtual_nmis" => |t| t.primary(P1::NMI_WINDOW_EXITING).pin(Pin::NMI_EXITING);
        "ctl.x2apic_mode.apic_accesses" => |t| t.primary(P1::USE_TPR_SHADOW)
            .secondary(P2::VIRTUALIZE_X2APIC_MODE | P2::VIRTUALIZE_APIC_ACCESSES);
        "ctl.virtual_interrupts.external_interrupts" => |t|
            t.primary(P1::USE_TPR_SHADOW).secondary(P2::VIRTUAL_INTERRUPT_DELIVERY);
        "ctl.posted_interrupts.virtual_interrupts" => |t|
            t.pin(Pin::PROCESS_POSTED_INTERRUPTS).exit(Exit::ACKNOWLEDGE_INTERRUPT_ON_EXIT);
        "ctl.vpid.zero" => |t| t.secondary(P2::ENABLE_VPID);
        "ctl.eptp.memory_type" => |t| t.ept().set(Field::EptPointer, 0x1C);
        "ctl.eptp.walk_length" => |t| t.ept().set(Field::EptPointer, 0x26);
        "ctl.eptp.accessed_dirty" => |t| t.ept().set(Field::EptPointer, 0x5E);
        "ctl.eptp.shadow_stack" => |t| t.ept().set(Field::EptPointer, 0x9E);
        "ctl.eptp.reserved" => |t| t.ept().set(Field::EptPointer, 0x81E);
        "ctl.eptp.width" => |t| t.ept().set(Field::EptPointer, WIDE | 0x1E);
        "ctl.pml.ept" => |t| t.secondary(P2::ENABLE_PML);
        "ctl.unrestricted_guest.ept" => |t| t.secondary(P2::UNRESTRICTED_GUEST);
        "ctl.mode_based_execute.ept" => |t| t.secondary(P2::MODE_BASED_EXECUTE_CONTROL);
        "ctl.sub_page.ept" => |t| t.secondary(P2::SUB_PAGE_WRITE_PERMISSIONS);
        "ctl.vm_functions.reserved" => |t| t.secondary(P2::ENABLE_VM_FUNCTIONS).set(Field::VmFunctionControls, 2);
        "ctl.eptp_switching.ept" => |t| t.secondary(P2::ENABLE_VM_FUNCTIONS).set(Field::VmFunctionControls, 1);
        "ctl.pt_guest_physical.ept" => |t| t.secondary(P2::PT_USES_GUEST_PHYSICAL_ADDRESSES)
            .entry(Entry::LOAD_IA32_RTIT_CTL).exit(Exit::CLEAR_IA32_RTIT_CTL);
        "ctl.pt_guest_physical.load_rtit" => |t|
            t.ept().secondary(P2::PT_USES_GUEST_PHYSICAL_ADDRESSES).exit(Exit::CLEAR_IA32_RTIT_CTL);
        "ctl.pt_guest_physical.clear_rtit" => |t|
            t.ept().secondary(P2::PT_USES_GUEST_PHYSICAL_ADDRESSES).entry(Entry::LOAD_IA32_RTIT_CTL);
        "ctl.tsc_multiplier.zero" => |t| t.secondary(P2::USE_TSC_SCALING);
        "ctl.hlat.ept" => |t| t.tertiary(P3::ENABLE_HLAT);
        "ctl.hlatp.reserved" => |t| t.ept().tertiary(P3::ENABLE_HLAT).set(Field::HlatPointer, 0x20);
        "ctl.hlatp.width" => |t| t.ept().tertiary(P3::ENABLE_HLAT).set(Field::HlatPointer, WIDE);
        "ctl.paging_write.ept" => |t| t.tertiary(P3::EPT_PAGING_WRITE_CONTROL);
        "ctl.guest_paging_verification.ept" => |t| t.tertiary(P3::GUEST_PAGING_VERIFICATION);
        "ctl.pid_table.last" => |t| t.primary(P1::USE_TPR_SHADOW).tertiary(P3::IPI_VIRTUALIZATION)
            .set(Field::PidPointerTableAddress, WIDE - 8).set(Field::LastPidPointerIndex, 1);
        "ctl.exit.reserved" => |t| t.clear(Field::VmExitControls, 1);
        "ctl.exit2.reserved" => |t| t.set(Field::SecondaryVmExitControls, 1 << 40);
        "ctl.exit.preemption_timer" => |t| t.exit(Exit::SAVE_VMX_PREEMPTION_TIMER_VALUE);
        "ctl.entry.reserved" => |t| t.entry(Entry::from_bits_retain(1 << 23));
        "ctl.event.type_reserved" => |t| t.inject(0x8000_0120);
        "ctl.event.type_other" => |t| {
            t.caps.true_procbased_ctls.0 &= !(1u64 << (27 + 32));
            t.inject(0x8000_0700)
        };
        "ctl.event.vector_nmi" => |t| t.inject(0x8000_0203);
        "ctl.event.vector_exception" => |t| t.inject(0x8000_0320);
        "ctl.event.vector_other" => |t| t.inject(0x8000_0701);
        "ctl.event.error_code_type" => |t| t.or(Field::GuestRflags, 0x200).inject(0x8000_0820);
        "ctl.event.error_code_real_mode" => |t| t.guest32().unrestricted().clear(Field::GuestCr0, 0x8000_0001)
            .inject(0x8000_0B0D);
        "ctl.event.error_code_vector" => |t| t.inject(0x8000_030D);
        "ctl.event.reserved" => |t| t.inject(0x8000_1306);
        "ctl.event.error_code_reserved" => |t| t.inject(0x8000_0B0D).set(Field::VmEntryExceptionErrorCode, 0x1_0000);
        "ctl.event.length_maximum" => |t| t.inject(0x8000_0480).set(Field::VmEntryInstructionLength, 16);
        "ctl.event.length_zero" => |t| t.inject(0x8000_0603);
        "ctl.entry.smm" => |t| t.entry(Entry::ENTRY_TO_SMM);
        "ctl.entry.dual_monitor" => |t| t.entry(Entry::DEACTIVATE_DUAL_MONITOR_TREATMENT);
        "ctl.entry.smm_and_dual_monitor" => |t| {
            t.now.in_smm = true;
            t.entry(Entry::ENTRY_TO_SMM | Entry::DEACTIVATE_DUAL_MONITOR_TREATMENT)
                .set(Field::GuestInterruptibilityState, 4)
        };
        "ctl.entry.pt_enabled" => |t| {
            t.now.pt_enabled = true;
            t.entry(Entry::LOAD_IA32_RTIT_CTL)
        };
    }
    table.push((
        "ctl.posted_interrupts.acknowledge".into(),
        Box::new(move |t| {
            posted(t);
            t.clear(Field::VmExitControls, 1 << 15);
        }),
    ));
    table.push((
        "ctl.posted_interrupts.vector".into(),
        Box::new(move |t| {
            posted(t);
            t.set(Field::PostedInterruptNotificationVector, 0x100);
        }),
    ));
    // Host state.
    for (name, field) in [
        ("es", Field::HostEsSelector),
        ("cs", Field::HostCsSelector),
        ("ss", Field::HostSsSelector),
        ("ds", Field::HostDsSelector),
        ("fs", Field::HostFsSelector),
        ("gs", Field::HostGsSelector),
        ("tr", Field::HostTrSelector),
    ] {
        table.push((format!("host.{name}.rpl_ti"), Box::new(move |t| _ = t.or(field, 4))));
    }
    for (id, field) in [
        ("host.fs.canonical", Field::HostFsBase),
        ("host.gs.canonical", Field::HostGsBase),
        ("host.tr.canonical", Field::HostTrBase),
        ("host.gdtr.canonical", Field::HostGdtrBase),
        ("host.idtr.canonical", Field::HostIdtrBase),
        ("host.rip.canonical", Field::HostRip),
        ("host.sysenter_esp.canonical", Field::HostIa32SysenterEsp),
        ("host.sysenter_eip.canonical", Field::HostIa32SysenterEip),
        ("guest.sysenter_esp.canonical", Field::GuestIa32SysenterEsp),
        ("guest.sysenter_eip.canonical", Field::GuestIa32SysenterEip),
        ("guest.gdtr.base_canonical", Field::GuestGdtrBase),
        ("guest.idtr.base_canonical", Field::GuestIdtrBase),
        ("guest.seg.fs.base_canonical", Field::GuestFsBase),
        ("guest.seg.gs.base_canonical", Field::GuestGsBase),
        ("guest.seg.ldtr.base_canonical", Field::GuestLdtrBase),
        ("guest.seg.tr.base_canonical", Field::GuestTrBase),
    ] {
        table.push((id.into(), Box::new(move |t| _ = t.set(field, NON_CANONICAL))));
    }
    for (id, field) in [
        ("host.s_cet.canonical", Field::HostIa32SCet),
        ("host.ssp.canonical", Field::HostSsp),
        ("host.interrupt_ssp_table.canonical", Field::HostIa32InterruptSspTableAddr),
    ] {
        table.push((id.into(), Box::new(move |t| _ = t.exit(Exit::LOAD_CET_STATE).set(field, NON_CANONICAL))));
    }
    for (id, field) in [
        ("guest.s_cet.canonical", Field::GuestIa32SCet),
        ("guest.interrupt_ssp_table.canonical", Field::GuestIa32InterruptSspTableAddr),
    ] {
        table.push((id.into(), Box::new(move |t| _ = t.entry(Entry::LOAD_CET_STATE).set(field, NON_CANONICAL))));
    }
    m! {
        "host.cr0.fixed" => |t| t.clear(Field::HostCr0, 0x20);
        "host.cr4.fixed" => |t| t.clear(Field::HostCr4, 0x2000);
        "host.cr4.cet_wp" => |t| {
            t.caps.cr4_fixed1 |= 1 << 23;
            t.or(Field::HostCr4, 1 << 23).clear(Field::HostCr0, 1 << 16)
        };
        "host.cr3.width" => |t| t.or(Field::HostCr3, WIDE);
        "host.perf_global_ctrl.reserved" => |t|
            t.exit(Exit::LOAD_IA32_PERF_GLOBAL_CTRL).set(Field::HostIa32PerfGlobalCtrl, 0x10);
        "host.pat.types" => |t| t.exit(Exit::LOAD_IA32_PAT).set(Field::HostIa32Pat, 0x0200);
        "host.efer.reserved" => |t| t.exit(Exit::LOAD_IA32_EFER).or(Field::HostIa32Efer, 2);
        "host.efer.lma" => |t| t.exit(Exit::LOAD_IA32_EFER).clear(Field::HostIa32Efer, 0x400);
        "host.efer.lme" => |t| t.exit(Exit::LOAD_IA32_EFER).clear(Field::HostIa32Efer, 0x100);
        "host.s_cet.reserved" => |t| t.exit(Exit::LOAD_CET_STATE).set(Field::HostIa32SCet, 0x40);
        "host.s_cet.suppress_tracker" => |t| t.exit(Exit::LOAD_CET_STATE).set(Field::HostIa32SCet, 0xC00);
        "host.ssp.align" => |t| t.exit(Exit::LOAD_CET_STATE).set(Field::HostSsp, 2);
        "host.spec_ctrl.reserved" => |t| t.set(Field::SecondaryVmExitControls, 1 << 2).set(Field::HostIa32SpecCtrl, 8);
        "host.pkrs.reserved" => |t| t.exit(Exit::LOAD_PKRS).set(Field::HostIa32Pkrs, 1 << 32);
        "host.cs.null" => |t| t.set(Field::HostCsSelector, 0);
        "host.tr.null" => |t| t.set(Field::HostTrSelector, 0);
        "host.ss.null" => |t| t.host32().set(Field::HostSsSelector, 0);
        "host.size.legacy_guest" => |t| {
            t.now.ia32e_mode = false;
            t.clear(Field::VmExitControls, 1 << 9)
        };
        "host.size.legacy_host" => |t| t.host32().or(Field::VmExitControls, 1 << 9);
        "host.size.long_host" => |t| t.guest32().clear(Field::VmExitControls, 1 << 9);
        "host.cr4.pcide" => |t| t.host32().or(Field::HostCr4, 1 << 17);
        "host.rip.upper" => |t| t.host32().set(Field::HostRip, 1 << 32);
        "host.s_cet.upper" => |t| t.host32().exit(Exit::LOAD_CET_STATE).set(Field::HostIa32SCet, 1 << 32);
        "host.ssp.upper" => |t| t.host32().exit(Exit::LOAD_CET_STATE).set(Field::HostSsp, 1 << 32);
        "host.cr4.pae" => |t| t.clear(Field::HostCr4, 0x20);
        // Guest control registers and MSRs.
        "guest.cr0.fixed" => |t| t.clear(Field::GuestCr0, 0x20);
        "guest.cr0.pg_pe" => |t| t.guest32().unrestricted().clear(Field::GuestCr0, 1);
        "guest.cr4.fixed" => |t| t.clear(Field::GuestCr4, 0x2000);
        "guest.cr4.cet_wp" => |t| {
            t.caps.cr4_fixed1 |= 1 << 23;
            t.or(Field::GuestCr4, 1 << 23).clear(Field::GuestCr0, 1 << 16)
        };
        "guest.debugctl.reserved" => |t| t.entry(Entry::LOAD_DEBUG_CONTROLS).set(Field::GuestIa32Debugctl, 0x20);
        "guest.cr0.ia32e_pg" => |t| t.unrestricted().clear(Field::GuestCr0, 1 << 31);
        "guest.cr4.ia32e_pae" => |t| t.clear(Field::GuestCr4, 0x20);
        "guest.cr4.pcide" => |t| t.guest32().or(Field::GuestCr4, 1 << 17);
        "guest.cr3.width" => |t| t.or(Field::GuestCr3, WIDE);
        "guest.dr7.upper" => |t| t.entry(Entry::LOAD_DEBUG_CONTROLS).or(Field::GuestDr7, 1 << 32);
        "guest.s_cet.reserved" => |t| t.entry(Entry::LOAD_CET_STATE).set(Field::GuestIa32SCet, 0x40);
        "guest.s_cet.suppress_tracker" => |t| t.entry(Entry::LOAD_CET_STATE).set(Field::GuestIa32SCet, 0xC00);
        "guest.perf_global_ctrl.reserved" => |t|
            t.entry(Entry::LOAD_IA32_PERF_GLOBAL_CTRL).set(Field::GuestIa32PerfGlobalCtrl, 1 << 35);
        "guest.pat.types" => |t| t.entry(Entry::LOAD_IA32_PAT).set(Field::GuestIa32Pat, 3);
        "guest.efer.reserved" => |t| t.entry(Entry::LOAD_IA32_EFER).or(Field::GuestIa32Efer, 1 << 14);
        "guest.efer.lma" => |t| t.entry(Entry::LOAD_IA32_EFER).clear(Field::GuestIa32Efer, 0x500);
        "guest.efer.lme" => |t| t.entry(Entry::LOAD_IA32_EFER).clear(Field::GuestIa32Efer, 0x100);
        "guest.bndcfgs.reserved" => |t| t.entry(Entry::LOAD_IA32_BNDCFGS).set(Field::GuestIa32Bndcfgs, 4);
        "guest.bndcfgs.canonical" => |t| t.entry(Entry::LOAD_IA32_BNDCFGS).set(Field::GuestIa32Bndcfgs, NON_CANONICAL);
        "guest.rtit_ctl.reserved" => |t| t.entry(Entry::LOAD_IA32_RTIT_CTL).set(Field::GuestIa32RtitCtl, 0x1_0000);
        "guest.lbr_ctl.reserved" => |t| t.entry(Entry::LOAD_GUEST_IA32_LBR_CTL).set(Field::GuestIa32LbrCtl, 0x10);
        "guest.spec_ctrl.reserved" => |t| t.entry(Entry::LOAD_IA32_SPEC_CTRL).set(Field::GuestIa32SpecCtrl, 1 << 63);
        "guest.pkrs.reserved" => |t| t.entry(Entry::LOAD_PKRS).set(Field::GuestIa32Pkrs, 1 << 32);
        "guest.uinv.reserved" => |t| t.entry(Entry::LOAD_UINV).set(Field::GuestUinv, 0x100);
        // Segments.
        "guest.seg.cs.base_upper" => |t| t.set(Field::GuestCsBase, 1 << 32);
        "guest.seg.cs.type" => |t| t.clear(Field::GuestCsAccessRights, 1).or(Field::GuestCsAccessRights, 4);
        "guest.seg.cs.dpl_data" => |t| t.unrestricted().set(Field::GuestCsAccessRights, 0xA0B3);
        "guest.seg.cs.dpl_nonconforming" => |t| t.or(Field::GuestCsAccessRights, 0x60);
        "guest.seg.cs.dpl_conforming" => |t| t.or(Field::GuestCsAccessRights, 0x64);
        "guest.seg.cs.d_l" => |t| t.or(Field::GuestCsAccessRights, 1 << 14);
        "guest.seg.ss.rpl_cs" => |t| t.or(Field::GuestCsSelector, 3);
        "guest.seg.ss.base_upper" => |t| t.set(Field::GuestSsBase, 1 << 32);
        "guest.seg.ss.type" => |t| t.clear(Field::GuestSsAccessRights, 2);
        "guest.seg.ss.dpl_rpl" => |t| t.or(Field::GuestCsAccessRights, 4).or(Field::GuestSsAccessRights, 0x60);
        "guest.seg.ss.dpl_zero" => |t| t.unrestricted().set(Field::GuestCsAccessRights, 0xA093)
            .or(Field::GuestSsAccessRights, 0x20);
        "guest.seg.ldtr.ti" => |t| t.or(Field::GuestLdtrSelector, 4);
        "guest.seg.ldtr.type" => |t| t.or(Field::GuestLdtrAccessRights, 1);
        "guest.seg.ldtr.s" => |t| t.or(Field::GuestLdtrAccessRights, 0x10);
        "guest.seg.ldtr.p" => |t| t.clear(Field::GuestLdtrAccessRights, 0x80);
        "guest.seg.ldtr.reserved_low" => |t| t.or(Field::GuestLdtrAccessRights, 0x400);
        "guest.seg.ldtr.reserved_high" => |t| t.or(Field::GuestLdtrAccessRights, 1 << 20);
        "guest.seg.ldtr.granularity_low" => |t| t.or(Field::GuestLdtrAccessRights, 1 << 15).set(Field::GuestLdtrLimit, 7);
        "guest.seg.ldtr.granularity_high" => |t| t.set(Field::GuestLdtrLimit, 0xFFFF_FFFF);
        "guest.seg.tr.ti" => |t| t.or(Field::GuestTrSelector, 4);
        "guest.seg.tr.type" => |t| t.set(Field::GuestTrAccessRights, 0x83);
        "guest.seg.tr.s" => |t| t.or(Field::GuestTrAccessRights, 0x10);
        "guest.seg.tr.p" => |t| t.clear(Field::GuestTrAccessRights, 0x80);
        "guest.seg.tr.reserved_low" => |t| t.or(Field::GuestTrAccessRights, 0x100);
        "guest.seg.tr.usable" => |t| t.or(Field::GuestTrAccessRights, 1 << 16);
        "guest.seg.tr.reserved_high" => |t| t.or(Field::GuestTrAccessRights, 1 << 31);
        "guest.seg.tr.granularity_low" => |t| t.or(Field::GuestTrAccessRights, 1 << 15);
        "guest.seg.tr.granularity_high" => |t| t.set(Field::GuestTrLimit, 0xFFFF_FFFF);
        // Descriptor tables, RIP, RFLAGS, SSP.
        "guest.gdtr.limit" => |t| t.set(Field::GuestGdtrLimit, 0x1_0000);
        "guest.idtr.limit" => |t| t.set(Field::GuestIdtrLimit, 0x1_0000);
        "guest.rip.upper" => |t| t.guest32().set(Field::GuestRip, 1 << 32);
        "guest.rip.identical" => |t| t.set(Field::GuestRip, 1 << 48);
        "guest.rflags.reserved" => |t| t.or(Field::GuestRflags, 1 << 15);
        "guest.rflags.fixed_1" => |t| t.clear(Field::GuestRflags, 2);
        "guest.rflags.vm" => |t| {
            t.v8086().entry(Entry::IA32E_MODE_GUEST).set(Field::GuestCr4, 0x2020)
        };
        "guest.rflags.if" => |t| t.inject(0x8000_0020);
        "guest.ssp.identical" => |t| t.entry(Entry::LOAD_CET_STATE).set(Field::GuestSsp, 1 << 48);
        "guest.ssp.align" => |t| t.entry(Entry::LOAD_CET_STATE).set(Field::GuestSsp, 1);
        // Non-register state.
        "guest.activity.supported" => |t| t.set(Field::GuestActivityState, 4);
        "guest.activity.hlt_cpl" => |t| t.cpl3().set(Field::GuestActivityState, 1);
        "guest.activity.blocking" => |t| t.set(Field::GuestActivityState, 2).set(Field::GuestInterruptibilityState, 2);
        "guest.activity.hlt_event" => |t| t.set(Field::GuestActivityState, 1).inject(0x8000_0B0D);
        "guest.activity.shutdown_event" => |t| t.set(Field::GuestActivityState, 2).inject(0x8000_0301);
        "guest.activity.wait_for_sipi_event" => |t| t.set(Field::GuestActivityState, 3).inject(0x8000_0202);
        "guest.activity.smm" => |t| {
            t.now.in_smm = true;
            t.entry(Entry::ENTRY_TO_SMM).set(Field::GuestActivityState, 3).set(Field::GuestInterruptibilityState, 4)
        };
        "guest.interruptibility.reserved" => |t| t.set(Field::GuestInterruptibilityState, 0x20);
        "guest.interruptibility.sti_and_mov_ss" => |t|
            t.or(Field::GuestRflags, 0x200).set(Field::GuestInterruptibilityState, 3);
        "guest.interruptibility.sti_if" => |t| t.set(Field::GuestInterruptibilityState, 1);
        "guest.interruptibility.external_interrupt" => |t|
            t.or(Field::GuestRflags, 0x200).inject(0x8000_0020).set(Field::GuestInterruptibilityState, 1);
        "guest.interruptibility.nmi_mov_ss" => |t| t.inject(0x8000_0202).set(Field::GuestInterruptibilityState, 2);
        "guest.interruptibility.smi" => |t| t.set(Field::GuestInterruptibilityState, 4);
        "guest.interruptibility.smm" => |t| {
            t.now.in_smm = true;
            t.entry(Entry::ENTRY_TO_SMM)
        };
        "guest.interruptibility.nmi" => |t| t.pin(Pin::NMI_EXITING | Pin::VIRTUAL_NMIS).inject(0x8000_0202)
            .set(Field::GuestInterruptibilityState, 8);
        "guest.interruptibility.enclave_mov_ss" => |t| {
            t.cpu.sgx = true;
            t.set(Field::GuestInterruptibilityState, 0x12)
        };
        "guest.interruptibility.enclave_sgx" => |t| t.set(Field::GuestInterruptibilityState, 0x10);
        "guest.nmi_sti.blocking" => |t| t.or(Field::GuestRflags, 0x200).inject(0x8000_0202)
            .set(Field::GuestInterruptibilityState, 1);
        "guest.pending_debug.reserved" => |t| t.set(Field::GuestPendingDebugExceptions, 1 << 11);
        "guest.pending_debug.bs_required" => |t|
            t.or(Field::GuestRflags, 0x100).set(Field::GuestInterruptibilityState, 2);
        "guest.pending_debug.bs_forbidden" => |t|
            t.set(Field::GuestPendingDebugExceptions, 1 << 14).set(Field::GuestInterruptibilityState, 2);
        "guest.pending_debug.rtm_bits" => |t| {
            t.cpu.rtm = true;
            t.set(Field::GuestPendingDebugExceptions, 0x1_0000)
        };
        "guest.pending_debug.rtm_supported" => |t| t.set(Field::GuestPendingDebugExceptions, 0x1_1000);
        "guest.pending_debug.rtm_mov_ss" => |t| {
            t.cpu.rtm = true;
            t.set(Field::GuestPendingDebugExceptions, 0x1_1000).set(Field::GuestInterruptibilityState, 2)
        };
        "guest.link.align" => |t| t.set(Field::VmcsLinkPointer, 0x6001);
        "guest.link.width" => |t| t.set(Field::VmcsLinkPointer, WIDE);
        "guest.link.revision" => |t| {
            t.now.link_header = Some(0x2C);
            t.set(Field::VmcsLinkPointer, 0x6000)
        };
        "guest.link.shadow" => |t| {
            t.now.link_header = Some(0x8000_002B);
            t.set(Field::VmcsLinkPointer, 0x6000)
        };
        "guest.link.current" => |t| t.set(Field::VmcsLinkPointer, 0x5000);
        "guest.link.executive" => |t| {
            t.now.in_smm = true;
            t.set(Field::VmcsLinkPointer, 0x7000).set(Field::ExecutiveVmcsPointer, 0x7000)
        };
    }
    for (n, field) in
        [Field::GuestPdpte0, Field::GuestPdpte1, Field::GuestPdpte2, Field::GuestPdpte3].into_iter().enumerate()
    {
        table.push((
            format!("guest.pdpte{n}.field"),
            Box::new(move |t| {
                t.guest32().ept().set(Field::GuestCr4, 0x2020).set(field, 3);
            }),
        ));
        table.push((
            format!("guest.pdpte{n}.memory"),
            Box::new(move |t| {
                let mut entries = [0; 4];
                entries[n] = 1 | WIDE;
                t.now.pdptes = Some(entries);
                t.guest32().set(Field::GuestCr4, 0x2020);
            }),
        ));
    }
    for register in SegmentRegister::USER {
        let name = register.name().to_lowercase();
        let fields = GuestSegmentFields::of(register);
        let mut add = |rule: &str, change: Mutation| table.push((format!("guest.seg.{name}.{rule}"), change));
        add("v8086_base", Box::new(move |t| _ = t.v8086().set(fields.base, 0x12350)));
        add("v8086_limit", Box::new(move |t| _ = t.v8086().set(fields.limit, 0xFFFE)));
        add("v8086_rights", Box::new(move |t| _ = t.v8086().set(fields.access_rights, 0x93)));
        add("s", Box::new(move |t| _ = t.clear(fields.access_rights, 0x10)));
        add("p", Box::new(move |t| _ = t.clear(fields.access_rights, 0x80)));
        add("reserved_low", Box::new(move |t| _ = t.or(fields.access_rights, 0x800)));
        add("reserved_high", Box::new(move |t| _ = t.or(fields.access_rights, 1 << 17)));
        add("granularity_low", Box::new(move |t| _ = t.set(fields.limit, 0xFFFF_FFFE)));
        add("granularity_high", Box::new(move |t| _ = t.clear(fields.access_rights, 1 << 15)));
        if !matches!(register, SegmentRegister::Cs | SegmentRegister::Ss) {
            add("type_accessed", Box::new(move |t| _ = t.clear(fields.access_rights, 1)));
            add("type_readable", Box::new(move |t| _ = t.set(fields.access_rights, 0xC099)));
            add("dpl_rpl", Box::new(move |t| _ = t.or(fields.selector, 3)));
        }
        if matches!(register, SegmentRegister::Es | SegmentRegister::Ds) {
            add("base_upper", Box::new(move |t| _ = t.set(fields.base, 1 << 32)));
        }
    }
    table
}

fn failing_ids(case: &Case) -> Vec<&'static str> {
    checks::failing(&case.context()).iter().map(|rule| rule.id).collect()
}

#[test]
fn entry_base_vmcs_and_its_variants_pass_every_rule() {
    let variants: [Variant; 9] = [
        ("long mode", |_| ()),
        ("EPT", |t| _ = t.ept()),
        ("unrestricted real mode", |t| _ = t.guest32().unrestricted().clear(Field::GuestCr0, 0x8000_0001)),
        ("32-bit guest", |t| _ = t.guest32()),
        ("virtual-8086", |t| _ = t.v8086()),
        ("32-bit VMM", |t| _ = t.host32()),
        ("CPL 3", |t| _ = t.cpl3()),
        ("injected #GP", |t| _ = t.inject(0x8000_0B0D)),
        ("null data segments", |t| {
            for register in [SegmentRegister::Es, SegmentRegister::Ds, SegmentRegister::Fs, SegmentRegister::Gs] {
                t.vmcs.set_guest_segment(register, &emu_vmx::arch::Segment::NULL);
            }
        }),
    ];
    for (name, change) in variants {
        let mut case = Case::long_mode();
        change(&mut case);
        assert_eq!(failing_ids(&case), Vec::<&str>::new(), "{name}");
        assert!(checks::check(&case.context()).is_ok(), "{name}");
    }
}

#[test]
fn entry_rule_mutation_fails_exactly_that_rule() {
    let mut wrong = Vec::new();
    for (id, mutate) in mutations() {
        let mut case = Case::long_mode();
        mutate(&mut case);
        let context = case.context();
        let ids = failing_ids(&case);
        if ids != [id.as_str()] {
            wrong.push(format!("{id}: failing rules are {ids:?}"));
            continue;
        }
        // The straight-line code finds the same rule, in its own stage.
        let rule = checks::check(&context).expect_err(&id);
        assert_eq!(rule.id, id);
        match rule.failure() {
            Failure::VmFailValid(error) => {
                assert!(id.starts_with(if error == VmInstructionError::EntryInvalidControls {
                    "ctl."
                } else {
                    "host."
                }));
                assert_eq!(checks::check_controls_and_host(&context), Err(rule));
            }
            Failure::InvalidGuestState { qualification } => {
                let expected = match () {
                    () if id.starts_with("guest.pdpte") => 2,
                    () if id.starts_with("guest.nmi_sti") => 3,
                    () if id.starts_with("guest.link") => 4,
                    () => 0,
                };
                assert_eq!(qualification, expected, "{id}");
                assert_eq!(checks::check_controls_and_host(&context), Ok(()));
            }
        }
        assert!(rule.explain(&context).starts_with(&id));
    }
    assert!(wrong.is_empty(), "{} mutations do not fail exactly their rule:\n{}", wrong.len(), wrong.join("\n"));
}

/// Does what a remedy says, word by word; how many values it named.
fn carry_out(case: &mut Case, words: &str) -> usize {
    let hex = |text: &str| -> Option<u64> {
        let end = text.find(|c: char| !c.is_ascii_hexdigit())?;
        u64::from_str_radix(&text[..end], 16).ok()
    };
    let mut done = 0;
    if words.contains("clear bit 0 (TraceEn) of IA32_RTIT_CTL") {
        case.now.pt_enabled = false;
        done += 1;
    }
    for part in words.split("write ").skip(1) {
        // `an address of at most FFFFFFFFFFh to …`: the highest page there.
        let (value, bound) = match part.strip_prefix("an address of at most ") {
            Some(rest) => (hex(rest).map(|end| end & !0xFFF), true),
            None => (hex(part), false),
        };
        let (Some(value), Some((_, place))) = (value, part.split_once("h to ")) else { continue };
        if place.starts_with("the byte at") {
            case.now.vtpr = Some(value as u8);
        } else if place.starts_with("the dword at") {
            case.now.link_header = Some(value as u32);
        } else if let Some(number) = place.strip_prefix("PDPTE").filter(|_| place.contains("in memory at")) {
            let number: usize = number[..1].parse().expect("a digit");
            case.now.pdptes.as_mut().expect("there are some")[number] = value;
        } else {
            let named = Field::ALL.iter().filter(|field| place.starts_with(field.name()));
            let field = *named.max_by_key(|field| field.name().len()).unwrap_or_else(|| panic!("{place}"));
            assert!(bound || value & !field.width().mask() == 0, "{words}");
            case.set(field, value);
        }
        done += 1;
    }
    done
}

/// Remedies without a value: only the VMM knows its selectors, and where it has a page.
const WITHOUT_VALUE: [&str; 5] =
    ["host.cs.null", "host.tr.null", "host.ss.null", "guest.link.current", "guest.link.executive"];

/// Every way to mend what fails in `case`, carried out.
fn mend(case: &Case, rule: &checks::Rule) {
    let (id, context) = (rule.id, case.context());
    let text = rule.remedy(&context);
    let ways = rule.ways(&context, &|_| true);
    assert!(!ways.is_empty(), "{id}: {text}");
    assert!(!text.starts_with("see to it that") && !text.contains(rule.required), "{id}: {text}");
    for way in &ways {
        let words = way.words(&context, &|_| true);
        let mut mended = case.clone();
        if carry_out(&mut mended, &words) == 0 {
            assert!(WITHOUT_VALUE.contains(&id), "{id}: {words}");
        } else {
            assert!((rule.holds)(&mended.context()), "{id}: {words}");
        }
    }
}

#[test]
fn remedies_that_are_carried_out_make_their_rule_hold() {
    for (id, mutate) in mutations() {
        let mut case = Case::long_mode();
        mutate(&mut case);
        let rule = checks::all_rules().find(|rule| rule.id == id).unwrap();
        mend(&case, rule);
    }
}

#[test]
fn remedies_of_random_states_make_their_rule_hold() {
    let mut seed = 0x2545_F491_4F6C_DD1Du64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut failing = std::collections::BTreeSet::new();
    let changes = mutations();
    for round in 0..3_000u64 {
        let mut case = Case::long_mode();
        if round % 2 == 0 {
            changes[random() as usize % changes.len()].1(&mut case);
        }
        for _ in 0..=round % 3 {
            let field = Field::ALL[random() as usize % Field::ALL.len()];
            let value = match random() % 3 {
                0 => random(),
                1 => case.get(field) ^ 1 << (random() % 64),
                _ => case.get(field) ^ random() & random() & 0xFFFF,
            };
            case.set(field, value & field.width().mask());
        }
        for rule in checks::failing(&case.context()) {
            failing.insert(rule.id);
            mend(&case, rule);
        }
    }
    assert!(failing.len() > 200, "{}", failing.len());
}

/// A null selector in a register with S = 0.
fn null(case: &mut Case, register: SegmentRegister) {
    let fields = GuestSegmentFields::of(register);
    case.set(fields.selector, 0).clear(fields.access_rights, 0x10);
}

fn real_mode(case: &mut Case) -> &mut Case {
    case.guest32().unrestricted().clear(Field::GuestCr0, 0x8000_0001)
}

#[test]
fn remedy_makes_a_register_unusable_only_where_a_null_selector_does() {
    for (register, change, unusable) in [
        (SegmentRegister::Es, (|_| ()) as fn(&mut Case), true),
        (SegmentRegister::Es, |t| _ = t.guest32(), true),
        (SegmentRegister::Es, |t| _ = real_mode(t), false),
        (SegmentRegister::Ss, |_| (), true),
        (SegmentRegister::Ss, |t| _ = t.guest32(), false),
        (SegmentRegister::Ss, |t| _ = real_mode(t), false),
        (SegmentRegister::Cs, |_| (), false),
    ] {
        let mut case = Case::long_mode();
        change(&mut case);
        null(&mut case, register);
        let id = format!("guest.seg.{}.s", register.name().to_lowercase());
        let rule = checks::all_rules().find(|rule| rule.id == id).unwrap();
        let text = rule.remedy(&case.context());
        assert_eq!(text.contains("(unusable)"), unusable, "{id}: {text}");
    }
}

#[test]
fn remedy_of_a_reserved_type_claims_none_for_vectors_without_an_event() {
    let rule = checks::all_rules().find(|rule| rule.id == "ctl.event.type_reserved").unwrap();
    for vector in 0..=0xFF {
        let mut case = Case::long_mode();
        case.inject(0x8000_0100 | vector);
        let text = rule.remedy(&case.context());
        assert_eq!(text.contains("the type that"), !matches!(vector, 9 | 15 | 22..=31), "{vector}: {text}");
    }
    let mut case = Case::long_mode();
    case.inject(0x8000_0904).set(Field::VmEntryInstructionLength, 2);
    let ways = rule.ways(&case.context(), &|_| true);
    assert!(ways[0].then.is_empty() && ways[0].changes.len() == 1, "the length stays, the error code goes: {ways:?}");
}

#[test]
fn nw_and_cd_of_cr0_are_not_checked() {
    for (field, change) in [(Field::HostCr0, "host"), (Field::GuestCr0, "guest")] {
        for bits in [0, 1 << 29, 1 << 30, 3 << 29] {
            for (fixed0, fixed1) in [(0x8000_0021, 0x9FFF_FFFF), (0xE000_0021, 0xFFFF_FFFF)] {
                let mut case = Case::long_mode();
                (case.caps.cr0_fixed0, case.caps.cr0_fixed1) = (fixed0, fixed1);
                case.or(field, bits);
                assert_eq!(failing_ids(&case), Vec::<&str>::new(), "{change} {bits:x} {fixed0:x} {fixed1:x}");
                case.clear(field, 0x20);
                let rule = checks::check(&case.context()).expect_err("NE is checked");
                let text = rule.explain(&case.context());
                assert!(text.contains("must be 1: 20h") && text.contains("must be 0: none"), "{text}");
            }
        }
    }
}

#[test]
fn remedies_name_bits_msrs_and_values() {
    let remedy = |id: &str, change: &dyn Fn(&mut Case)| {
        let mut case = Case::long_mode();
        change(&mut case);
        checks::all_rules().find(|rule| rule.id == id).unwrap().remedy(&case.context())
    };
    for (id, change, part) in [
        (
            "ctl.pin.reserved",
            &(|t: &mut Case| _ = t.set(Field::PinBasedControls, 0x114)) as &dyn Fn(&mut Case),
            "write 16h to Pin-based VM-execution controls: set bit 1, clear bit 8, as IA32_VMX_TRUE_PINBASED_CTLS (48Dh) = \
             FF00000016h asks",
        ),
        ("guest.seg.tr.type", &|t| _ = t.set(Field::GuestTrAccessRights, 0x82), "write 8Bh to Guest TR access rights"),
        (
            "guest.seg.tr.type",
            &|t| _ = t.set(Field::GuestTrAccessRights, 0x83),
            "write 8Bh to Guest TR access rights in place of 83h (busy TSS)",
        ),
        (
            "guest.seg.tr.type",
            &|t| _ = t.guest32().set(Field::GuestTrAccessRights, 0x81),
            "write 83h to Guest TR access rights",
        ),
        (
            "guest.cr4.fixed",
            &|t| _ = t.set(Field::GuestCr4, 0x0800_2020),
            "write 2020h to Guest CR4: clear bit 27 (“LASS”), as IA32_VMX_CR4_FIXED0 (488h) = 2000h",
        ),
        ("guest.cr4.fixed", &|t| _ = t.set(Field::GuestCr4, 0x20), "write 2020h to Guest CR4: set bit 13 (“VMXE”)"),
        (
            "guest.cr0.fixed",
            &|t| _ = t.or(Field::GuestCr0, 5 << 32),
            "write 80010031h to Guest CR0: clear bits 34, 32, as IA32_VMX_CR0_FIXED0 (486h) = 80000021h and \
             IA32_VMX_CR0_FIXED1 (487h) = FFFFFFFFh ask",
        ),
        (
            "ctl.vpid.zero",
            &|t| _ = t.secondary(P2::ENABLE_VPID),
            "write 1h to Virtual-processor identifier (VPID) in place of 0h (any number",
        ),
        (
            "ctl.tsc_multiplier.zero",
            &|t| _ = t.secondary(P2::USE_TSC_SCALING),
            "write 1000000000000h to TSC multiplier",
        ),
        ("ctl.event.error_code_vector", &|t| _ = t.inject(0x8000_030D), "write 80000B0Dh to VM-entry interr"),
        ("ctl.event.error_code_vector", &|t| _ = t.inject(0x8000_0B06), "write 80000306h to VM-entry interr"),
        ("ctl.event.type_reserved", &|t| _ = t.inject(0x8000_0102), "write 80000202h to VM-entry interr"),
        ("ctl.event.type_reserved", &|t| _ = t.inject(0x8000_0106), "write 80000306h to VM-entry interr"),
        (
            "ctl.event.type_reserved",
            &|t| _ = t.inject(0x8000_0103),
            "write 80000603h to VM-entry interruption-information field in place of 80000103h (software exception #BP), \
             and write 1h to VM-entry instruction length in place of 0h",
        ),
        (
            "ctl.event.type_reserved",
            &|t| _ = t.inject(0x8000_0104).set(Field::VmEntryInstructionLength, 2),
            "(software exception #OF) (the type",
        ),
        (
            "ctl.eptp.width",
            &|t| {
                // Structures below 4 GiB, and EPTP wherever the processor reaches.
                t.caps.basic = VmxBasic(t.caps.basic.0 | 1 << 48);
                t.ept().set(Field::EptPointer, WIDE | 0x12_3456_701E);
            },
            "write 123456701Eh to EPT pointer (EPTP): clear bit 40",
        ),
        // A null selector makes ES unusable in protected mode, and SS in 64-bit mode.
        ("guest.seg.es.s", &|t| null(t, SegmentRegister::Es), "write 1C083h to Guest ES access rights"),
        ("guest.seg.ss.s", &|t| null(t, SegmentRegister::Ss), "write 1C083h to Guest SS access rights"),
        ("guest.seg.ss.s", &|t| null(t.guest32(), SegmentRegister::Ss), "write C093h to Guest SS access rights"),
        ("guest.seg.es.s", &|t| null(real_mode(t), SegmentRegister::Es), "write C093h to Guest ES access rights"),
        ("guest.rflags.if", &|t| _ = t.inject(0x8000_0020), "set bit 2 (“Interrupt-window exiting”)"),
        (
            "guest.pdpte1.memory",
            &|t| {
                t.now.pdptes = Some([0, 3, 0, 0]);
                t.guest32().set(Field::GuestCr4, 0x2020);
            },
            "write 1h to PDPTE1 in memory at 1008h: clear bit 1",
        ),
    ] {
        let text = remedy(id, change);
        assert!(text.contains(part), "{id}: {text}");
    }
    let mut case = Case::long_mode();
    case.now.pdptes = Some([0, 3, 0, 0]);
    case.guest32().set(Field::GuestCr4, 0x2020);
    let rule = checks::all_rules().find(|rule| rule.id == "guest.pdpte1.memory").unwrap();
    let text = rule.explain(&case.context());
    let detail = "PDPTE1 at 1008h is 3h; reserved: bits 63:40, 8:5, 2:1; set of them: bit 1";
    assert!(text.contains(detail), "{text}");
}

#[test]
fn entry_rules_have_unique_ids_and_one_mutation_each() {
    let mut count: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for rule in checks::all_rules() {
        count.entry(rule.id.into()).or_default().0 += 1;
        assert!(!rule.fields.is_empty() && !rule.required.is_empty(), "{}", rule.id);
    }
    for (id, _) in mutations() {
        count.entry(id).or_default().1 += 1;
    }
    let wrong: Vec<_> = count.iter().filter(|(_, n)| **n != (1, 1)).collect();
    assert!(wrong.is_empty(), "(rules, mutations) of {wrong:#?}");
}

/// docs/vmx-rules.md shows the table. `UPDATE_GOLDEN=1 cargo test -p emu-vmx` rewrites it.
#[test]
fn entry_rules_document_equals_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vmx-rules.md");
    let expected = emu_vmx::lint::rules_document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")).unwrap();
        std::fs::write(path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(path).expect("docs/vmx-rules.md; UPDATE_GOLDEN=1 makes it");
    assert!(found == expected, "docs/vmx-rules.md differs from the table; UPDATE_GOLDEN=1 rewrites it");
}

#[test]
fn entry_check_of_random_fields_succeeds_exactly_when_no_rule_fails() {
    let mut seed = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (mut good, mut bad) = (0, 0);
    for round in 0..20_000u64 {
        let mut case = Case::long_mode();
        for _ in 0..=round % 3 {
            let field = Field::ALL[random() as usize % Field::ALL.len()];
            let value = match random() % 3 {
                0 => random(),
                1 => case.get(field) ^ 1 << (random() % 64),
                _ => case.get(field) ^ random() & random() & random() & 0xFFFF,
            };
            case.set(field, value);
        }
        let context = case.context();
        let failing = checks::failing(&context);
        match checks::check(&context) {
            Ok(()) => {
                assert!(failing.is_empty());
                good += 1;
            }
            Err(rule) => {
                assert_eq!(failing.first(), Some(&rule));
                bad += 1;
            }
        }
    }
    assert!(good > 1000 && bad > 1000, "{good} good, {bad} bad");
}

#[test]
fn entry_reads_memory_only_for_the_rules_that_need_it() {
    let mut case = Case::long_mode();
    let mut reads = Vec::new();
    let mut now = case.now;
    now.read_memory(&case.vmcs, &case.caps, &case.cpu, |address| {
        reads.push(address);
        0
    });
    assert_eq!(reads, []);
    case.primary(P1::USE_TPR_SHADOW).set(Field::VirtualApicAddress, 0x7000).set(Field::VmcsLinkPointer, 0x8000);
    case.guest32().set(Field::GuestCr4, 0x2020).set(Field::GuestCr3, 0x9020);
    now.read_memory(&case.vmcs, &case.caps, &case.cpu, |address| {
        reads.push(address);
        address
    });
    assert_eq!(reads, [0x7080, 0x8000, 0x9020, 0x9028, 0x9030, 0x9038]);
    assert_eq!((now.vtpr, now.link_header), (Some(0x80), Some(0x8000)));
}

#[test]
fn cr3_bits_of_linear_address_masking_are_reserved_outside_ia32e_mode_and_without_the_feature() {
    for bit in [61, 62] {
        for (lam, ia32e_guest, ia32e_host) in
            [(true, true, true), (true, false, true), (true, false, false), (false, true, true)]
        {
            let mut case = Case::long_mode();
            case.cpu.cr3_lam_mask = if lam { 3 << 61 } else { 0 };
            match (ia32e_guest, ia32e_host) {
                (true, _) => &mut case,
                (false, true) => case.guest32(),
                (false, false) => case.host32(),
            };
            let passes = |field: Field, rule: &str| {
                let mut case = case.clone();
                case.or(field, 1 << bit);
                let ids = failing_ids(&case);
                assert!(ids.is_empty() || ids == [rule], "{ids:?}");
                ids.is_empty()
            };
            assert_eq!(passes(Field::GuestCr3, "guest.cr3.width"), lam && ia32e_guest);
            assert_eq!(passes(Field::HostCr3, "host.cr3.width"), lam && ia32e_host);
        }
    }
}

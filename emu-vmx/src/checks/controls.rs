//! Checks on VMX controls (SDM Vol. 3C 27.2.1): VMfailValid with error 7.

/// Checks on VM-Execution Control Fields.
pub mod execution {
    use crate::arch::addr::page_aligned;
    use crate::caps::EptVpidCap;
    use crate::checks::{Section, Stage, differing, rules, wrong_bits};
    use crate::controls::*;
    use crate::field::Field;
    use alloc::format;

    const SECTION: Section = Section { number: "27.2.1.1", title: "VM-Execution Control Fields" };

    rules! {
        section SECTION; stage Stage::Controls; qualification 0;
        "ctl.pin.reserved" => [PinBasedControls],
            "the pin-based controls respect IA32_VMX_(TRUE_)PINBASED_CTLS",
            [word(Field::PinBasedControls)],
            |c| c.caps.pin().allows(c.pin.bits()), show |c| wrong_bits(Field::PinBasedControls, c.pin.bits(), c.caps.pin());
        "ctl.primary.reserved" => [PrimaryProcessorControls],
            "the primary processor-based controls respect IA32_VMX_(TRUE_)PROCBASED_CTLS",
            [word(Field::PrimaryProcessorControls)],
            |c| c.caps.primary().allows(c.primary.bits()), show |c| wrong_bits(Field::PrimaryProcessorControls, c.primary.bits(), c.caps.primary());
        "ctl.secondary.reserved" => [PrimaryProcessorControls, SecondaryProcessorControls],
            "the secondary processor-based controls respect IA32_VMX_PROCBASED_CTLS2",
            [word(Field::SecondaryProcessorControls)],
            when |c| c.primary.contains(PrimaryProcessorControls::ACTIVATE_SECONDARY_CONTROLS),
            |c| c.caps.procbased_ctls2.allows(c.secondary.bits()),
            show |c| wrong_bits(Field::SecondaryProcessorControls, c.secondary.bits(), c.caps.procbased_ctls2);
        "ctl.tertiary.reserved" => [PrimaryProcessorControls, TertiaryProcessorControls],
            "the tertiary processor-based controls have no bit that IA32_VMX_PROCBASED_CTLS3 has clear",
            [word(Field::TertiaryProcessorControls)],
            when |c| c.primary.contains(PrimaryProcessorControls::ACTIVATE_TERTIARY_CONTROLS),
            |c| c.tertiary.bits() & !c.caps.procbased_ctls3.bits() == 0,
            show |c| differing(Field::TertiaryProcessorControls, 0, c.tertiary.bits() & !c.caps.procbased_ctls3.bits());
        "ctl.cr3_target_count" => [Cr3TargetCount],
            "the CR3-target count is not above the number of CR3-target values (IA32_VMX_MISC bits 24:16, 4)",
            [make(Field::Cr3TargetCount, |c| Some(c.caps.misc.cr3_targets().into()))],
            |c| c.get(Field::Cr3TargetCount) <= u64::from(c.caps.misc.cr3_targets());
        "ctl.io_bitmap_a.align" => [PrimaryProcessorControls, IoBitmapA],
            "with “use I/O bitmaps” the address of I/O bitmap A is a multiple of 4096",
            [page(Field::IoBitmapA)],
            when |c| c.primary.contains(PrimaryProcessorControls::USE_IO_BITMAPS),
            |c| page_aligned(c.get(Field::IoBitmapA));
        "ctl.io_bitmap_a.width" => [PrimaryProcessorControls, IoBitmapA],
            "with “use I/O bitmaps” the address of I/O bitmap A is within the physical-address width",
            [width(Field::IoBitmapA)],
            when |c| c.primary.contains(PrimaryProcessorControls::USE_IO_BITMAPS),
            |c| c.width_ok(c.get(Field::IoBitmapA));
        "ctl.io_bitmap_b.align" => [PrimaryProcessorControls, IoBitmapB],
            "with “use I/O bitmaps” the address of I/O bitmap B is a multiple of 4096",
            [page(Field::IoBitmapB)],
            when |c| c.primary.contains(PrimaryProcessorControls::USE_IO_BITMAPS),
            |c| page_aligned(c.get(Field::IoBitmapB));
        "ctl.io_bitmap_b.width" => [PrimaryProcessorControls, IoBitmapB],
            "with “use I/O bitmaps” the address of I/O bitmap B is within the physical-address width",
            [width(Field::IoBitmapB)],
            when |c| c.primary.contains(PrimaryProcessorControls::USE_IO_BITMAPS),
            |c| c.width_ok(c.get(Field::IoBitmapB));
        "ctl.msr_bitmaps.align" => [PrimaryProcessorControls, MsrBitmaps],
            "with “use MSR bitmaps” the MSR-bitmap address is a multiple of 4096",
            [page(Field::MsrBitmaps)],
            when |c| c.primary.contains(PrimaryProcessorControls::USE_MSR_BITMAPS),
            |c| page_aligned(c.get(Field::MsrBitmaps));
        "ctl.msr_bitmaps.width" => [PrimaryProcessorControls, MsrBitmaps],
            "with “use MSR bitmaps” the MSR-bitmap address is within the physical-address width",
            [width(Field::MsrBitmaps)],
            when |c| c.primary.contains(PrimaryProcessorControls::USE_MSR_BITMAPS),
            |c| c.width_ok(c.get(Field::MsrBitmaps));
        "ctl.virtual_apic.align" => [PrimaryProcessorControls, VirtualApicAddress],
            "with “use TPR shadow” the virtual-APIC address is a multiple of 4096",
            [page(Field::VirtualApicAddress)],
            when |c| c.primary.contains(PrimaryProcessorControls::USE_TPR_SHADOW),
            |c| page_aligned(c.get(Field::VirtualApicAddress));
        "ctl.virtual_apic.width" => [PrimaryProcessorControls, VirtualApicAddress],
            "with “use TPR shadow” the virtual-APIC address is within the physical-address width",
            [width(Field::VirtualApicAddress)],
            when |c| c.primary.contains(PrimaryProcessorControls::USE_TPR_SHADOW),
            |c| c.width_ok(c.get(Field::VirtualApicAddress));
        "ctl.tpr_threshold.reserved" => [PrimaryProcessorControls, SecondaryProcessorControls, TprThreshold],
            "with “use TPR shadow” and without “virtual-interrupt delivery” bits 31:4 of the TPR threshold are 0",
            [clear(Field::TprThreshold, 0xFFFF_FFF0)],
            when |c| c.primary.contains(PrimaryProcessorControls::USE_TPR_SHADOW)
                && !c.secondary.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY),
            |c| c.get(Field::TprThreshold) & !0xF == 0;
        "ctl.tpr_threshold.vtpr" =>
            [PrimaryProcessorControls, SecondaryProcessorControls, TprThreshold, VirtualApicAddress],
            "with “use TPR shadow” and without “virtualize APIC accesses” and “virtual-interrupt delivery” the TPR \
             threshold is not above bits 7:4 of VTPR",
            [
                make(Field::TprThreshold, |c| Some(u64::from(c.now.vtpr? >> 4))),
                outside(|c| Some(Change::Vtpr {
                    at: c.get(Field::VirtualApicAddress) + 0x80,
                    new: ((c.get(Field::TprThreshold) & 0xF) << 4) as u8,
                })),
            ],
            when |c| c.primary.contains(PrimaryProcessorControls::USE_TPR_SHADOW)
                && !c.secondary.intersects(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY
                    | SecondaryProcessorControls::VIRTUALIZE_APIC_ACCESSES),
            |c| c.now.vtpr.is_none_or(|vtpr| c.get(Field::TprThreshold) & 0xF <= u64::from(vtpr >> 4)),
            show |c| format!("VTPR = {:02X}h", c.now.vtpr.unwrap_or(0));
        "ctl.x2apic_mode.tpr_shadow" => [PrimaryProcessorControls, SecondaryProcessorControls],
            "“virtualize x2APIC mode” is 0 without “use TPR shadow”",
            [
                on_primary(PrimaryProcessorControls::USE_TPR_SHADOW),
                off_secondary(SecondaryProcessorControls::VIRTUALIZE_X2APIC_MODE),
            ],
            |c| c.primary.contains(PrimaryProcessorControls::USE_TPR_SHADOW)
                || !c.secondary.contains(SecondaryProcessorControls::VIRTUALIZE_X2APIC_MODE);
        "ctl.apic_registers.tpr_shadow" => [PrimaryProcessorControls, SecondaryProcessorControls],
            "“APIC-register virtualization” is 0 without “use TPR shadow”",
            [
                on_primary(PrimaryProcessorControls::USE_TPR_SHADOW),
                off_secondary(SecondaryProcessorControls::APIC_REGISTER_VIRTUALIZATION),
            ],
            |c| c.primary.contains(PrimaryProcessorControls::USE_TPR_SHADOW)
                || !c.secondary.contains(SecondaryProcessorControls::APIC_REGISTER_VIRTUALIZATION);
        "ctl.virtual_interrupts.tpr_shadow" => [PrimaryProcessorControls, SecondaryProcessorControls],
            "“virtual-interrupt delivery” is 0 without “use TPR shadow”",
            [
                on_primary(PrimaryProcessorControls::USE_TPR_SHADOW),
                off_secondary(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY),
            ],
            |c| c.primary.contains(PrimaryProcessorControls::USE_TPR_SHADOW)
                || !c.secondary.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY);
        "ctl.ipi_virtualization.tpr_shadow" => [PrimaryProcessorControls, TertiaryProcessorControls],
            "“IPI virtualization” is 0 without “use TPR shadow”",
            [
                on_primary(PrimaryProcessorControls::USE_TPR_SHADOW),
                off_tertiary(TertiaryProcessorControls::IPI_VIRTUALIZATION),
            ],
            |c| c.primary.contains(PrimaryProcessorControls::USE_TPR_SHADOW)
                || !c.tertiary.contains(TertiaryProcessorControls::IPI_VIRTUALIZATION);
        "ctl.virtual_nmis.nmi_exiting" => [PinBasedControls],
            "“virtual NMIs” is 0 without “NMI exiting”",
            [on_pin(PinBasedControls::NMI_EXITING), off_pin(PinBasedControls::VIRTUAL_NMIS)],
            |c| c.pin.contains(PinBasedControls::NMI_EXITING) || !c.pin.contains(PinBasedControls::VIRTUAL_NMIS);
        "ctl.nmi_window.virtual_nmis" => [PinBasedControls, PrimaryProcessorControls],
            "“NMI-window exiting” is 0 without “virtual NMIs”",
            [
                on_pin(PinBasedControls::VIRTUAL_NMIS.union(PinBasedControls::NMI_EXITING)),
                off_primary(PrimaryProcessorControls::NMI_WINDOW_EXITING),
            ],
            |c| c.pin.contains(PinBasedControls::VIRTUAL_NMIS)
                || !c.primary.contains(PrimaryProcessorControls::NMI_WINDOW_EXITING);
        "ctl.apic_access.align" => [SecondaryProcessorControls, ApicAccessAddress],
            "with “virtualize APIC accesses” the APIC-access address is a multiple of 4096",
            [page(Field::ApicAccessAddress)],
            when |c| c.secondary.contains(SecondaryProcessorControls::VIRTUALIZE_APIC_ACCESSES),
            |c| page_aligned(c.get(Field::ApicAccessAddress));
        "ctl.apic_access.width" => [SecondaryProcessorControls, ApicAccessAddress],
            "with “virtualize APIC accesses” the APIC-access address is within the physical-address width",
            [width(Field::ApicAccessAddress)],
            when |c| c.secondary.contains(SecondaryProcessorControls::VIRTUALIZE_APIC_ACCESSES),
            |c| c.width_ok(c.get(Field::ApicAccessAddress));
        "ctl.x2apic_mode.apic_accesses" => [SecondaryProcessorControls],
            "“virtualize x2APIC mode” and “virtualize APIC accesses” are not both 1",
            [
                off_secondary(SecondaryProcessorControls::VIRTUALIZE_APIC_ACCESSES),
                off_secondary(SecondaryProcessorControls::VIRTUALIZE_X2APIC_MODE),
            ],
            |c| !c.secondary.contains(SecondaryProcessorControls::VIRTUALIZE_X2APIC_MODE
                | SecondaryProcessorControls::VIRTUALIZE_APIC_ACCESSES);
        "ctl.virtual_interrupts.external_interrupts" => [PinBasedControls, SecondaryProcessorControls],
            "with “virtual-interrupt delivery”, “external-interrupt exiting” is 1",
            [
                on_pin(PinBasedControls::EXTERNAL_INTERRUPT_EXITING),
                off_secondary(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY),
            ],
            |c| !c.secondary.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY)
                || c.pin.contains(PinBasedControls::EXTERNAL_INTERRUPT_EXITING);
        "ctl.posted_interrupts.virtual_interrupts" => [PinBasedControls, SecondaryProcessorControls],
            "with “process posted interrupts”, “virtual-interrupt delivery” is 1",
            [
                on_secondary(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY),
                off_pin(PinBasedControls::PROCESS_POSTED_INTERRUPTS),
            ],
            |c| !c.pin.contains(PinBasedControls::PROCESS_POSTED_INTERRUPTS)
                || c.secondary.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY);
        "ctl.posted_interrupts.acknowledge" => [PinBasedControls, VmExitControls],
            "with “process posted interrupts”, “acknowledge interrupt on exit” is 1",
            [
                on_exit(VmExitControls::ACKNOWLEDGE_INTERRUPT_ON_EXIT),
                off_pin(PinBasedControls::PROCESS_POSTED_INTERRUPTS),
            ],
            |c| !c.pin.contains(PinBasedControls::PROCESS_POSTED_INTERRUPTS)
                || c.exit.contains(VmExitControls::ACKNOWLEDGE_INTERRUPT_ON_EXIT);
        "ctl.posted_interrupts.vector" => [PinBasedControls, PostedInterruptNotificationVector],
            "with “process posted interrupts” the notification vector is in the range 0–255",
            [clear(Field::PostedInterruptNotificationVector, 0xFF00)],
            when |c| c.pin.contains(PinBasedControls::PROCESS_POSTED_INTERRUPTS),
            |c| c.get(Field::PostedInterruptNotificationVector) <= 0xFF;
        "ctl.posted_interrupts.descriptor.align" => [PinBasedControls, PostedInterruptDescriptorAddress],
            "with “process posted interrupts” the descriptor address is a multiple of 64",
            [clear(Field::PostedInterruptDescriptorAddress, 0x3F)],
            when |c| c.pin.contains(PinBasedControls::PROCESS_POSTED_INTERRUPTS),
            |c| c.get(Field::PostedInterruptDescriptorAddress) & 0x3F == 0;
        "ctl.posted_interrupts.descriptor.width" => [PinBasedControls, PostedInterruptDescriptorAddress],
            "with “process posted interrupts” the descriptor address is within the physical-address width",
            [width(Field::PostedInterruptDescriptorAddress)],
            when |c| c.pin.contains(PinBasedControls::PROCESS_POSTED_INTERRUPTS),
            |c| c.width_ok(c.get(Field::PostedInterruptDescriptorAddress));
        "ctl.vpid.zero" => [SecondaryProcessorControls, Vpid],
            "with “enable VPID” the VPID is not 0000h",
            [
                all(&[make(Field::Vpid, |_| Some(1))], "any number will do that no other guest has"),
                off_secondary(SecondaryProcessorControls::ENABLE_VPID),
            ],
            when |c| c.secondary.contains(SecondaryProcessorControls::ENABLE_VPID),
            |c| c.get(Field::Vpid) != 0;
        "ctl.eptp.memory_type" => [SecondaryProcessorControls, EptPointer],
            "with “enable EPT” bits 2:0 of EPTP are a memory type that IA32_VMX_EPT_VPID_CAP reports (0 UC, 6 WB)",
            [
                make(Field::EptPointer, |c| {
                    let write_back = c.caps.ept_vpid_cap.contains(EptVpidCap::MEMORY_TYPE_WB);
                    Some(c.get(Field::EptPointer) & !7 | if write_back { 6 } else { 0 })
                }),
                off_secondary(SecondaryProcessorControls::ENABLE_EPT),
            ],
            when |c| c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT),
            |c| match c.get(Field::EptPointer) & 7 {
                0 => c.caps.ept_vpid_cap.contains(EptVpidCap::MEMORY_TYPE_UC),
                6 => c.caps.ept_vpid_cap.contains(EptVpidCap::MEMORY_TYPE_WB),
                _ => false,
            };
        "ctl.eptp.walk_length" => [SecondaryProcessorControls, EptPointer],
            "with “enable EPT” bits 5:3 of EPTP are the page-walk length less one, 3 or, where reported, 4",
            [
                make(Field::EptPointer, |c| {
                    let four = c.caps.ept_vpid_cap.contains(EptVpidCap::WALK_LENGTH_4);
                    Some(c.get(Field::EptPointer) & !0x38 | if four { 3 << 3 } else { 4 << 3 })
                }),
                off_secondary(SecondaryProcessorControls::ENABLE_EPT),
            ],
            when |c| c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT),
            |c| match (c.get(Field::EptPointer) >> 3) & 7 {
                3 => c.caps.ept_vpid_cap.contains(EptVpidCap::WALK_LENGTH_4),
                4 => c.caps.ept_vpid_cap.contains(EptVpidCap::WALK_LENGTH_5),
                _ => false,
            };
        "ctl.eptp.accessed_dirty" => [SecondaryProcessorControls, EptPointer],
            "with “enable EPT” bit 6 of EPTP is 0 where accessed and dirty flags are not supported",
            [clear(Field::EptPointer, 1 << 6)],
            when |c| c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT),
            |c| c.get(Field::EptPointer) & (1 << 6) == 0
                || c.caps.ept_vpid_cap.contains(EptVpidCap::ACCESSED_DIRTY);
        "ctl.eptp.shadow_stack" => [SecondaryProcessorControls, EptPointer],
            "with “enable EPT” bit 7 of EPTP is 0 where supervisor shadow-stack control is not supported",
            [clear(Field::EptPointer, 1 << 7)],
            when |c| c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT),
            |c| c.get(Field::EptPointer) & (1 << 7) == 0
                || c.caps.ept_vpid_cap.contains(EptVpidCap::SUPERVISOR_SHADOW_STACK);
        "ctl.eptp.reserved" => [SecondaryProcessorControls, EptPointer],
            "with “enable EPT” bits 11:8 of EPTP are 0",
            [clear(Field::EptPointer, 0xF00)],
            when |c| c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT),
            |c| c.get(Field::EptPointer) & 0xF00 == 0;
        "ctl.eptp.width" => [SecondaryProcessorControls, EptPointer],
            "with “enable EPT” EPTP is within the physical-address width",
            // Unlike the addresses of other structures, IA32_VMX_BASIC bit 48 does not limit EPTP to 32 bits.
            [make(Field::EptPointer, |c| {
                Some(c.get(Field::EptPointer) & crate::arch::addr::physical_mask(c.cpu.maxphyaddr))
            })],
            when |c| c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT),
            |c| !crate::arch::addr::beyond_physical(c.get(Field::EptPointer), c.cpu.maxphyaddr);
        "ctl.pml.ept" => [SecondaryProcessorControls],
            "with “enable PML”, “enable EPT” is 1",
            [
                on_secondary(SecondaryProcessorControls::ENABLE_EPT),
                off_secondary(SecondaryProcessorControls::ENABLE_PML),
            ],
            |c| !c.secondary.contains(SecondaryProcessorControls::ENABLE_PML)
                || c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT);
        "ctl.pml.align" => [SecondaryProcessorControls, PmlAddress],
            "with “enable PML” the PML address is a multiple of 4096",
            [page(Field::PmlAddress)],
            when |c| c.secondary.contains(SecondaryProcessorControls::ENABLE_PML),
            |c| page_aligned(c.get(Field::PmlAddress));
        "ctl.pml.width" => [SecondaryProcessorControls, PmlAddress],
            "with “enable PML” the PML address is within the physical-address width",
            [width(Field::PmlAddress)],
            when |c| c.secondary.contains(SecondaryProcessorControls::ENABLE_PML),
            |c| c.width_ok(c.get(Field::PmlAddress));
        "ctl.unrestricted_guest.ept" => [SecondaryProcessorControls],
            "with “unrestricted guest”, “enable EPT” is 1",
            [
                on_secondary(SecondaryProcessorControls::ENABLE_EPT),
                off_secondary(SecondaryProcessorControls::UNRESTRICTED_GUEST),
            ],
            |c| !c.unrestricted() || c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT);
        "ctl.mode_based_execute.ept" => [SecondaryProcessorControls],
            "with “mode-based execute control for EPT”, “enable EPT” is 1",
            [
                on_secondary(SecondaryProcessorControls::ENABLE_EPT),
                off_secondary(SecondaryProcessorControls::MODE_BASED_EXECUTE_CONTROL),
            ],
            |c| !c.secondary.contains(SecondaryProcessorControls::MODE_BASED_EXECUTE_CONTROL)
                || c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT);
        "ctl.sub_page.ept" => [SecondaryProcessorControls],
            "with “sub-page write permissions for EPT”, “enable EPT” is 1",
            [
                on_secondary(SecondaryProcessorControls::ENABLE_EPT),
                off_secondary(SecondaryProcessorControls::SUB_PAGE_WRITE_PERMISSIONS),
            ],
            |c| !c.secondary.contains(SecondaryProcessorControls::SUB_PAGE_WRITE_PERMISSIONS)
                || c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT);
        "ctl.sub_page.align" => [SecondaryProcessorControls, SubPagePermissionTablePointer],
            "with “sub-page write permissions for EPT” bits 11:0 of SPPTP are 0",
            [page(Field::SubPagePermissionTablePointer)],
            when |c| c.secondary.contains(SecondaryProcessorControls::SUB_PAGE_WRITE_PERMISSIONS),
            |c| page_aligned(c.get(Field::SubPagePermissionTablePointer));
        "ctl.sub_page.width" => [SecondaryProcessorControls, SubPagePermissionTablePointer],
            "with “sub-page write permissions for EPT” SPPTP is within the physical-address width",
            [width(Field::SubPagePermissionTablePointer)],
            when |c| c.secondary.contains(SecondaryProcessorControls::SUB_PAGE_WRITE_PERMISSIONS),
            |c| c.width_ok(c.get(Field::SubPagePermissionTablePointer));
        "ctl.vm_functions.reserved" => [SecondaryProcessorControls, VmFunctionControls],
            "with “enable VM functions” the VM-function controls have no bit that IA32_VMX_VMFUNC has clear",
            [word(Field::VmFunctionControls)],
            when |c| c.secondary.contains(SecondaryProcessorControls::ENABLE_VM_FUNCTIONS),
            |c| c.functions.bits() & !c.caps.vmfunc.bits() == 0;
        "ctl.eptp_switching.ept" => [SecondaryProcessorControls, VmFunctionControls],
            "with “EPTP switching”, “enable EPT” is 1",
            [on_secondary(SecondaryProcessorControls::ENABLE_EPT), off_function(VmFunctions::EPTP_SWITCHING)],
            |c| !c.functions.contains(VmFunctions::EPTP_SWITCHING)
                || c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT);
        "ctl.eptp_list.align" => [VmFunctionControls, EptpListAddress],
            "with “EPTP switching” the EPTP-list address is a multiple of 4096",
            [page(Field::EptpListAddress)],
            when |c| c.functions.contains(VmFunctions::EPTP_SWITCHING),
            |c| page_aligned(c.get(Field::EptpListAddress));
        "ctl.eptp_list.width" => [VmFunctionControls, EptpListAddress],
            "with “EPTP switching” the EPTP-list address is within the physical-address width",
            [width(Field::EptpListAddress)],
            when |c| c.functions.contains(VmFunctions::EPTP_SWITCHING),
            |c| c.width_ok(c.get(Field::EptpListAddress));
        "ctl.vmread_bitmap.align" => [SecondaryProcessorControls, VmreadBitmapAddress],
            "with “VMCS shadowing” the VMREAD-bitmap address is a multiple of 4096",
            [page(Field::VmreadBitmapAddress)],
            when |c| c.secondary.contains(SecondaryProcessorControls::VMCS_SHADOWING),
            |c| page_aligned(c.get(Field::VmreadBitmapAddress));
        "ctl.vmread_bitmap.width" => [SecondaryProcessorControls, VmreadBitmapAddress],
            "with “VMCS shadowing” the VMREAD-bitmap address is within the physical-address width",
            [width(Field::VmreadBitmapAddress)],
            when |c| c.secondary.contains(SecondaryProcessorControls::VMCS_SHADOWING),
            |c| c.width_ok(c.get(Field::VmreadBitmapAddress));
        "ctl.vmwrite_bitmap.align" => [SecondaryProcessorControls, VmwriteBitmapAddress],
            "with “VMCS shadowing” the VMWRITE-bitmap address is a multiple of 4096",
            [page(Field::VmwriteBitmapAddress)],
            when |c| c.secondary.contains(SecondaryProcessorControls::VMCS_SHADOWING),
            |c| page_aligned(c.get(Field::VmwriteBitmapAddress));
        "ctl.vmwrite_bitmap.width" => [SecondaryProcessorControls, VmwriteBitmapAddress],
            "with “VMCS shadowing” the VMWRITE-bitmap address is within the physical-address width",
            [width(Field::VmwriteBitmapAddress)],
            when |c| c.secondary.contains(SecondaryProcessorControls::VMCS_SHADOWING),
            |c| c.width_ok(c.get(Field::VmwriteBitmapAddress));
        "ctl.ve_information.align" => [SecondaryProcessorControls, VirtualizationExceptionInformationAddress],
            "with “EPT-violation #VE” the virtualization-exception information address is a multiple of 4096",
            [page(Field::VirtualizationExceptionInformationAddress)],
            when |c| c.secondary.contains(SecondaryProcessorControls::EPT_VIOLATION_VE),
            |c| page_aligned(c.get(Field::VirtualizationExceptionInformationAddress));
        "ctl.ve_information.width" => [SecondaryProcessorControls, VirtualizationExceptionInformationAddress],
            "with “EPT-violation #VE” the virtualization-exception information address is within the \
             physical-address width",
            [width(Field::VirtualizationExceptionInformationAddress)],
            when |c| c.secondary.contains(SecondaryProcessorControls::EPT_VIOLATION_VE),
            |c| c.width_ok(c.get(Field::VirtualizationExceptionInformationAddress));
        "ctl.pt_guest_physical.ept" => [SecondaryProcessorControls],
            "with “Intel PT uses guest physical addresses”, “enable EPT” is 1",
            [
                on_secondary(SecondaryProcessorControls::ENABLE_EPT),
                off_secondary(SecondaryProcessorControls::PT_USES_GUEST_PHYSICAL_ADDRESSES),
            ],
            |c| !c.secondary.contains(SecondaryProcessorControls::PT_USES_GUEST_PHYSICAL_ADDRESSES)
                || c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT);
        "ctl.pt_guest_physical.load_rtit" => [SecondaryProcessorControls, VmEntryControls],
            "with “Intel PT uses guest physical addresses”, “load IA32_RTIT_CTL” is 1",
            [
                on_entry(VmEntryControls::LOAD_IA32_RTIT_CTL),
                off_secondary(SecondaryProcessorControls::PT_USES_GUEST_PHYSICAL_ADDRESSES),
            ],
            |c| !c.secondary.contains(SecondaryProcessorControls::PT_USES_GUEST_PHYSICAL_ADDRESSES)
                || c.entry.contains(VmEntryControls::LOAD_IA32_RTIT_CTL);
        "ctl.pt_guest_physical.clear_rtit" => [SecondaryProcessorControls, VmExitControls],
            "with “Intel PT uses guest physical addresses”, “clear IA32_RTIT_CTL” is 1",
            [
                on_exit(VmExitControls::CLEAR_IA32_RTIT_CTL),
                off_secondary(SecondaryProcessorControls::PT_USES_GUEST_PHYSICAL_ADDRESSES),
            ],
            |c| !c.secondary.contains(SecondaryProcessorControls::PT_USES_GUEST_PHYSICAL_ADDRESSES)
                || c.exit.contains(VmExitControls::CLEAR_IA32_RTIT_CTL);
        "ctl.entry.pt_enabled" => [VmEntryControls],
            "“load IA32_RTIT_CTL” is 0 while Intel PT is tracing (IA32_RTIT_CTL.TraceEn = 1)",
            [outside(|_| Some(Change::TraceOff)), off_entry(VmEntryControls::LOAD_IA32_RTIT_CTL)],
            |c| !c.now.pt_enabled || !c.entry.contains(VmEntryControls::LOAD_IA32_RTIT_CTL);
        "ctl.tsc_multiplier.zero" => [SecondaryProcessorControls, TscMultiplier],
            "with “use TSC scaling” the TSC multiplier is not 0",
            [
                all(&[make(Field::TscMultiplier, |_| Some(1 << 48))], "1.0: the TSC goes as fast as the VMM's"),
                off_secondary(SecondaryProcessorControls::USE_TSC_SCALING),
            ],
            when |c| c.secondary.contains(SecondaryProcessorControls::USE_TSC_SCALING),
            |c| c.get(Field::TscMultiplier) != 0;
        "ctl.pasid_low.align" => [SecondaryProcessorControls, LowPasidDirectoryAddress],
            "with “PASID translation” the low PASID directory address is a multiple of 4096",
            [page(Field::LowPasidDirectoryAddress)],
            when |c| c.secondary.contains(SecondaryProcessorControls::PASID_TRANSLATION),
            |c| page_aligned(c.get(Field::LowPasidDirectoryAddress));
        "ctl.pasid_low.width" => [SecondaryProcessorControls, LowPasidDirectoryAddress],
            "with “PASID translation” the low PASID directory address is within the physical-address width",
            [width(Field::LowPasidDirectoryAddress)],
            when |c| c.secondary.contains(SecondaryProcessorControls::PASID_TRANSLATION),
            |c| c.width_ok(c.get(Field::LowPasidDirectoryAddress));
        "ctl.pasid_high.align" => [SecondaryProcessorControls, HighPasidDirectoryAddress],
            "with “PASID translation” the high PASID directory address is a multiple of 4096",
            [page(Field::HighPasidDirectoryAddress)],
            when |c| c.secondary.contains(SecondaryProcessorControls::PASID_TRANSLATION),
            |c| page_aligned(c.get(Field::HighPasidDirectoryAddress));
        "ctl.pasid_high.width" => [SecondaryProcessorControls, HighPasidDirectoryAddress],
            "with “PASID translation” the high PASID directory address is within the physical-address width",
            [width(Field::HighPasidDirectoryAddress)],
            when |c| c.secondary.contains(SecondaryProcessorControls::PASID_TRANSLATION),
            |c| c.width_ok(c.get(Field::HighPasidDirectoryAddress));
        "ctl.hlat.ept" => [SecondaryProcessorControls, TertiaryProcessorControls],
            "with “enable HLAT”, “enable EPT” is 1",
            [
                on_secondary(SecondaryProcessorControls::ENABLE_EPT),
                off_tertiary(TertiaryProcessorControls::ENABLE_HLAT),
            ],
            |c| !c.tertiary.contains(TertiaryProcessorControls::ENABLE_HLAT)
                || c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT);
        "ctl.hlatp.reserved" => [TertiaryProcessorControls, HlatPointer],
            "with “enable HLAT” bits 2:0 and 11:5 of HLATP are 0",
            [clear(Field::HlatPointer, 0xFE7)],
            when |c| c.tertiary.contains(TertiaryProcessorControls::ENABLE_HLAT),
            |c| c.get(Field::HlatPointer) & 0xFE7 == 0;
        "ctl.hlatp.width" => [TertiaryProcessorControls, HlatPointer],
            "with “enable HLAT” HLATP is within the physical-address width",
            [width(Field::HlatPointer)],
            when |c| c.tertiary.contains(TertiaryProcessorControls::ENABLE_HLAT),
            |c| c.width_ok(c.get(Field::HlatPointer));
        "ctl.paging_write.ept" => [SecondaryProcessorControls, TertiaryProcessorControls],
            "with “EPT paging-write control”, “enable EPT” is 1",
            [
                on_secondary(SecondaryProcessorControls::ENABLE_EPT),
                off_tertiary(TertiaryProcessorControls::EPT_PAGING_WRITE_CONTROL),
            ],
            |c| !c.tertiary.contains(TertiaryProcessorControls::EPT_PAGING_WRITE_CONTROL)
                || c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT);
        "ctl.guest_paging_verification.ept" => [SecondaryProcessorControls, TertiaryProcessorControls],
            "with “guest-paging verification”, “enable EPT” is 1",
            [
                on_secondary(SecondaryProcessorControls::ENABLE_EPT),
                off_tertiary(TertiaryProcessorControls::GUEST_PAGING_VERIFICATION),
            ],
            |c| !c.tertiary.contains(TertiaryProcessorControls::GUEST_PAGING_VERIFICATION)
                || c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT);
        "ctl.pid_table.align" => [TertiaryProcessorControls, PidPointerTableAddress],
            "with “IPI virtualization” the PID-pointer table address is a multiple of 8",
            [clear(Field::PidPointerTableAddress, 7)],
            when |c| c.tertiary.contains(TertiaryProcessorControls::IPI_VIRTUALIZATION),
            |c| c.get(Field::PidPointerTableAddress) & 7 == 0;
        "ctl.pid_table.width" => [TertiaryProcessorControls, PidPointerTableAddress],
            "with “IPI virtualization” the PID-pointer table address is within the physical-address width",
            [width(Field::PidPointerTableAddress)],
            when |c| c.tertiary.contains(TertiaryProcessorControls::IPI_VIRTUALIZATION),
            |c| c.width_ok(c.get(Field::PidPointerTableAddress));
        "ctl.pid_table.last" => [TertiaryProcessorControls, PidPointerTableAddress, LastPidPointerIndex],
            "with “IPI virtualization” the last entry of the PID-pointer table is within the physical-address width",
            [
                make(Field::LastPidPointerIndex, |c| {
                    let end = crate::arch::addr::physical_mask(c.address_bits());
                    Some(end.saturating_sub(c.get(Field::PidPointerTableAddress) & !7) / 8)
                }),
            ],
            when |c| c.tertiary.contains(TertiaryProcessorControls::IPI_VIRTUALIZATION),
            |c| {
                let table = c.get(Field::PidPointerTableAddress);
                !c.width_ok(table)
                    || c.width_ok((table & !7) + 8 * c.get(Field::LastPidPointerIndex))
            };
    }
}

/// Checks on VM-Exit Control Fields.
pub mod vm_exit {
    use crate::checks::{Section, Stage, differing, rules, wrong_bits};
    use crate::controls::*;
    use crate::field::Field;

    const SECTION: Section = Section { number: "27.2.1.2", title: "VM-Exit Control Fields" };

    rules! {
        section SECTION; stage Stage::Controls; qualification 0;
        "ctl.exit.reserved" => [VmExitControls],
            "the primary VM-exit controls respect IA32_VMX_(TRUE_)EXIT_CTLS",
            [word(Field::VmExitControls)],
            |c| c.caps.exit().allows(c.exit.bits()), show |c| wrong_bits(Field::VmExitControls, c.exit.bits(), c.caps.exit());
        "ctl.exit2.reserved" => [VmExitControls, SecondaryVmExitControls],
            "the secondary VM-exit controls have no bit that IA32_VMX_EXIT_CTLS2 has clear",
            [word(Field::SecondaryVmExitControls)],
            when |c| c.exit.contains(VmExitControls::ACTIVATE_SECONDARY_CONTROLS),
            |c| c.vmcs.secondary_exit().bits() & !c.caps.exit_ctls2.bits() == 0,
            show |c| differing(Field::SecondaryVmExitControls, 0, c.vmcs.secondary_exit().bits() & !c.caps.exit_ctls2.bits());
        "ctl.exit.preemption_timer" => [PinBasedControls, VmExitControls],
            "“save VMX-preemption timer value” is 0 without “activate VMX-preemption timer”",
            [
                off_exit(VmExitControls::SAVE_VMX_PREEMPTION_TIMER_VALUE),
                on_pin(PinBasedControls::ACTIVATE_VMX_PREEMPTION_TIMER),
            ],
            |c| c.pin.contains(PinBasedControls::ACTIVATE_VMX_PREEMPTION_TIMER)
                || !c.exit.contains(VmExitControls::SAVE_VMX_PREEMPTION_TIMER_VALUE);
        "ctl.exit_msr_store.align" => [VmExitMsrStoreAddress, VmExitMsrStoreCount],
            "a VM-exit MSR-store area that is not empty starts at a multiple of 16",
            [clear(Field::VmExitMsrStoreAddress, 0xF)],
            when |c| c.get(Field::VmExitMsrStoreCount) != 0,
            |c| c.get(Field::VmExitMsrStoreAddress) & 0xF == 0;
        "ctl.exit_msr_store.width" => [VmExitMsrStoreAddress, VmExitMsrStoreCount],
            "a VM-exit MSR-store area that is not empty lies within the physical-address width",
            [
                width(Field::VmExitMsrStoreAddress),
                make(Field::VmExitMsrStoreCount, |c| Some(c.msr_list_room(Field::VmExitMsrStoreAddress))),
            ],
            when |c| c.get(Field::VmExitMsrStoreCount) != 0,
            |c| c.msr_list_end_ok(Field::VmExitMsrStoreAddress, Field::VmExitMsrStoreCount);
        "ctl.exit_msr_load.align" => [VmExitMsrLoadAddress, VmExitMsrLoadCount],
            "a VM-exit MSR-load area that is not empty starts at a multiple of 16",
            [clear(Field::VmExitMsrLoadAddress, 0xF)],
            when |c| c.get(Field::VmExitMsrLoadCount) != 0,
            |c| c.get(Field::VmExitMsrLoadAddress) & 0xF == 0;
        "ctl.exit_msr_load.width" => [VmExitMsrLoadAddress, VmExitMsrLoadCount],
            "a VM-exit MSR-load area that is not empty lies within the physical-address width",
            [
                width(Field::VmExitMsrLoadAddress),
                make(Field::VmExitMsrLoadCount, |c| Some(c.msr_list_room(Field::VmExitMsrLoadAddress))),
            ],
            when |c| c.get(Field::VmExitMsrLoadCount) != 0,
            |c| c.msr_list_end_ok(Field::VmExitMsrLoadAddress, Field::VmExitMsrLoadCount);
    }
}

/// Checks on VM-Entry Control Fields.
pub mod vm_entry {
    use crate::arch::{Cr0, vector};
    use crate::checks::remedy::{Fix, all, make};
    use crate::checks::{CheckContext, Section, Stage, rules, wrong_bits};
    use crate::controls::*;
    use crate::exit::InterruptionType;
    use crate::field::Field;

    const SECTION: Section = Section { number: "27.2.1.3", title: "VM-Entry Control Fields" };

    /// The type that an event of this vector has; `None` where no event of its own has the vector, or none that may be
    /// injected is known.
    fn usual_type(vector: u8) -> Option<InterruptionType> {
        match vector {
            vector::NMI => Some(InterruptionType::Nmi),
            // INT3 and INTO.
            vector::BP | vector::OF => Some(InterruptionType::SoftwareException),
            vector::COPROCESSOR_OVERRUN | 15 | 22..=31 => None,
            0..=31 => Some(InterruptionType::HardwareException),
            _ => Some(InterruptionType::ExternalInterrupt),
        }
    }

    /// The injected event is delivered through an IDT that pushes error codes.
    fn protected_mode_delivery(c: &CheckContext) -> bool {
        !c.unrestricted() || c.cr0.contains(Cr0::PE)
    }

    /// The length of the instruction that raises a software event.
    const SOFTWARE_LENGTH: Fix = all(
        &[make(Field::VmEntryInstructionLength, |c| {
            Some(if c.event.kind() == InterruptionType::SoftwareInterrupt { 2 } else { 1 })
        })],
        "INT n has 2 bytes, INT1, INT3 and INTO have 1; with prefixes, what the VM-exit instruction length said",
    );

    rules! {
        section SECTION; stage Stage::Controls; qualification 0;
        "ctl.entry.reserved" => [VmEntryControls],
            "the VM-entry controls respect IA32_VMX_(TRUE_)ENTRY_CTLS",
            [word(Field::VmEntryControls)],
            |c| c.caps.entry().allows(c.entry.bits()), show |c| wrong_bits(Field::VmEntryControls, c.entry.bits(), c.caps.entry());
        "ctl.event.type_reserved" => [VmEntryInterruptionInformation],
            "the type of an injected event is not 1 (reserved)",
            [
                all(
                    &[
                        make(Field::VmEntryInterruptionInformation, |c| {
                            let kind = usual_type(c.event.vector())?;
                            let code = if kind == InterruptionType::HardwareException { 0 } else { 1 << 11 };
                            Some(u64::from(c.event.0) & !(0x700 | code) | (kind as u64) << 8)
                        }),
                        make(Field::VmEntryInstructionLength, |c| {
                            let given = c.get(Field::VmEntryInstructionLength);
                            let software = usual_type(c.event.vector())?.is_software();
                            Some(if software && !(1..=15).contains(&given) { 1 } else { given })
                        }),
                    ],
                    "the type that this vector has",
                ),
                NO_EVENT,
            ],
            when |c| c.event.valid(),
            |c| !c.event.injects(InterruptionType::Reserved);
        "ctl.event.type_other" => [VmEntryInterruptionInformation],
            "the type of an injected event is 7 (other event) only where “monitor trap flag” is supported",
            [NO_EVENT],
            when |c| c.event.valid(),
            |c| !c.event.injects(InterruptionType::Other)
                || c.caps.primary_allowed_1().contains(PrimaryProcessorControls::MONITOR_TRAP_FLAG);
        "ctl.event.vector_nmi" => [VmEntryInterruptionInformation],
            "an injected NMI has vector 2",
            [make(Field::VmEntryInterruptionInformation, |c| Some(u64::from(c.event.0) & !0xFF | 2))],
            when |c| c.event.valid(),
            |c| !c.event.injects(InterruptionType::Nmi)
                || c.event.vector() == vector::NMI;
        "ctl.event.vector_exception" => [VmEntryInterruptionInformation],
            "an injected hardware exception has a vector of at most 31",
            [all(&[clear(Field::VmEntryInterruptionInformation, 0xF00)], "an external interrupt, type 0"), NO_EVENT],
            when |c| c.event.valid(),
            |c| !c.event.injects(InterruptionType::HardwareException)
                || c.event.vector() <= 31;
        "ctl.event.vector_other" => [VmEntryInterruptionInformation],
            "an injected other event has vector 0 (pending MTF VM exit)",
            [clear(Field::VmEntryInterruptionInformation, 0xFF)],
            when |c| c.event.valid(),
            |c| !c.event.injects(InterruptionType::Other)
                || c.event.vector() == 0;
        "ctl.event.error_code_type" => [VmEntryInterruptionInformation],
            "only a hardware exception is injected with an error code",
            [all(&[clear(Field::VmEntryInterruptionInformation, 1 << 11)], "bit 11 is “deliver error code”")],
            when |c| c.event.valid(),
            |c| !c.event.error_code()
                || c.event.kind() == InterruptionType::HardwareException;
        "ctl.event.error_code_real_mode" => [VmEntryInterruptionInformation, SecondaryProcessorControls, GuestCr0],
            "no error code is injected into a guest in real-address mode (CR0.PE = 0)",
            [all(&[clear(Field::VmEntryInterruptionInformation, 1 << 11)], "bit 11 is “deliver error code”")],
            when |c| c.event.valid(),
            |c| !c.event.injects(InterruptionType::HardwareException)
                || !c.event.error_code()
                || protected_mode_delivery(c);
        "ctl.event.error_code_vector" => [VmEntryInterruptionInformation],
            "a hardware exception is injected with an error code exactly when its vector has one (8, 10–14, 17), \
             unless IA32_VMX_BASIC bit 56 is 1",
            [
                all(&[set(Field::VmEntryInterruptionInformation, 1 << 11)], "bit 11 is “deliver error code”"),
                all(&[clear(Field::VmEntryInterruptionInformation, 1 << 11)], "bit 11 is “deliver error code”"),
            ],
            when |c| c.event.valid(),
            |c| !c.event.injects(InterruptionType::HardwareException)
                || c.caps.basic.any_error_code()
                || !protected_mode_delivery(c)
                || c.event.error_code() == matches!(c.event.vector(), 8 | 10..=14 | 17);
        "ctl.event.reserved" => [VmEntryInterruptionInformation],
            "bits 30:12 of the VM-entry interruption-information field of an injected event are 0",
            [
                all(
                    &[clear(Field::VmEntryInterruptionInformation, 0x7FFF_F000)],
                    "bit 12 of a VM exit's interruption information is not to be copied",
                ),
            ],
            when |c| c.event.valid(),
            |c| c.event.0 & 0x7FFF_F000 == 0;
        "ctl.event.error_code_reserved" => [VmEntryInterruptionInformation, VmEntryExceptionErrorCode],
            "bits 31:16 of an injected error code are 0",
            [clear(Field::VmEntryExceptionErrorCode, 0xFFFF_0000)],
            when |c| c.event.valid(),
            |c| !c.event.error_code()
                || c.get(Field::VmEntryExceptionErrorCode) >> 16 == 0;
        "ctl.event.length_maximum" => [VmEntryInterruptionInformation, VmEntryInstructionLength],
            "the instruction length of an injected software event is at most 15",
            [SOFTWARE_LENGTH],
            when |c| c.event.valid(),
            |c| !c.event.kind().is_software()
                || c.get(Field::VmEntryInstructionLength) <= 15;
        "ctl.event.length_zero" => [VmEntryInterruptionInformation, VmEntryInstructionLength],
            "the instruction length of an injected software event is not 0, unless IA32_VMX_MISC bit 30 is 1",
            [SOFTWARE_LENGTH],
            when |c| c.event.valid(),
            |c| !c.event.kind().is_software()
                || c.get(Field::VmEntryInstructionLength) != 0
                || c.caps.misc.injection_length_0();
        "ctl.entry_msr_load.align" => [VmEntryMsrLoadAddress, VmEntryMsrLoadCount],
            "a VM-entry MSR-load area that is not empty starts at a multiple of 16",
            [clear(Field::VmEntryMsrLoadAddress, 0xF)],
            when |c| c.get(Field::VmEntryMsrLoadCount) != 0,
            |c| c.get(Field::VmEntryMsrLoadAddress) & 0xF == 0;
        "ctl.entry_msr_load.width" => [VmEntryMsrLoadAddress, VmEntryMsrLoadCount],
            "a VM-entry MSR-load area that is not empty lies within the physical-address width",
            [
                width(Field::VmEntryMsrLoadAddress),
                make(Field::VmEntryMsrLoadCount, |c| Some(c.msr_list_room(Field::VmEntryMsrLoadAddress))),
            ],
            when |c| c.get(Field::VmEntryMsrLoadCount) != 0,
            |c| c.msr_list_end_ok(Field::VmEntryMsrLoadAddress, Field::VmEntryMsrLoadCount);
        "ctl.entry.smm" => [VmEntryControls],
            "outside SMM “entry to SMM” is 0",
            [off_entry(VmEntryControls::ENTRY_TO_SMM)],
            |c| c.now.in_smm || !c.entry.contains(VmEntryControls::ENTRY_TO_SMM);
        "ctl.entry.dual_monitor" => [VmEntryControls],
            "outside SMM “deactivate dual-monitor treatment” is 0",
            [off_entry(VmEntryControls::DEACTIVATE_DUAL_MONITOR_TREATMENT)],
            |c| c.now.in_smm || !c.entry.contains(VmEntryControls::DEACTIVATE_DUAL_MONITOR_TREATMENT);
        "ctl.entry.smm_and_dual_monitor" => [VmEntryControls],
            "“entry to SMM” and “deactivate dual-monitor treatment” are not both 1",
            [off_entry(VmEntryControls::DEACTIVATE_DUAL_MONITOR_TREATMENT), off_entry(VmEntryControls::ENTRY_TO_SMM)],
            |c| !c.now.in_smm || !c.entry.contains(VmEntryControls::ENTRY_TO_SMM
                | VmEntryControls::DEACTIVATE_DUAL_MONITOR_TREATMENT);
    }
}

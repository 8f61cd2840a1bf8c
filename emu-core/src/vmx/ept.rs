//! Guest-physical to host-physical addresses (SDM Vol. 3C 29.3).

use crate::fault::{Fault, Stop};
use crate::state::cpu::{Cpu, Env};
use crate::state::vmx::ExitDetails;
use emu_vmx::arch::cr::Cr0;
use emu_vmx::arch::vector;
use emu_vmx::caps::EptVpidCap;
use emu_vmx::controls::{SecondaryProcessorControls, TertiaryProcessorControls};
use emu_vmx::ept::{self, EptAccess, EptConfig, EptFault, EptMemory, PageTable};
use emu_vmx::exit::ExitReason;
use emu_vmx::exit::qualification::{EptViolation, spp_event};
use emu_vmx::field::Field;
use emu_vmx::tags::{Invalidation, ep4ta};

/// Where EPT puts an address.
pub(crate) struct HostPage {
    /// Host-physical address of the byte.
    pub address: u64,
    /// Bits of [`ept::entry`] that all entries allow. WRITE is absent while a write must set the dirty flag.
    pub rights: u64,
}

struct Tables<'a, 'b> {
    own_page: u64,
    cpu: &'a mut Cpu,
    env: &'a mut Env<'b>,
}

impl EptMemory for Tables<'_, '_> {
    #[inline(always)]
    fn read_u64(&mut self, address: u64) -> u64 {
        let address = self.env.ram.gate_a20(address);
        self.cpu.scratch.walked += 1;
        self.cpu.read_quadword(self.env, address, self.own_page)
    }
    #[inline(always)]
    fn known_table(&mut self, config: &EptConfig, guest_physical: u64) -> Option<PageTable> {
        // What caches see is the walk.
        if self.cpu.has_caches() {
            return None;
        }
        let (table, above) = self.cpu.known_tables.find(self.env.ram, self.own_page, config, guest_physical)?;
        self.cpu.scratch.walked += u32::from(above);
        Some(table)
    }
    #[inline]
    fn note_table(&mut self, config: &EptConfig, guest_physical: u64, above: &[(u64, u64)], table: PageTable) {
        self.cpu.known_tables.note(self.env.ram, self.own_page, config, guest_physical, above, table);
    }
    fn set_bits(&mut self, address: u64, bits: u64) {
        let value = self.cpu.read_quad(self.env, address);
        let address = self.env.ram.gate_a20(address);
        self.cpu.write_physical(self.env, address, 8, value | bits);
    }
}

/// Entries of the page-modification log.
const PML_ENTRIES: u16 = 512;
/// Entries of the EPTP list.
const EPTP_LIST_ENTRIES: u32 = 512;

impl Cpu {
    /// "Sub-page write permissions for EPT".
    pub(crate) fn judges_sub_pages(&self) -> bool {
        let control = SecondaryProcessorControls::SUB_PAGE_WRITE_PERMISSIONS;
        self.vm_controls().is_some_and(|controls| controls.secondary.contains(control))
    }

    /// Whether guest-physical addresses are translated.
    #[inline(always)]
    pub(crate) fn uses_ept(&self) -> bool {
        self.vm_controls().is_some_and(|controls| controls.ept())
    }

    /// The VPID in effect.
    pub(crate) fn vpid(&self) -> u16 {
        self.vm_controls().map_or(0, |controls| controls.vpid)
    }

    /// The EPT hierarchy in use.
    pub(crate) fn ep4ta(&self) -> Option<u64> {
        self.vm_controls().filter(|controls| controls.ept()).map(|controls| ep4ta(controls.eptp))
    }

    /// Translates a guest-physical address. `linear` is the linear address that led to it, if one did; `last` says
    /// that the guest-physical address is its translation, not that of a paging-structure entry, and is what advanced
    /// VM-exit information tells about the page, and log2 of the page's size.
    pub(crate) fn translate_guest_physical(
        &mut self,
        env: &mut Env,
        guest_physical: u64,
        access: EptAccess,
        linear: Option<u64>,
        last: Option<(EptViolation, u8)>,
    ) -> Result<HostPage, Stop> {
        let (Some(controls), Some(model)) = (self.vm_controls(), self.config.model.vmx()) else {
            return self.ud();
        };
        let pml = controls.secondary.contains(SecondaryProcessorControls::ENABLE_PML);
        let config = EptConfig {
            eptp: controls.eptp,
            cap: model.caps.ept_vpid_cap,
            maxphyaddr: model.facts.maxphyaddr,
            mode_based_execute: controls.secondary.contains(SecondaryProcessorControls::MODE_BASED_EXECUTE_CONTROL),
            sub_page: self
                .judges_sub_pages()
                .then(|| self.vmx.current().map_or(0, |vmcs| vmcs.get(Field::SubPagePermissionTablePointer))),
            paging_write: controls.tertiary.contains(TertiaryProcessorControls::EPT_PAGING_WRITE_CONTROL),
            log_full: pml && self.vmx.current().is_some_and(|vmcs| vmcs.get16(Field::PmlIndex) >= PML_ENTRIES),
        };
        match ept::walk(&config, guest_physical, access, &mut Tables { own_page: self.lapic_page(), cpu: self, env }) {
            Ok(translation) => {
                if last.is_some() {
                    env.ram.expect_access(translation.address);
                }
                if pml && translation.dirty_set {
                    self.log_page_modification(env, guest_physical);
                }
                let unmarked = if translation.dirty { 0 } else { ept::entry::WRITE };
                Ok(HostPage { address: translation.address, rights: translation.permissions & !unmarked })
            }
            Err(fault) => self.refuse_guest_physical(env, fault, guest_physical, linear, last),
        }
    }

    /// The VM exit or virtualization exception for a guest-physical address that has no translation.
    #[cold]
    fn refuse_guest_physical(
        &mut self,
        env: &mut Env,
        fault: EptFault,
        guest_physical: u64,
        linear: Option<u64>,
        last: Option<(EptViolation, u8)>,
    ) -> Result<HostPage, Stop> {
        if fault == EptFault::PageModificationLogFull {
            let mut qualification = EptViolation::empty();
            qualification.set(EptViolation::NMI_UNBLOCKING, self.vmx.iret_unblocked);
            return self
                .park_exit(ExitDetails::new(ExitReason::PageModificationLogFull).qualified(qualification.bits()));
        }
        let mut details = ExitDetails::new(ExitReason::EptMisconfiguration);
        details.physical = Some(guest_physical);
        if let EptFault::SubPage { miss } = fault {
            details.reason = ExitReason::SppEvent;
            details.qualification = spp_event(miss, self.vmx.iret_unblocked);
            details.linear = linear;
        }
        if let EptFault::Violation { mut qualification, convertible, at } = fault {
            if let (Some(linear), Some((_, shift))) = (linear, last) {
                self.forget_violated(guest_physical, linear, shift);
            }
            details.reason = ExitReason::EptViolation;
            // The first byte that is not allowed.
            let linear = linear.map(|linear| linear.wrapping_add(at.into()));
            details.physical = Some(guest_physical + u64::from(at));
            qualification.set(EptViolation::LINEAR_VALID, linear.is_some());
            if let (Some(_), Some((page, _))) = (linear, last) {
                qualification |= EptViolation::FINAL_ADDRESS;
                let cap = self.config.model.vmx().map(|model| model.caps.ept_vpid_cap);
                if cap.is_some_and(|cap| cap.contains(EptVpidCap::ADVANCED_EXIT_INFORMATION)) {
                    qualification |= page;
                }
            }
            qualification.set(EptViolation::NMI_UNBLOCKING, self.vmx.iret_unblocked);
            details.qualification = qualification.bits();
            details.linear = linear;
            let virtualize = self
                .vm_controls()
                .is_some_and(|controls| controls.secondary.contains(SecondaryProcessorControls::EPT_VIOLATION_VE));
            if virtualize && convertible && self.save_virtualization_exception(env, &details) {
                return self.throw(Fault::exception(vector::VE));
            }
        }
        self.park_exit(details)
    }

    /// An EPT violation invalidates the mappings of its addresses (SDM Vol. 3C 31.4.3.1 "Operations that Invalidate Cached
    /// Mappings"): `linear` is the one that the guest-physical address is the translation of, in a page of log2 `shift`.
    /// Guest-physical mappings are not kept: walks compare what they know of tables with memory.
    fn forget_violated(&mut self, guest_physical: u64, linear: u64, shift: u8) {
        let Some(ep4ta) = self.ep4ta() else { return };
        let (vpid, pcid, linear) = (self.vpid(), self.pcid(), Some(linear));
        self.forget_faulted(&Invalidation::EptViolation { ep4ta, vpid, pcid, guest_physical, linear }, shift);
    }

    /// Page-modification logging (SDM Vol. 3C 29.3.6), after a dirty flag has been set.
    fn log_page_modification(&mut self, env: &mut Env, guest_physical: u64) {
        let Some(vmcs) = self.vmx.current_mut() else { return };
        let index = vmcs.get16(Field::PmlIndex);
        let place = vmcs.get(Field::PmlAddress).wrapping_add(8 * u64::from(index));
        vmcs.set(Field::PmlIndex, index.wrapping_sub(1).into());
        self.write_quad(env, place, guest_physical & !0xFFF);
    }

    /// Fills the virtualization-exception information area for a convertible EPT violation; false when it must be a VM
    /// exit after all (SDM Vol. 3C 26.5.7.2).
    fn save_virtualization_exception(&mut self, env: &mut Env, violation: &ExitDetails) -> bool {
        if !self.sys.cr0.contains(Cr0::PE) || self.vmx.delivering.is_some() {
            return false;
        }
        let Some(vmcs) = self.vmx.current() else { return false };
        let area = vmcs.get(Field::VirtualizationExceptionInformationAddress);
        let index = vmcs.get16(Field::EptpIndex);
        // Offset 4 says whether the area is in use.
        if self.read_quad(env, area) >> 32 != 0 {
            return false;
        }
        self.write_quad(env, area, 0xFFFF_FFFF_0000_0000 | violation.reason as u64);
        self.write_quad(env, area.wrapping_add(8), violation.qualification);
        self.write_quad(env, area.wrapping_add(16), violation.linear.unwrap_or(0));
        self.write_quad(env, area.wrapping_add(24), violation.physical.unwrap_or(0));
        let place = env.ram.gate_a20(area.wrapping_add(32));
        self.write_physical(env, place, 2, index.into());
        true
    }

    /// EPTP switching (SDM Vol. 3C 28.5.7.3 "EPTP Switching"): false when it must exit. The page-walk length stays. The
    /// EPTP index is written whether or not "EPT-violation #VE" is 1; without "enable VPID" combined mappings go.
    pub(crate) fn switch_eptp(&mut self, env: &mut Env) -> bool {
        let index = self.gpr[1] as u32;
        let (Some(model), Some(vmcs)) = (self.config.model.vmx().cloned(), self.vmx.current()) else { return false };
        if index >= EPTP_LIST_ENTRIES {
            return false;
        }
        let place = vmcs.get(Field::EptpListAddress).wrapping_add(8 * u64::from(index));
        let eptp = self.read_quad(env, place);
        let Some(non_root) = &mut self.vmx.non_root else { return false };
        let longer = (eptp ^ non_root.controls.eptp) & ept::EPTP_WALK_LENGTH != 0;
        if longer || !ept::eptp_valid(eptp, model.caps.ept_vpid_cap, &model.facts) {
            return false;
        }
        non_root.controls.eptp = eptp;
        let vpid = non_root.controls.vpid;
        if let Some(vmcs) = self.vmx.current_mut() {
            vmcs.set(Field::EptPointer, eptp);
            if model.fields.contains(Field::EptpIndex) {
                vmcs.set(Field::EptpIndex, index.into());
            }
        }
        if vpid == 0 {
            self.tlb.invalidate(&Invalidation::Vpid { vpid });
        }
        self.select_address_space();
        true
    }
}

//! The virtual-APIC page in guest memory and the APIC-access page (SDM Vol. 3C chapter 30).

use crate::bus::{ApicMessage, DeliveryMode, Shorthand};
use crate::fault::{Exec, Stop};
use crate::mem::walk::{Access, Kind};
use crate::state::cpu::{Cpu, Env};
use crate::state::vmx::ExitDetails;
use emu_vmx::apicv::{self, After, GuestInterruptStatus, PageAccess, PageWrite, VirtualApicPage};
use emu_vmx::boundary::Pending;
use emu_vmx::controls::{PinBasedControls, SecondaryProcessorControls};
use emu_vmx::exit::ExitReason;
use emu_vmx::exit::qualification::{self, ApicAccess};
use emu_vmx::field::Field;
use emu_vmx::intercept::ExecutionControls;

struct Page<'a, 'b> {
    cpu: &'a mut Cpu,
    env: &'a mut Env<'b>,
    base: u64,
}

impl VirtualApicPage for Page<'_, '_> {
    fn read(&mut self, offset: u16) -> u32 {
        let at = self.env.ram.gate_a20(self.base + u64::from(offset));
        self.cpu.read_physical(self.env, at, 4) as u32
    }
    fn write(&mut self, offset: u16, value: u32) {
        let at = self.env.ram.gate_a20(self.base + u64::from(offset));
        self.cpu.write_physical(self.env, at, 4, value.into());
    }
}

impl Cpu {
    fn with_virtual_apic<R>(
        &mut self,
        env: &mut Env,
        call: impl FnOnce(&mut Page, &mut GuestInterruptStatus, &ExecutionControls) -> R,
    ) -> Option<R> {
        let controls = *self.vm_controls()?;
        let mut status =
            GuestInterruptStatus(self.vmx.current().map_or(0, |vmcs| vmcs.get16(Field::GuestInterruptStatus)));
        let before = status;
        let base = controls.virtual_apic;
        let mut page = Page { cpu: self, env, base };
        let result = call(&mut page, &mut status, &controls);
        if status != before
            && let Some(vmcs) = self.vmx.current_mut()
        {
            vmcs.set(Field::GuestInterruptStatus, status.0.into());
        }
        Some(result)
    }

    /// Does what a virtualization step asks for.
    fn after_virtualization(&mut self, env: &mut Env, after: Option<After>) {
        let Some(after) = after else { return };
        let (event, qualification) = match after {
            After::Nothing => return,
            After::TprBelowThreshold => (Pending::TPR_BELOW_THRESHOLD, 0),
            After::VirtualizedEoi(vector) => (Pending::VIRTUALIZED_EOI, vector.into()),
            After::ApicWrite(offset) => (Pending::APIC_WRITE, offset.into()),
            After::Evaluate => return self.evaluate_virtual_interrupts(env),
            After::SendIpi { vector, destination } => {
                if self.send_virtual_ipi(env, vector, destination) {
                    return;
                }
                (Pending::APIC_WRITE, apicv::register::ICR_LOW.into())
            }
        };
        if let Some(non_root) = &mut self.vmx.non_root {
            non_root.pending |= event;
            non_root.pending_qualification = qualification;
        }
        self.refresh_attention();
        self.leave_block();
    }

    /// IPI virtualization (SDM Vol. 3C 30.1.6): posts the interrupt, and notifies the processor that the descriptor
    /// names. False: the destination has no descriptor.
    fn send_virtual_ipi(&mut self, env: &mut Env, vector: u8, destination: u32) -> bool {
        let Some(vmcs) = self.vmx.current() else { return false };
        let (table, last) = (vmcs.get(Field::PidPointerTableAddress), vmcs.get16(Field::LastPidPointerIndex));
        let width = self.config.model.physical_bits();
        let target = apicv::ipi_target(table, last, destination, width, |at| self.read_quad(env, at));
        let Some(descriptor) = target else { return false };
        let place = descriptor.wrapping_add(8 * u64::from(vector >> 6));
        let requests = self.read_quad(env, place) | 1 << (vector & 63);
        self.write_quad(env, place, requests);
        // ON bit 0, SN bit 1, NV 23:16, NDST 63:32 (in xAPIC mode 15:8 of it).
        let place = descriptor.wrapping_add(32);
        let control = self.read_quad(env, place);
        if control & 3 != 0 {
            return true;
        }
        self.write_quad(env, place, control | 1);
        let physical = (control >> 32) as u32;
        env.outbox.push(ApicMessage {
            destination: match self.lapic.x2apic {
                true => physical,
                false => ApicMessage::destination_of_8_bits((physical >> 8) as u8),
            },
            logical: false,
            delivery: DeliveryMode::Fixed,
            vector: (control >> 16) as u8,
            level_triggered: false,
            assert: true,
            shorthand: Shorthand::None,
        });
        self.leave_block();
        true
    }

    fn evaluate_virtual_interrupts(&mut self, env: &mut Env) {
        let recognized =
            self.with_virtual_apic(env, |page, status, controls| apicv::recognized(page, *status, controls));
        if let Some(non_root) = &mut self.vmx.non_root {
            non_root.virtual_interrupt = recognized.unwrap_or(false);
        }
        self.refresh_attention();
        self.leave_block();
    }

    /// PPR virtualization and evaluation at VM entry (SDM Vol. 3C 27.3.2.5).
    pub(super) fn virtual_apic_at_entry(&mut self, env: &mut Env, controls: &ExecutionControls) {
        if controls.secondary.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY) {
            self.with_virtual_apic(env, |page, status, _| apicv::ppr_virtualization(page, *status));
            self.evaluate_virtual_interrupts(env);
        }
    }

    pub(crate) fn take_virtual_interrupt(&mut self, env: &mut Env) -> Option<u8> {
        let vector = self.with_virtual_apic(env, |page, status, _| apicv::deliver(page, status));
        if let Some(non_root) = &mut self.vmx.non_root {
            non_root.virtual_interrupt = false;
        }
        vector
    }

    /// APIC-write emulation of the instruction that has just ended.
    pub(crate) fn emulate_apic_write(&mut self, env: &mut Env) {
        let Some(write) = self.vmx.non_root.as_mut().and_then(|non_root| non_root.apic_write.take()) else { return };
        let after = self
            .with_virtual_apic(env, |page, status, controls| apicv::apic_write(page, status, controls, write.offset));
        self.after_virtualization(env, after);
    }

    /// MOV to CR8 with "use TPR shadow".
    pub(crate) fn virtual_cr8_write(&mut self, env: &mut Env, value: u64) -> Exec {
        if value > 15 {
            return self.gp(0);
        }
        let after = self
            .with_virtual_apic(env, |page, status, controls| apicv::mov_to_cr8(page, *status, controls, value as u8));
        self.after_virtualization(env, after);
        Ok(())
    }

    /// MOV from CR8 with "use TPR shadow".
    pub(crate) fn virtual_cr8_read(&mut self, env: &mut Env) -> u64 {
        self.with_virtual_apic(env, |page, _, _| apicv::mov_from_cr8(page)).unwrap_or(0).into()
    }

    /// RDMSR of an x2APIC register; `None`: the local APIC's own.
    pub(crate) fn virtual_x2apic_read(&mut self, env: &mut Env, index: u32) -> Result<Option<u64>, Stop> {
        let access = self.with_virtual_apic(env, |page, _, controls| apicv::read_x2apic(page, controls, index));
        match access {
            Some(apicv::MsrAccess::Read(value)) => Ok(Some(value)),
            Some(apicv::MsrAccess::GeneralProtection) => self.gp(0),
            _ => Ok(None),
        }
    }

    /// WRMSR of an x2APIC register; false: the local APIC's own.
    pub(crate) fn virtual_x2apic_write(&mut self, env: &mut Env, index: u32, value: u64) -> Result<bool, Stop> {
        let access = self
            .with_virtual_apic(env, |page, status, controls| apicv::write_x2apic(page, status, controls, index, value));
        match access {
            Some(apicv::MsrAccess::Written(after)) => {
                self.after_virtualization(env, Some(after));
                Ok(true)
            }
            Some(apicv::MsrAccess::GeneralProtection) => self.gp(0),
            _ => Ok(false),
        }
    }

    pub(super) fn is_posted_interrupt(&self, vector: u8) -> bool {
        self.vm_controls().is_some_and(|controls| {
            controls.pin.contains(PinBasedControls::PROCESS_POSTED_INTERRUPTS) && controls.notification_vector == vector
        })
    }

    /// SDM Vol. 3C 30.6 "Posted-Interrupt Processing", after the acknowledgement.
    pub(super) fn process_posted_interrupts(&mut self, env: &mut Env) {
        if let Some(vector) = self.lapic.end_of_interrupt() {
            env.bus.end_of_interrupt(self.cycles, vector);
        }
        self.refresh_apic_attention();
        let Some(descriptor) = self.vm_controls().map(|controls| controls.posted_descriptor) else { return };
        let quad = |n: u64| descriptor.wrapping_add(8 * n);
        let control = self.read_quad(env, quad(4));
        self.write_quad(env, quad(4), control & !1);
        let mut requests = [0; 4];
        for (n, request) in requests.iter_mut().enumerate() {
            *request = self.read_quad(env, quad(n as u64));
            self.write_quad(env, quad(n as u64), 0);
        }
        let after = self.with_virtual_apic(env, |page, status, _| apicv::posted_interrupts(page, status, &requests));
        self.after_virtualization(env, after);
    }

    pub(super) fn write_quad(&mut self, env: &mut Env, address: u64, value: u64) {
        let address = env.ram.gate_a20(address);
        self.write_physical(env, address, 8, value);
    }

    /// Physical page of the APIC-access page; `u64::MAX` when accesses are not virtualized.
    #[inline]
    pub(crate) fn apic_access_page(&self) -> u64 {
        match self.vm_controls() {
            Some(controls) if controls.secondary.contains(SecondaryProcessorControls::VIRTUALIZE_APIC_ACCESSES) => {
                controls.apic_access
            }
            _ => u64::MAX,
        }
    }

    /// An access of `len` bytes at `physical` on the APIC-access page: the address in the virtual-APIC page that it goes
    /// to instead, or VM exit 44.
    #[cold]
    pub(crate) fn redirect_apic_access(
        &mut self,
        env: &Env,
        physical: u64,
        linear: u64,
        len: usize,
        access: Access,
    ) -> Result<u64, Stop> {
        let Some(non_root) = &mut self.vmx.non_root else { return Ok(physical) };
        let write = PageWrite { offset: (physical & 0xFFF) as u16, size: len.min(255) as u8 };
        let PageWrite { offset, size } = write;
        let by = match access.kind {
            Kind::Read => PageAccess::Read,
            Kind::Write if access.reads_too => PageAccess::ReadWrite,
            Kind::Write => PageAccess::Write,
            Kind::Fetch => PageAccess::Fetch,
        };
        if apicv::page_access_virtualized(&non_root.controls, by, offset, size, non_root.apic_write) {
            let place = non_root.controls.virtual_apic | u64::from(offset);
            if access.kind == Kind::Write {
                non_root.apic_write = Some(write);
                self.refresh_attention();
                self.leave_block();
            }
            return Ok(env.ram.gate_a20(place));
        }
        let kind = match access.kind {
            _ if self.vmx.delivering.is_some() => ApicAccess::LinearEventDelivery,
            Kind::Read => ApicAccess::LinearRead,
            Kind::Write => ApicAccess::LinearWrite,
            Kind::Fetch => ApicAccess::LinearFetch,
        };
        let details = ExitDetails::new(ExitReason::ApicAccess).qualified(qualification::apic_access(offset, kind));
        self.park_exit(ExitDetails { linear: Some(linear), ..details })
    }

    /// VM exit 44 by an address on the APIC-access page that is not the translation of a linear address; such accesses
    /// are never virtualized.
    #[cold]
    pub(crate) fn exit_for_guest_physical_apic_access<T>(&mut self, physical: u64) -> Result<T, Stop> {
        let delivery = self.vmx.delivering.is_some();
        let kind = if delivery { ApicAccess::PhysicalEventDelivery } else { ApicAccess::Physical };
        let qualification = qualification::apic_access((physical & 0xFFF) as u16, kind);
        self.park_exit(ExitDetails::new(ExitReason::ApicAccess).qualified(qualification))
    }
}

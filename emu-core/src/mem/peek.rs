//! Memory as somebody sees it who looks at a stopped machine: no flag is set, nothing faults, no TLB entry is made and
//! no device is asked.

use super::ram::{PAGE, Place, Ram};
use super::walk::P;
use crate::state::cpu::Cpu;
use emu_vmx::arch::addr::{is_canonical, physical_mask};
use emu_vmx::arch::cr::Cr0;
use emu_vmx::controls::SecondaryProcessorControls;
use emu_vmx::ept::{self, EPTP_ACCESSED_DIRTY, EptAccess, EptConfig, EptMemory};

/// EPT paging structures that are only read.
struct Looking<'a> {
    cpu: &'a Cpu,
    ram: &'a Ram,
}

impl EptMemory for Looking<'_> {
    fn read_u64(&mut self, address: u64) -> u64 {
        // An entry that nothing holds is one that is not present.
        self.cpu.peek_entry(self.ram, address, 8).unwrap_or(0)
    }
    fn set_bits(&mut self, _address: u64, _bits: u64) {}
}

impl Cpu {
    /// Physical address of a linear one in the present address space, through EPT in VMX non-root operation. Access
    /// rights and reserved bits do not count; `None` where nothing is mapped.
    pub fn peek_translate(&self, ram: &Ram, linear: u64) -> Option<u64> {
        let linear = self.wrap_system(linear);
        let max = physical_mask(self.config.model.physical_bits());
        if !self.sys.cr0.contains(Cr0::PG) {
            return self.peek_guest_physical(ram, linear & max);
        }
        if self.derived.mode.long && !is_canonical(linear, self.linear_width()) {
            return None;
        }
        let shape = self.shape();
        let (mut table, mut level) = (shape.table(self.sys.cr3, max), shape.levels);
        if shape.pae {
            let pdpte = self.sys.pdptes[(linear >> 30 & 3) as usize];
            if pdpte & P == 0 {
                return None;
            }
            (table, level) = (shape.table(pdpte, max), 2);
        }
        loop {
            let (place, shift) = shape.entry(table, level, linear);
            let entry = self.peek_entry(ram, self.peek_guest_physical(ram, place)?, shape.entry_size())?;
            if entry & P == 0 {
                return None;
            }
            if level == 1 || self.maps_large_page(shape, level, entry) {
                let page = shape.page(entry, level, shift, max);
                return self.peek_guest_physical(ram, page | linear & ((1 << shift) - 1));
            }
            table = shape.table(entry, max);
            level -= 1;
        }
    }

    /// Reads memory at a linear address as far as it is mapped and is RAM or ROM: the number of bytes read.
    pub fn peek_linear(&self, ram: &Ram, linear: u64, buffer: &mut [u8]) -> usize {
        self.peek_pages(ram, linear, buffer, |at| self.peek_translate(ram, at))
    }

    /// Reads code at a linear address as the processor would fetch it: translations that its TLB has come before those
    /// of the paging structures. The number of bytes read.
    pub fn peek_code(&self, ram: &Ram, linear: u64, buffer: &mut [u8]) -> usize {
        self.peek_pages(ram, linear, buffer, |at| {
            let known = self.tlb.fetch_page(at, self.derived.context).map(|page| page | at & (PAGE - 1));
            known.or_else(|| self.peek_translate(ram, at))
        })
    }

    fn peek_pages(&self, ram: &Ram, linear: u64, buffer: &mut [u8], translate: impl Fn(u64) -> Option<u64>) -> usize {
        let mut done = 0;
        while done < buffer.len() {
            let at = self.wrap_system(linear.wrapping_add(done as u64));
            let len = ((PAGE - at % PAGE) as usize).min(buffer.len() - done);
            let place = translate(at).and_then(|physical| self.peek_memory(ram, physical));
            let Some(bytes) = place.and_then(|offset| ram.bytes().get(offset..offset + len)) else { break };
            buffer[done..done + len].copy_from_slice(bytes);
            done += len;
        }
        done
    }

    /// What answers this processor's reads or writes at a physical address, behind its A20 gate; `Place::Bus` is also its
    /// own local APIC.
    pub fn peek_place(&self, ram: &Ram, physical: u64, write: bool) -> Place {
        // VMX operation blocks A20M (SDM Vol. 3C 24.8), whichever processor has run last.
        let physical = if ram.a20() || self.vmx.on() { physical } else { physical & !(1 << 20) };
        if physical & !(PAGE - 1) == self.lapic_page() { Place::Bus } else { ram.place(physical, write) }
    }

    /// Offset into guest memory of what this processor reads at a physical address, if it is memory.
    fn peek_memory(&self, ram: &Ram, physical: u64) -> Option<usize> {
        match self.peek_place(ram, physical, false) {
            Place::Memory(offset) => Some(offset),
            _ => None,
        }
    }

    fn peek_entry(&self, ram: &Ram, physical: u64, size: usize) -> Option<u64> {
        self.peek_memory(ram, physical).map(|offset| ram.load(offset, size))
    }

    /// Host-physical address of a guest-physical one; the same without EPT.
    fn peek_guest_physical(&self, ram: &Ram, physical: u64) -> Option<u64> {
        let Some(controls) = self.vm_controls().filter(|controls| controls.ept()) else { return Some(physical) };
        let model = self.config.model.vmx()?;
        let config = EptConfig {
            eptp: controls.eptp & !EPTP_ACCESSED_DIRTY,
            cap: model.caps.ept_vpid_cap,
            maxphyaddr: model.facts.maxphyaddr,
            mode_based_execute: controls.secondary.contains(SecondaryProcessorControls::MODE_BASED_EXECUTE_CONTROL),
            sub_page: None,
            paging_write: false,
            log_full: false,
        };
        let found = ept::walk(&config, physical, EptAccess::default(), &mut Looking { cpu: self, ram });
        found.ok().map(|translation| translation.address)
    }
}

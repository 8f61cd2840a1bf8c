//! Descriptors in the GDT, the LDT and the TSS, as the processor reads and marks them.

use super::rules::Verdict;
use super::selector::Selector;
use crate::fault::{Exec, Stop};
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::segment::{AccessRights, Descriptor, Segment, SegmentRegister};
use emu_vmx::arch::vector;

impl Cpu {
    /// Parks the exception of a rule that does not hold.
    #[inline]
    pub fn obey(&mut self, verdict: Verdict) -> Exec {
        match verdict {
            Ok(()) => Ok(()),
            Err(refusal) => self.exception(refusal.vector, refusal.code),
        }
    }

    /// Linear address of the `len` bytes of a selector's descriptor; `None` beyond the limit of its table.
    pub fn descriptor_address(&self, selector: Selector, len: u64) -> Option<u64> {
        let (base, limit) = if selector.is_local() {
            let ldt = self.sys.seg(SegmentRegister::Ldtr);
            if ldt.access_rights.unusable() {
                return None;
            }
            (ldt.base, u64::from(ldt.limit))
        } else {
            (self.sys.gdtr.base, u64::from(self.sys.gdtr.limit))
        };
        (selector.offset() + len - 1 <= limit).then(|| base.wrapping_add(selector.offset()))
    }

    /// Reads an 8-byte descriptor; beyond its table's limit is the exception `vector` with the selector.
    pub fn read_descriptor(
        &mut self,
        env: &mut Env,
        selector: Selector,
        vector: u8,
        ext: u32,
    ) -> Result<Descriptor, Stop> {
        match self.descriptor_address(selector, 8) {
            Some(address) => Ok(Descriptor(self.read_system::<u64>(env, address)?)),
            None => self.exception(vector, selector.error(ext)),
        }
    }

    /// Reads the second half of a 16-byte system descriptor: its base or offset bits 63:32. A type other than 0 in
    /// it is #GP (SDM Vol. 3A 5.8.3.1).
    pub fn read_descriptor_high(
        &mut self,
        env: &mut Env,
        selector: Selector,
        vector: u8,
        ext: u32,
    ) -> Result<u64, Stop> {
        let Some(address) = self.descriptor_address(selector, 16) else {
            return self.exception(vector, selector.error(ext));
        };
        let high = self.read_system::<u64>(env, address.wrapping_add(8))?;
        if high >> 40 & 0x1F != 0 {
            return self.exception(vector::GP, selector.error(ext));
        }
        Ok(high & 0xFFFF_FFFF)
    }

    /// Sets the accessed bit of a code or data descriptor in its table, and gives the segment as loaded.
    #[inline(always)]
    pub fn accessed_segment(
        &mut self,
        env: &mut Env,
        selector: Selector,
        descriptor: Descriptor,
    ) -> Result<Segment, Stop> {
        if descriptor.0 & Descriptor::ACCESSED == 0
            && let Some(address) = self.descriptor_address(selector, 8)
        {
            let byte = (descriptor.0 | Descriptor::ACCESSED) >> 40;
            self.write_system::<u8>(env, address.wrapping_add(5), byte & 0xFF)?;
        }
        Ok(Segment::from_descriptor(selector.0, descriptor.0 | Descriptor::ACCESSED))
    }

    /// Sets or clears the busy bit of a TSS descriptor in the GDT.
    pub fn mark_busy(&mut self, env: &mut Env, selector: Selector, busy: bool) -> Exec {
        let Some(address) = self.descriptor_address(selector, 8) else {
            return self.exception(vector::TS, selector.error(0));
        };
        let place = address.wrapping_add(5);
        let old = self.read_system::<u8>(env, place)?;
        self.write_system::<u8>(env, place, if busy { old | 2 } else { old & !2 })
    }

    /// Makes `segment` the code segment at privilege `cpl`; the caller sets RIP.
    #[inline(always)]
    pub fn set_code_segment(&mut self, segment: Segment, cpl: u8) {
        let selector = Selector(segment.selector).with_rpl(cpl).0;
        let code = &mut self.sys.segments[SegmentRegister::Cs as usize];
        let same = (code.access_rights, code.base, code.limit) == (segment.access_rights, segment.base, segment.limit);
        *code = Segment { selector, ..segment };
        // In 64-bit mode nothing else that is derived could have changed.
        if same && self.sys.cpl == cpl && self.derived.mode.is_64bit() {
            if !self.attention.is_empty() {
                self.leave_block();
            }
            return;
        }
        self.sys.cpl = cpl;
        self.refresh();
    }

    /// A stack segment with a null selector, as 64-bit mode allows it: its DPL is CPL.
    pub fn null_stack_segment(selector: u16, cpl: u8) -> Segment {
        Segment { selector, access_rights: AccessRights::NULL.with_dpl(cpl), ..Segment::NULL }
    }
}

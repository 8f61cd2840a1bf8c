//! Loads and stores of instructions: the one-compare fast path, and the slow path with every check.

use super::ram::{PAGE, Place};
use super::tlb::{Detail, Entry, NO_TAG, SlowEntry};
use super::walk::{Access, Kind};
use crate::fault::{Exec, Stop};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};
use crate::state::observed::{DeviceAccess, MemoryAccess, Observed, Watch};
use crate::state::scratch::RmwTarget;
use emu_vmx::arch::cr::{BreakpointKind, Cr3, Cr4, Dr7};
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::arch::vector;
use emu_vmx::vmcs::PendingDebug;

/// How a handler reaches memory: handlers that are worth it are generated once for each.
///
/// The fast ones give up with an error when an access is not a plain one; the handler's [`Checked`] form then runs in its
/// place from the start, as nothing has been committed.
pub trait Path: 'static {
    /// An access that is not plain gives up.
    const FAST: bool;
    /// 64-bit mode, a segment with a base of 0, 64-bit addresses: the effective address is the linear address.
    const FLAT: bool;
    /// The memory operand may have an index register.
    const INDEX: bool;
}

macro_rules! path {
    ($($(#[$doc:meta])* $name:ident = $fast:literal, $flat:literal, $index:literal;)*) => {$(
        $(#[$doc])*
        pub struct $name;
        impl Path for $name {
            const FAST: bool = $fast;
            const FLAT: bool = $flat;
            const INDEX: bool = $index;
        }
    )*};
}

path! {
    /// Everything is checked.
    Checked = false, false, true;
    /// Any mode and operand.
    Any = true, false, true;
    /// Flat addresses.
    Flat = true, true, true;
    /// Flat addresses of a base register and a displacement.
    FlatBase = true, true, false;
}

/// What a fast path returns: nothing is parked, since the checked one comes next.
const GIVE_UP: Stop = Stop::Fault;

/// Marks [`Cpu::read_for_write`]'s slow result: the target is in [`Cpu::rmw`].
const SLOW: usize = usize::MAX;

impl Cpu {
    /// Effective address of a memory operand.
    #[inline(always)]
    pub fn ea(&self, u: &Uop) -> u64 {
        let base = self.gpr[u.base as usize & 31];
        let index = self.gpr[u.index as usize & 31];
        base.wrapping_add(index << (u.scale & 3)).wrapping_add(u.disp as i64 as u64) & u.address_mask()
    }

    /// Effective address of a memory operand by path `P`.
    #[inline(always)]
    pub fn ea_by<P: Path>(&self, u: &Uop) -> u64 {
        if !P::FLAT {
            return self.ea(u);
        }
        let base = self.gpr[u.base as usize & 31].wrapping_add(u.disp as i64 as u64);
        if P::INDEX { base.wrapping_add(self.gpr[u.index as usize & 31] << (u.scale & 3)) } else { base }
    }

    /// Loads the memory operand of `u`.
    #[inline(always)]
    pub fn load<W: Width>(&mut self, env: &mut Env, u: &Uop) -> Result<u64, Stop> {
        self.load_by::<Checked, W>(env, u)
    }

    /// Stores to the memory operand of `u`.
    #[inline(always)]
    pub fn store<W: Width>(&mut self, env: &mut Env, u: &Uop, value: u64) -> Exec {
        self.store_by::<Checked, W>(env, u, value)
    }

    /// Reads at `seg:ea`.
    #[inline(always)]
    pub fn read<W: Width>(&mut self, env: &mut Env, seg: u8, ea: u64) -> Result<u64, Stop> {
        self.read_by::<Checked, W>(env, seg, ea)
    }

    /// Writes at `seg:ea`.
    #[inline(always)]
    pub fn write<W: Width>(&mut self, env: &mut Env, seg: u8, ea: u64, value: u64) -> Exec {
        self.write_by::<Checked, W>(env, seg, ea, value)
    }

    /// Reads at `seg:ea` what [`Cpu::write_back`] is going to replace: faults are those of a write.
    #[inline(always)]
    pub fn read_for_write<W: Width>(&mut self, env: &mut Env, seg: u8, ea: u64) -> Result<(u64, usize), Stop> {
        self.read_for_write_by::<Checked, W>(env, seg, ea)
    }

    /// Loads the memory operand of `u` by path `P`.
    #[inline(always)]
    pub fn load_by<P: Path, W: Width>(&mut self, env: &mut Env, u: &Uop) -> Result<u64, Stop> {
        self.read_by::<P, W>(env, u.seg, self.ea_by::<P>(u))
    }

    /// Stores to the memory operand of `u` by path `P`.
    #[inline(always)]
    pub fn store_by<P: Path, W: Width>(&mut self, env: &mut Env, u: &Uop, value: u64) -> Exec {
        self.write_by::<P, W>(env, u.seg, self.ea_by::<P>(u), value)
    }

    /// Reads at `seg:ea` by path `P`.
    #[inline(always)]
    pub fn read_by<P: Path, W: Width>(&mut self, env: &mut Env, seg: u8, ea: u64) -> Result<u64, Stop> {
        if let Some(linear) = self.plain_linear::<P, W>(seg, ea, false) {
            let entry = self.tlb.slot(linear);
            if entry.read == self.plain_access::<W>(linear) {
                return Ok(W::load(env.ram.bytes(), linear.wrapping_add(entry.addend) as usize));
            }
        }
        if P::FAST {
            return Err(GIVE_UP);
        }
        self.read_slow(env, seg, ea, W::BYTES as usize)
    }

    /// Writes at `seg:ea` by path `P`.
    #[inline(always)]
    pub fn write_by<P: Path, W: Width>(&mut self, env: &mut Env, seg: u8, ea: u64, value: u64) -> Exec {
        if let Some(linear) = self.plain_linear::<P, W>(seg, ea, true) {
            let entry = self.tlb.slot(linear);
            if entry.write == self.plain_access::<W>(linear) {
                let offset = linear.wrapping_add(entry.addend) as usize;
                W::store(env.ram.page_bytes_mut(offset, W::BYTES as usize), value);
                return Ok(());
            }
        }
        if P::FAST {
            return Err(GIVE_UP);
        }
        self.write_slow(env, seg, ea, W::BYTES as usize, value)
    }

    /// [`Cpu::read_for_write`] by path `P`.
    #[inline(always)]
    pub fn read_for_write_by<P: Path, W: Width>(
        &mut self,
        env: &mut Env,
        seg: u8,
        ea: u64,
    ) -> Result<(u64, usize), Stop> {
        let readable = P::FLAT || ea.wrapping_add(W::BYTES - 1) < self.seg_access[seg as usize & 7].read_bound;
        if let Some(linear) = self.plain_linear::<P, W>(seg, ea, true) {
            let entry = self.tlb.slot(linear);
            if readable && entry.write == self.plain_access::<W>(linear) {
                let offset = linear.wrapping_add(entry.addend) as usize;
                return Ok((W::load(env.ram.bytes(), offset), offset));
            }
        }
        if P::FAST {
            return Err(GIVE_UP);
        }
        self.read_for_write_slow(env, seg, ea, W::BYTES as usize).map(|value| (value, SLOW))
    }

    /// The linear address of `seg:ea` if the segment allows the access without a closer look.
    #[inline(always)]
    fn plain_linear<P: Path, W: Width>(&self, seg: u8, ea: u64, write: bool) -> Option<u64> {
        if P::FLAT {
            return Some(ea);
        }
        let segment = &self.seg_access[seg as usize & 7];
        let bound = if write { segment.write_bound } else { segment.read_bound };
        (ea.wrapping_add(W::BYTES - 1) < bound).then(|| segment.base.wrapping_add(ea))
    }

    /// The tag of a plain access that stays in its page.
    #[inline(always)]
    fn plain_access<W: Width>(&self, linear: u64) -> u64 {
        linear.wrapping_add(W::BYTES - 1) & !0xFFF | self.fast_context
    }

    /// The second half of [`Cpu::read_for_write`]; it cannot fault.
    #[inline(always)]
    pub fn write_back<W: Width>(&mut self, env: &mut Env, target: usize, value: u64) {
        if target != SLOW {
            W::store(env.ram.page_bytes_mut(target, W::BYTES as usize), value);
        } else {
            self.write_back_slow(env, W::BYTES as usize, value);
        }
    }

    /// Linear address of `seg:ea` after the checks of the segment; `len` bytes are to be accessed.
    pub fn linear(&mut self, seg: u8, ea: u64, len: u64, write: bool) -> Result<u64, Stop> {
        let segment = &self.seg_access[seg as usize & 7];
        let linear = segment.base.wrapping_add(ea);
        let last = ea.wrapping_add(len - 1);
        if self.derived.mode.is_64bit() {
            return match self.canonicalize(linear, len) {
                Some(linear) => Ok(linear),
                None => self.segment_fault(seg),
            };
        }
        let bound = if write { segment.write_bound } else { segment.read_bound };
        if last >= bound && !self.segment_allows(seg, ea, last, write) {
            return self.segment_fault(seg);
        }
        Ok(linear & 0xFFFF_FFFF)
    }

    /// `linear` as it is translated, if it and the last of `len` bytes are canonical.
    pub fn canonicalize(&self, linear: u64, len: u64) -> Option<u64> {
        let linear = self.remove_lam_metadata(linear)?;
        let last = linear.wrapping_add(len - 1);
        (self.is_canonical(linear) && self.is_canonical(last)).then_some(linear)
    }

    /// Linear-address masking of a data access (SDM Vol. 1 3.3.7.2): what stands above the address is replaced by copies
    /// of bit 63, if the address's own top bit agrees with it.
    fn remove_lam_metadata(&self, linear: u64) -> Option<u64> {
        let width = if linear >> 63 != 0 {
            if !self.sys.cr4.contains(Cr4::LAM_SUP) {
                return Some(linear);
            }
            self.linear_width()
        } else if self.sys.cr3 & Cr3::LAM_U57 != 0 {
            57
        } else if self.sys.cr3 & Cr3::LAM_U48 != 0 {
            48
        } else {
            return Some(linear);
        };
        let agrees = linear >> (width - 1) & 1 == linear >> 63;
        agrees.then(|| emu_vmx::arch::addr::sign_extend(linear, width))
    }

    /// Whether an address is canonical under the present paging mode (SDM Vol. 1 3.3.7.1).
    #[inline]
    pub fn is_canonical(&self, address: u64) -> bool {
        emu_vmx::arch::addr::is_canonical(address, self.linear_width())
    }

    /// Whether an address is canonical for the widest linear address that the processor has, whatever the paging mode:
    /// so descriptor-table and system-segment bases, some MSRs and INVPCID's operand are checked.
    #[inline]
    pub fn is_canonical_for_register(&self, address: u64) -> bool {
        emu_vmx::arch::addr::is_canonical(address, self.config.model.linear_bits())
    }

    /// Whether a segment allows an access beyond its plain bound: it is an expand-down one, or the access wraps at 4 GiB.
    #[cold]
    fn segment_allows(&self, seg: u8, ea: u64, last: u64, write: bool) -> bool {
        let segment = &self.sys.segments[seg as usize & 7];
        let rights = segment.access_rights;
        let real = self.derived.mode.real_segments();
        let allowed = real || if write { rights.writable() } else { rights.readable() };
        if rights.unusable() || !rights.present() || !allowed {
            return false;
        }
        let limit = u64::from(segment.limit);
        if rights.expand_down() {
            let top = if rights.default_big() { 0xFFFF_FFFF } else { 0xFFFF };
            ea > limit && last <= top
        } else {
            last <= limit
        }
    }

    #[cold]
    fn segment_fault<T>(&mut self, seg: u8) -> Result<T, Stop> {
        self.exception(if seg == SegmentRegister::Ss as u8 { vector::SS } else { vector::GP }, 0)
    }

    #[cold]
    #[inline(never)]
    fn read_slow(&mut self, env: &mut Env, seg: u8, ea: u64, len: usize) -> Result<u64, Stop> {
        let linear = self.linear(seg, ea, len as u64, false)?;
        self.check_alignment(linear, len)?;
        self.read_at::<true>(env, linear, len, Access::data(Kind::Read, self.sys.cpl == 3))
    }

    #[cold]
    #[inline(never)]
    fn write_slow(&mut self, env: &mut Env, seg: u8, ea: u64, len: usize, value: u64) -> Exec {
        let linear = self.linear(seg, ea, len as u64, true)?;
        self.check_alignment(linear, len)?;
        self.write_at::<true>(env, linear, len, value, Access::data(Kind::Write, self.sys.cpl == 3))
    }

    #[cold]
    #[inline(never)]
    fn read_for_write_slow(&mut self, env: &mut Env, seg: u8, ea: u64, len: usize) -> Result<u64, Stop> {
        let linear = self.linear(seg, ea, len as u64, true)?;
        if !self.derived.mode.is_64bit() {
            self.linear(seg, ea, len as u64, false)?;
        }
        self.check_alignment(linear, len)?;
        let access = Access::read_modify_write(self.sys.cpl == 3);
        self.scratch.rmw = self.operand_target(env, linear, len, access)?;
        self.note_data_breakpoints(linear, len, true);
        let value = self.read_target(env, self.scratch.rmw, len);
        if self.notes.watch.contains(Watch::MEMORY) {
            self.note_access(linear, self.scratch.rmw.physical, len, false, value);
        }
        Ok(value)
    }

    fn write_back_slow(&mut self, env: &mut Env, len: usize, value: u64) {
        self.write_target(env, self.scratch.rmw, len, value);
        if self.notes.watch.contains(Watch::MEMORY) {
            self.note_access(self.scratch.rmw.linear, self.scratch.rmw.physical, len, true, value);
        }
    }

    /// Notes an access that is watched.
    #[cold]
    fn note_access(&mut self, linear: u64, physical: u64, len: usize, write: bool, value: u64) {
        let value = value & (u64::MAX >> (64 - 8 * len.clamp(1, 8)));
        self.note(Observed::Memory(MemoryAccess { linear, physical, size: len as u8, write, value }));
    }

    fn check_alignment(&mut self, linear: u64, len: usize) -> Exec {
        // Context privilege 3 says that CPL is 3 and that CR0.AM and RFLAGS.AC are set.
        if self.derived.context & 3 == 3 && len.is_power_of_two() && linear & (len as u64 - 1) != 0 {
            return self.exception(vector::AC, 0);
        }
        Ok(())
    }

    /// #AC with an error code if alignment is checked and a push of `len` bytes at `linear` at privilege level 3 is not
    /// aligned (SDM Vol. 2A, INT n: "a stack push is unaligned").
    pub fn check_push_alignment(&mut self, linear: u64, len: u64, code: u32) -> Exec {
        if self.derived.context & 3 == 3 && linear & (len - 1) != 0 {
            return self.exception(vector::AC, code);
        }
        Ok(())
    }

    /// #AC if alignment is checked and `seg:ea` is not a multiple of `alignment`: for operands whose alignment is not
    /// their size (SDM Vol. 3A Table 6-7).
    pub fn check_operand_alignment(&mut self, seg: u8, ea: u64, alignment: u64, write: bool) -> Exec {
        if self.derived.context & 3 == 3 {
            let linear = self.linear(seg, ea, 1, write)?;
            self.check_alignment(linear, alignment as usize)?;
        }
        Ok(())
    }

    /// Reads up to 8 bytes at a linear address that is not an operand's.
    pub fn read_linear(&mut self, env: &mut Env, linear: u64, len: usize, access: Access) -> Result<u64, Stop> {
        self.read_at::<false>(env, linear, len, access)
    }

    /// Writes up to 8 bytes at a linear address that is not an operand's.
    pub fn write_linear(&mut self, env: &mut Env, linear: u64, len: usize, value: u64, access: Access) -> Exec {
        self.write_at::<false>(env, linear, len, value, access)
    }

    /// Reads up to 8 bytes at the linear address of an operand.
    pub fn read_operand(&mut self, env: &mut Env, linear: u64, len: usize, access: Access) -> Result<u64, Stop> {
        self.read_at::<true>(env, linear, len, access)
    }

    /// Writes up to 8 bytes at the linear address of an operand.
    pub fn write_operand(&mut self, env: &mut Env, linear: u64, len: usize, value: u64, access: Access) -> Exec {
        self.write_at::<true>(env, linear, len, value, access)
    }

    /// Reads an instruction's operand, or something of the system's.
    #[inline(always)]
    fn read_at<const OPERAND: bool>(
        &mut self,
        env: &mut Env,
        linear: u64,
        len: usize,
        access: Access,
    ) -> Result<u64, Stop> {
        if let Some(offset) = self.known_place(linear, len, access) {
            self.touch(env.ram, offset, len, false);
            let value = env.ram.load(offset, len);
            if self.notes.watch.contains(Watch::MEMORY) && !access.implicit {
                self.note_access(linear, env.ram.address_of(offset), len, false, value);
            }
            return Ok(value);
        }
        let split = linear % PAGE + len as u64 > PAGE;
        let (physical, value) = if split {
            let target = self.target::<OPERAND>(env, linear, len, access)?;
            (target.physical, self.read_target(env, target, len))
        } else {
            let physical = self.page_target::<OPERAND>(env, linear, len, access)?;
            (physical, self.read_physical(env, physical, len))
        };
        if !access.implicit {
            self.note_data_breakpoints(linear, len, false);
            if self.notes.watch.contains(Watch::MEMORY) {
                self.note_access(linear, physical, len, false, value);
            }
        }
        Ok(value)
    }

    /// Writes an instruction's operand, or something of the system's.
    #[inline(always)]
    fn write_at<const OPERAND: bool>(
        &mut self,
        env: &mut Env,
        linear: u64,
        len: usize,
        value: u64,
        access: Access,
    ) -> Exec {
        if let Some(offset) = self.known_place(linear, len, access) {
            self.touch(env.ram, offset, len, true);
            if env.ram.store(offset, len, value) {
                self.leave_block();
            }
            if self.notes.watch.contains(Watch::MEMORY) && !access.implicit {
                self.note_access(linear, env.ram.address_of(offset), len, true, value);
            }
            return Ok(());
        }
        let split = linear % PAGE + len as u64 > PAGE;
        let physical = if split {
            let target = self.target::<OPERAND>(env, linear, len, access)?;
            self.write_target(env, target, len, value);
            target.physical
        } else {
            let physical = self.page_target::<OPERAND>(env, linear, len, access)?;
            self.write_physical(env, physical, len, value);
            physical
        };
        if !access.implicit {
            self.note_data_breakpoints(linear, len, true);
            if self.notes.watch.contains(Watch::MEMORY) {
                self.note_access(linear, physical, len, true, value);
            }
        }
        Ok(())
    }

    /// Reads a system structure (descriptor, TSS): a supervisor access whatever the CPL.
    pub fn read_system<W: Width>(&mut self, env: &mut Env, linear: u64) -> Result<u64, Stop> {
        let linear = self.wrap_system(linear);
        let entry = self.tlb.slot(linear);
        let tag = linear.wrapping_add(W::BYTES - 1) & !0xFFF | self.implicit_context();
        if entry.read == tag && !self.has_caches() {
            return Ok(W::load(env.ram.bytes(), linear.wrapping_add(entry.addend) as usize));
        }
        self.read_linear(env, linear, W::BYTES as usize, Access::implicit(Kind::Read))
    }

    /// Writes a system structure.
    pub fn write_system<W: Width>(&mut self, env: &mut Env, linear: u64, value: u64) -> Exec {
        let linear = self.wrap_system(linear);
        self.write_linear(env, linear, W::BYTES as usize, value, Access::implicit(Kind::Write))
    }

    /// The linear address of an operand or an instruction: outside of 64-bit mode it has 32 bits.
    #[inline]
    pub fn wrap_operand(&self, linear: u64) -> u64 {
        if self.derived.mode.is_64bit() { linear } else { linear & 0xFFFF_FFFF }
    }

    /// The linear address of a system structure: bases have 64 bits in compatibility mode, too (SDM Vol. 3A 2.4, "Memory
    /// Management Registers").
    #[inline]
    pub fn wrap_system(&self, linear: u64) -> u64 {
        if self.derived.mode.long { linear } else { linear & 0xFFFF_FFFF }
    }

    /// Reads `buffer.len()` bytes at `seg:ea` (operands wider than 8 bytes); all of it is checked first.
    pub fn read_bytes(&mut self, env: &mut Env, seg: u8, ea: u64, buffer: &mut [u8]) -> Exec {
        let linear = self.linear(seg, ea, buffer.len() as u64, false)?;
        let access = Access::data(Kind::Read, self.sys.cpl == 3);
        let target = self.operand_target(env, linear, buffer.len(), access)?;
        self.note_data_breakpoints(linear, buffer.len(), false);
        let mut done = 0;
        while done < buffer.len() {
            let size = (buffer.len() - done).min(8);
            let value = self.read_target(env, target.advanced(done), size);
            buffer[done..done + size].copy_from_slice(&value.to_le_bytes()[..size]);
            if self.notes.watch.contains(Watch::MEMORY) {
                let at = target.advanced(done).physical;
                self.note_access(self.wrap_operand(linear.wrapping_add(done as u64)), at, size, false, value);
            }
            done += size;
        }
        Ok(())
    }

    /// Writes `data` at `seg:ea`; all of it is checked first.
    pub fn write_bytes(&mut self, env: &mut Env, seg: u8, ea: u64, data: &[u8]) -> Exec {
        let linear = self.linear(seg, ea, data.len() as u64, true)?;
        let access = Access::data(Kind::Write, self.sys.cpl == 3);
        let target = self.operand_target(env, linear, data.len(), access)?;
        self.note_data_breakpoints(linear, data.len(), true);
        let mut done = 0;
        while done < data.len() {
            let size = (data.len() - done).min(8);
            let mut value = [0; 8];
            value[..size].copy_from_slice(&data[done..done + size]);
            let value = u64::from_le_bytes(value);
            self.write_target(env, target.advanced(done), size, value);
            if self.notes.watch.contains(Watch::MEMORY) {
                let at = target.advanced(done).physical;
                self.note_access(self.wrap_operand(linear.wrapping_add(done as u64)), at, size, true, value);
            }
            done += size;
        }
        Ok(())
    }

    /// Checks that `len` bytes at `seg:ea` could be written, without writing.
    pub fn probe_write(&mut self, env: &mut Env, seg: u8, ea: u64, len: usize) -> Exec {
        let linear = self.linear(seg, ea, len as u64, true)?;
        self.probe(env, linear, len, Access::data(Kind::Write, self.sys.cpl == 3))
    }

    /// Translates an access that is not made, or not yet.
    fn probe(&mut self, env: &mut Env, linear: u64, len: usize, access: Access) -> Exec {
        let apic_write = self.vmx.non_root.as_ref().and_then(|non_root| non_root.apic_write);
        let result = self.operand_target(env, linear, len, access);
        if let Some(non_root) = &mut self.vmx.non_root {
            non_root.apic_write = apic_write;
        }
        result.map(|_| ())
    }

    /// Checks the byte at `seg:ea` as a load does, if the segment may only be executed; `false`, and no check, for another.
    pub fn probe_execute_only(&mut self, env: &mut Env, seg: u8, ea: u64) -> Result<bool, Stop> {
        let segment = &self.sys.segments[seg as usize & 7];
        let rights = segment.access_rights;
        let mode = self.derived.mode;
        if mode.is_64bit() || mode.real_segments() || rights.unusable() || !rights.is_code() || rights.readable() {
            return Ok(false);
        }
        if ea > u64::from(segment.limit) {
            return self.segment_fault(seg);
        }
        let linear = self.wrap_operand(segment.base.wrapping_add(ea));
        self.operand_target(env, linear, 1, Access::data(Kind::Read, self.sys.cpl == 3))?;
        Ok(true)
    }

    /// Offset into guest memory of the `len` bytes at `seg:ea`, if accesses to all of their page are plain; `None` if
    /// they need the slow path. Faults are those of the access.
    pub(crate) fn plain_place(
        &mut self,
        env: &mut Env,
        seg: u8,
        ea: u64,
        len: usize,
        write: bool,
    ) -> Result<Option<usize>, Stop> {
        let linear = self.linear(seg, ea, len as u64, write)?;
        self.check_alignment(linear, len)?;
        if linear % PAGE + len as u64 > PAGE {
            return Ok(None);
        }
        let access = Access::data(if write { Kind::Write } else { Kind::Read }, self.sys.cpl == 3);
        // Watched accesses are told one by one.
        let watched = self.notes.watch.contains(Watch::MEMORY);
        if let known @ Some(_) = self.known_place(linear, len, access) {
            return Ok(known.filter(|_| !watched));
        }
        // A page whose parts have permissions is never plain, and what a walk takes is taken once.
        if write && self.judges_sub_pages() {
            return Ok(None);
        }
        self.probe(env, linear, len, access)?;
        Ok(self.known_place(linear, len, access).filter(|_| !watched))
    }

    /// The translation context of implicit accesses: that of a supervisor whom RFLAGS.AC does not help.
    #[inline(always)]
    fn implicit_context(&self) -> u64 {
        self.tlb.context(if self.sys.cr4.contains(Cr4::SMAP) { 2 } else { 1 })
    }

    /// The translation context in which an access is a plain one, if there is one. What is entered for plain accesses says
    /// nothing of those to shadow stacks.
    #[inline(always)]
    fn plain_context(&self, access: Access) -> Option<u64> {
        if access.shadow_stack {
            return None;
        }
        if access.implicit {
            return Some(self.implicit_context());
        }
        let plain = self.derived.context & 3 != 3 && access.user == (self.sys.cpl == 3);
        plain.then_some(self.derived.context)
    }

    /// Where an access goes in guest memory if the TLB has its page.
    #[inline]
    pub(crate) fn known_place(&self, linear: u64, len: usize, access: Access) -> Option<usize> {
        let entry = self.tlb.slot(linear);
        let tag = match access.kind {
            Kind::Read => entry.read,
            Kind::Write => entry.write,
            Kind::Fetch => return None,
        };
        let last = linear.wrapping_add(len as u64 - 1);
        (tag == last & !0xFFF | self.plain_context(access)?).then(|| linear.wrapping_add(entry.addend) as usize)
    }

    /// Physical address of an access to one page. Of an operand, a device is to see the instruction's own time.
    #[inline]
    fn page_target<const OPERAND: bool>(
        &mut self,
        env: &mut Env,
        linear: u64,
        len: usize,
        access: Access,
    ) -> Result<u64, Stop> {
        let physical = self.translate_and_fill(env, linear, len, access)?;
        if OPERAND {
            self.require_exact_at(env, physical, access)?;
        }
        Ok(physical)
    }

    pub(super) fn operand_target(
        &mut self,
        env: &mut Env,
        linear: u64,
        len: usize,
        access: Access,
    ) -> Result<RmwTarget, Stop> {
        self.target::<true>(env, linear, len, access)
    }

    /// Whether the local APIC or the board answers at a physical address.
    fn is_device(&self, env: &Env, physical: u64, write: bool) -> bool {
        physical & !0xFFF == self.lapic_page() || env.ram.place(physical, write) == Place::Bus
    }

    /// [`Cpu::require_exact`] of an operand at a physical address, if a device answers there.
    #[inline]
    fn require_exact_at(&self, env: &Env, physical: u64, access: Access) -> Exec {
        if !self.scratch.flow.exact && self.is_device(env, physical, access.kind == Kind::Write) {
            return Err(Stop::Alone);
        }
        Ok(())
    }

    /// Of an instruction that may reach a device otherwise than by an operand: stops it where time is not exact, before
    /// it has committed anything.
    #[inline]
    pub(crate) fn require_exact(&self) -> Exec {
        if self.scratch.flow.exact { Ok(()) } else { Err(Stop::Alone) }
    }

    /// Translates both pages of an access before any of it is done.
    fn target<const OPERAND: bool>(
        &mut self,
        env: &mut Env,
        linear: u64,
        len: usize,
        access: Access,
    ) -> Result<RmwTarget, Stop> {
        let first_len = (PAGE - linear % PAGE).min(len as u64);
        if first_len == len as u64 {
            let physical = self.page_target::<OPERAND>(env, linear, len, access)?;
            return Ok(RmwTarget { linear, physical, second: 0, first_len: first_len as u16 });
        }
        let next = linear.wrapping_add(first_len);
        let next = if OPERAND { self.wrap_operand(next) } else { self.wrap_system(next) };
        let target = self.split_target(env, linear, next, first_len as usize, len, access)?;
        if OPERAND {
            self.require_exact_at(env, target.physical, access)?;
            self.require_exact_at(env, target.second, access)?;
        }
        Ok(target)
    }

    /// [`Cpu::target`] of an access to two pages: `first_len` bytes at `linear`, the others at `next`. A fault of the
    /// second page leaves the dirty flag of the first alone: nothing is written to it (SDM Vol. 3A 4.8, "Accessed and
    /// Dirty Flags").
    #[cold]
    #[inline(never)]
    fn split_target(
        &mut self,
        env: &mut Env,
        linear: u64,
        next: u64,
        first_len: usize,
        len: usize,
        access: Access,
    ) -> Result<RmwTarget, Stop> {
        if access.kind == Kind::Write && self.known_page(env, linear, access).is_none() {
            self.translate(env, linear, first_len, access.only_judged())?;
            let second = self.translate_and_fill(env, next, len - first_len, access)?;
            let physical = self.translate_and_fill(env, linear, first_len, access)?;
            return Ok(RmwTarget { linear, physical, second, first_len: first_len as u16 });
        }
        let physical = self.translate_and_fill(env, linear, first_len, access)?;
        let second = self.translate_and_fill(env, next, len - first_len, access)?;
        Ok(RmwTarget { linear, physical, second, first_len: first_len as u16 })
    }

    /// Physical address of an access that the TLB translates.
    #[inline(always)]
    pub(super) fn known_page(&mut self, env: &mut Env, linear: u64, access: Access) -> Option<u64> {
        let tag = linear & !0xFFF | self.plain_context(access)?;
        let write = access.kind == Kind::Write;
        if let Some(offset) = self.tlb.held(linear, tag, write) {
            if write && env.ram.allow_fast_writes(offset) {
                self.tlb.give_write_tag(linear);
            }
            return Some(env.ram.address_of(offset));
        }
        let known = self.tlb.slow(linear);
        (tag == if write { known.write } else { known.read }).then_some(known.physical | linear & 0xFFF)
    }

    #[inline]
    fn translate_and_fill(&mut self, env: &mut Env, linear: u64, len: usize, access: Access) -> Result<u64, Stop> {
        match self.known_page(env, linear, access) {
            Some(physical) => Ok(physical),
            None => self.fill(env, linear, len, access),
        }
    }

    #[inline(never)]
    fn fill(&mut self, env: &mut Env, linear: u64, len: usize, access: Access) -> Result<u64, Stop> {
        let page = self.translate(env, linear, len, access)?;
        self.spend_walk();
        let physical = env.ram.gate_a20(page.physical);
        if physical & !0xFFF == self.apic_access_page() {
            return self.redirect_apic_access(env, physical, linear, len, access);
        }
        let Some(context) = self.plain_context(access) else { return Ok(physical) };
        self.tlb.misses += 1;
        let tag = linear & !0xFFF | context;
        let (mut plain_read, mut plain_write) = (false, false);
        if let Place::Memory(offset) = env.ram.place(physical, false)
            && physical & !0xFFF != self.lapic_page()
            && !self.watches_page(linear, false)
        {
            plain_read = page.readable;
            plain_write = page.writable
                && env.ram.place(physical, true) == Place::Memory(offset)
                && !self.watches_page(linear, true);
            self.tlb.insert(
                linear,
                Entry {
                    read: if plain_read { tag } else { NO_TAG },
                    write: if plain_write && env.ram.allow_fast_writes(offset) { tag } else { NO_TAG },
                    addend: (offset as u64).wrapping_sub(linear),
                    key: tag,
                },
                Detail { extent: page.extent, writable: plain_write },
            );
        }
        if (page.readable, page.writable) != (plain_read, plain_write) {
            let tagged = |allowed: bool| if allowed { tag } else { NO_TAG };
            let (read, write) = (tagged(page.readable), tagged(page.writable));
            self.tlb.insert_slow(linear, SlowEntry { read, write, physical: physical & !0xFFF });
        }
        Ok(physical)
    }

    fn read_target(&mut self, env: &mut Env, target: RmwTarget, len: usize) -> u64 {
        let first = usize::from(target.first_len).min(len);
        let low = self.read_physical(env, target.physical, first);
        if first == len {
            return low;
        }
        low | self.read_physical(env, target.second, len - first) << (8 * first)
    }

    fn write_target(&mut self, env: &mut Env, target: RmwTarget, len: usize, value: u64) {
        let first = usize::from(target.first_len).min(len);
        self.write_physical(env, target.physical, first, value);
        if first < len {
            self.write_physical(env, target.second, len - first, value >> (8 * first));
        }
    }

    /// [`Cpu::read_physical`] of 8 bytes, for paging structures; `own_page` is [`Cpu::lapic_page`], which a walk asks for
    /// once.
    #[inline(always)]
    pub fn read_quadword(&mut self, env: &mut Env, physical: u64, own_page: u64) -> u64 {
        if physical & !0xFFF != own_page
            && !self.has_caches()
            && let Some(value) = env.ram.quad_above_legacy(physical)
        {
            return value;
        }
        self.read_physical(env, physical, 8)
    }

    /// Reads up to 8 bytes of one page at a physical address, as this processor sees it.
    pub fn read_physical(&mut self, env: &mut Env, physical: u64, len: usize) -> u64 {
        if physical & !0xFFF == self.lapic_page() {
            return self.lapic_mmio_read(env, physical & 0xFFF, len);
        }
        match env.ram.place(physical, false) {
            Place::Memory(offset) => {
                self.touch(env.ram, offset, len, false);
                env.ram.load(offset, len)
            }
            _ => self.read_bus(env, physical, len),
        }
    }

    /// Writes up to 8 bytes of one page at a physical address, as this processor sees it.
    pub fn write_physical(&mut self, env: &mut Env, physical: u64, len: usize, value: u64) {
        if physical & !0xFFF == self.lapic_page() {
            return self.lapic_mmio_write(env, physical & 0xFFF, len, value);
        }
        match env.ram.place(physical, true) {
            Place::Memory(offset) => {
                self.touch(env.ram, offset, len, true);
                if env.ram.store(offset, len, value) {
                    self.leave_block();
                }
            }
            Place::Ignored => {}
            Place::Bus => self.write_bus(env, physical, len, value),
        }
    }

    /// Accesses of a device are naturally aligned pieces of 1, 2, 4 or 8 bytes.
    fn read_bus(&mut self, env: &mut Env, physical: u64, len: usize) -> u64 {
        let mut value = 0;
        let mut done = 0;
        while done < len {
            let at = physical + done as u64;
            let size = bus_size(at, len - done);
            let part = env.bus.mmio_read(env.ram, self.cycles, at, size as u8) & (u64::MAX >> (64 - 8 * size));
            if self.notes.watch.contains(Watch::MMIO) {
                self.note_mmio(at, size, false, part);
            }
            value |= part << (8 * done);
            done += size;
        }
        self.after_device(env);
        value
    }

    fn write_bus(&mut self, env: &mut Env, physical: u64, len: usize, value: u64) {
        let mut done = 0;
        while done < len {
            let at = physical + done as u64;
            let size = bus_size(at, len - done);
            let part = value >> (8 * done) & (u64::MAX >> (64 - 8 * size));
            env.bus.mmio_write(env.ram, self.cycles, at, size as u8, part);
            if self.notes.watch.contains(Watch::MMIO) {
                self.note_mmio(at, size, true, part);
            }
            done += size;
        }
        self.after_device(env);
    }

    #[cold]
    fn note_mmio(&mut self, address: u64, size: usize, write: bool, value: u64) {
        self.note(Observed::Mmio(DeviceAccess { address, size: size as u8, write, value }));
    }

    /// What a device was told may concern the boundary; what it was late with may have overwritten code.
    pub(crate) fn after_device(&mut self, env: &mut Env) {
        if env.bus.attention() || env.ram.has_stale_pages() {
            self.leave_block();
        }
    }

    /// Notes the data breakpoints that an access hits; they are reported as a trap (SDM Vol. 3B 18.2.5).
    #[inline]
    fn note_data_breakpoints(&mut self, linear: u64, len: usize, write: bool) {
        if self.sys.dr7.bits() & 0xFF == 0 {
            return;
        }
        let wanted = |kind| match kind {
            BreakpointKind::Write => write,
            BreakpointKind::ReadWrite => true,
            _ => false,
        };
        // What wraps goes on at 0.
        let wraps = !self.derived.mode.is_64bit() && linear >> 32 == 0;
        let beyond = if wraps { (linear + len as u64).saturating_sub(1 << 32) } else { 0 };
        let mut hits = self.breakpoint_hits(linear, len as u64 - beyond, wanted);
        if beyond != 0 {
            hits |= self.breakpoint_hits(0, beyond, wanted);
        }
        self.note_debug_hits(hits);
    }

    /// Records breakpoint conditions B0 to B3 (all that matched, and #DB if an enabled one did).
    pub fn note_debug_hits(&mut self, hits: u64) {
        let enabled = (0..4).any(|n| hits >> n & 1 != 0 && self.sys.dr7.enabled(n));
        if enabled {
            self.sys.pending_debug |= hits | PendingDebug::ENABLED_BREAKPOINT.bits();
            self.raise(crate::state::derived::Attention::STEP);
        }
    }

    /// Which of DR0 to DR3 match an access of a kind that `wanted` accepts, enabled or not.
    pub fn breakpoint_hits(&self, linear: u64, len: u64, wanted: impl Fn(BreakpointKind) -> bool) -> u64 {
        let mut hits = 0;
        for n in 0..4u8 {
            if wanted(self.sys.dr7.kind(n)) {
                let size = self.sys.dr7.len(n);
                let start = self.sys.dr[n as usize] & !(size - 1);
                if linear < start.wrapping_add(size) && start < linear.wrapping_add(len) {
                    hits |= 1 << n;
                }
            }
        }
        hits
    }

    #[inline]
    fn watches_page(&self, linear: u64, write: bool) -> bool {
        self.sys.dr7.bits() & Dr7::ENABLES != 0 && self.enables_breakpoint_in_page(linear, write)
    }

    #[cold]
    fn enables_breakpoint_in_page(&self, linear: u64, write: bool) -> bool {
        (0..4u8).any(|n| {
            self.sys.dr7.enabled(n)
                && self.sys.dr[n as usize] & !0xFFF == linear & !0xFFF
                && match self.sys.dr7.kind(n) {
                    BreakpointKind::Write => write,
                    BreakpointKind::ReadWrite => true,
                    _ => false,
                }
        })
    }
}

impl RmwTarget {
    fn advanced(self, bytes: usize) -> Self {
        let first = usize::from(self.first_len);
        if bytes >= first {
            Self { physical: self.second + (bytes - first) as u64, second: 0, first_len: u16::MAX, ..self }
        } else {
            Self { physical: self.physical + bytes as u64, first_len: (first - bytes) as u16, ..self }
        }
    }
}

fn bus_size(at: u64, left: usize) -> usize {
    let aligned = 1 << (at.trailing_zeros().min(3));
    let mut size = aligned.min(8);
    while size > left {
        size /= 2;
    }
    size
}

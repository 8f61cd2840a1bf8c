//! Linear to physical addresses: the walk of the paging structures (SDM Vol. 3A chapter 4).

use super::tlb::Extent;
use crate::fault::Stop;
use crate::model::features::Feature;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::addr::{physical_mask, sign_extend};
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::vector::{self, PageFaultError};
use emu_vmx::ept::{self, EptAccess, ShadowStack};
use emu_vmx::exit::qualification::EptViolation;
use emu_vmx::tags::Invalidation;

pub(super) const P: u64 = 1 << 0;
const RW: u64 = 1 << 1;
const US: u64 = 1 << 2;
const A: u64 = 1 << 5;
const D: u64 = 1 << 6;
const PS: u64 = 1 << 7;
const G: u64 = 1 << 8;
const XD: u64 = 1 << 63;
/// What EPT violations tell of addresses without paging: user-mode, read/write, executable (SDM Vol. 3C Table 28-7).
const UNPAGED: EptViolation = EptViolation::USER.union(EptViolation::READ_WRITE_PAGE);

/// What an access does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Data read.
    Read,
    /// Data write (or the read of a read-modify-write).
    Write,
    /// Instruction fetch.
    Fetch,
}

/// An access to be translated (SDM Vol. 3A 4.6, Determination of Access Rights).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// What it does.
    pub kind: Kind,
    /// A user-mode access.
    pub user: bool,
    /// An implicit supervisor-mode access: to a descriptor table or TSS. RFLAGS.AC does not open SMAP for it.
    pub implicit: bool,
    /// It is judged and not made: no accessed or dirty flag is set.
    pub judged: bool,
    /// A write whose place is read first: a read-modify-write.
    pub reads_too: bool,
    /// An access to a shadow stack.
    pub shadow_stack: bool,
}

impl Access {
    /// An explicit access.
    #[inline]
    pub fn data(kind: Kind, user: bool) -> Self {
        Self { kind, user, implicit: false, judged: false, reads_too: false, shadow_stack: false }
    }

    /// The write of a read-modify-write, and its read.
    #[inline]
    pub fn read_modify_write(user: bool) -> Self {
        Self { reads_too: true, ..Self::data(Kind::Write, user) }
    }

    /// An implicit supervisor-mode access.
    #[inline]
    pub fn implicit(kind: Kind) -> Self {
        Self { implicit: true, ..Self::data(kind, false) }
    }

    /// A shadow-stack access.
    #[inline]
    pub fn shadow_stack(kind: Kind, user: bool) -> Self {
        Self { shadow_stack: true, ..Self::data(kind, user) }
    }

    /// The same access, only judged.
    #[inline]
    pub fn only_judged(self) -> Self {
        Self { judged: true, ..self }
    }
}

/// The outcome of a translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Physical address of the byte.
    pub physical: u64,
    /// A read of the same privilege would succeed.
    pub readable: bool,
    /// A write of the same privilege would succeed and has no flag left to set.
    pub writable: bool,
    /// The linear page.
    pub extent: Extent,
}

/// How the present mode walks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub levels: u32,
    /// Entry size is 4 bytes (32-bit paging).
    pub narrow: bool,
    pub pae: bool,
}

impl Shape {
    /// Bytes of an entry.
    #[inline]
    pub fn entry_size(self) -> usize {
        if self.narrow { 4 } else { 8 }
    }

    /// The table that CR3 or an entry names; `max` is the mask of physical addresses.
    #[inline]
    pub fn table(self, entry: u64, max: u64) -> u64 {
        if self.narrow { entry & 0xFFFF_F000 } else { entry & max & !0xFFF }
    }

    /// Address of the entry for `linear` in a table, and log2 of what the entry maps.
    #[inline]
    pub fn entry(self, table: u64, level: u32, linear: u64) -> (u64, u32) {
        let index_bits = if self.narrow { 10 } else { 9 };
        let shift = 12 + index_bits * (level - 1);
        let index = linear >> shift & ((1 << index_bits) - 1);
        (table + index * self.entry_size() as u64, shift)
    }

    /// Physical address of the page that an entry maps.
    #[inline]
    pub fn page(self, entry: u64, level: u32, shift: u32, max: u64) -> u64 {
        if self.narrow && level > 1 {
            // PSE-36: bits 20:13 are physical-address bits 39:32 (SDM Vol. 3A Table 4-4).
            entry & 0xFFC0_0000 | (entry >> 13 & 0xFF) << 32
        } else if self.narrow {
            entry & 0xFFFF_F000
        } else {
            entry & max & !((1u64 << shift) - 1)
        }
    }
}

impl Cpu {
    /// Bits of a linear address in 64-bit mode: 57 with 5-level paging, else 48.
    #[inline]
    pub fn linear_width(&self) -> u8 {
        if self.sys.cr4.contains(Cr4::LA57) { 57 } else { 48 }
    }

    /// Translates `linear` for an access to `len` bytes, all in one page; sets accessed and dirty flags. #PF is parked if
    /// it is not allowed.
    pub fn translate(&mut self, env: &mut Env, linear: u64, len: usize, access: Access) -> Result<Page, Stop> {
        debug_assert_eq!(self.tlb.present(), &self.address_space());
        self.scratch.walked = 0;
        if !self.sys.cr0.contains(Cr0::PG) {
            let physical = linear & physical_mask(self.config.model.physical_bits());
            // Without paging every address is a user-mode one to mode-based execute control (SDM Vol. 3C 29.3.2).
            let page = Page { physical, readable: true, writable: true, extent: Extent::PAGE };
            return self.final_page(env, linear, len, access, UNPAGED, page);
        }
        match self.walk(env, linear, len, access)? {
            Ok(page) => Ok(page),
            Err((code, shift)) => {
                // A page fault invalidates the entries of its page (SDM Vol. 3A 5.10.4.1 "Operations that Invalidate TLBs
                // and Paging-Structure Caches").
                let (vpid, pcid) = (self.vpid(), self.pcid());
                self.forget_faulted(&Invalidation::LinearAddress { vpid, pcid, address: linear, globals: true }, shift);
                self.vmx.saved_cr2 = self.sys.cr2;
                self.sys.cr2 = linear;
                self.exception(vector::PF, code.bits())
            }
        }
    }

    #[inline]
    pub(super) fn shape(&self) -> Shape {
        if self.sys.efer.contains(Efer::LMA) {
            Shape { levels: if self.sys.cr4.contains(Cr4::LA57) { 5 } else { 4 }, narrow: false, pae: false }
        } else if self.sys.cr4.contains(Cr4::PAE) {
            Shape { levels: 3, narrow: false, pae: true }
        } else {
            Shape { levels: 2, narrow: true, pae: false }
        }
    }

    /// Whether an entry of this level maps a page of 2 MiB (4 MiB), or 1 GiB.
    #[inline]
    pub(super) fn maps_large_page(&self, shape: Shape, level: u32, entry: u64) -> bool {
        entry & PS != 0
            && match level {
                2 => !shape.narrow || self.sys.cr4.contains(Cr4::PSE),
                3 => !shape.narrow && self.config.model.has_1g_pages(),
                _ => false,
            }
    }

    /// The inner error is the page-fault error code, and log2 of the page that is there, 12 if there is none.
    fn walk(
        &mut self,
        env: &mut Env,
        linear: u64,
        len: usize,
        access: Access,
    ) -> Result<Result<Page, (PageFaultError, u8)>, Stop> {
        let shape = self.shape();
        let nxe = self.sys.efer.contains(Efer::NXE);
        let max = physical_mask(self.config.model.physical_bits());
        let (through_ept, own_page) = (self.uses_ept(), self.lapic_page());

        let mut table = shape.table(self.sys.cr3, max);
        let mut level = shape.levels;
        let mut rights = RW | US;
        // PAE's PDPTEs were read when CR3 was loaded (SDM Vol. 3A 4.4.1); they hold no rights.
        if shape.pae {
            let pdpte = self.sys.pdptes[(linear >> 30 & 3) as usize];
            if pdpte & P == 0 {
                return Ok(Err((self.page_fault(shape, access, PageFaultError::empty()), 12)));
            }
            table = shape.table(pdpte, max);
            level = 2;
        }
        // Bits 62:MAXPHYADDR are reserved in PAE entries.
        let beyond = !max & if shape.pae { 0x7FFF_FFFF_FFFF_F000 } else { 0x000F_FFFF_FFFF_F000 };
        let reserved_everywhere = beyond | if nxe { 0 } else { XD };
        // All entries together, for XD, which one of them is enough to set.
        let mut any = 0;
        // A translation that faults has used no entry: accessed flags are set once all checks have passed.
        let mut used = [(0, 0); 8];
        let mut unmarked = 0u32;
        loop {
            let (place, shift) = shape.entry(table, level, linear);
            let address = match through_ept {
                false => env.ram.gate_a20(place),
                true => self.paging_entry_address(env, place, linear, access, false)?,
            };
            self.scratch.walked += 1;
            let entry = match shape.narrow {
                false => self.read_quadword(env, address, own_page),
                true => self.read_physical(env, address, shape.entry_size()),
            };
            if entry & P == 0 {
                return Ok(Err((self.page_fault(shape, access, PageFaultError::empty()), 12)));
            }
            let large = self.maps_large_page(shape, level, entry);
            let reserved = match (shape.narrow, large) {
                // Bits 20:13 (2 MiB) or 29:13 (1 GiB); bit 12 is PAT.
                (false, true) => entry & (reserved_everywhere | ((1 << shift) - 1) & !0x1FFF) != 0,
                (false, false) if level >= 3 => entry & (reserved_everywhere | PS) != 0,
                (false, false) => entry & reserved_everywhere != 0,
                (true, _) => large && self.pse36_reserved(entry),
            };
            if reserved {
                return Ok(Err((self.page_fault(shape, access, PageFaultError::P | PageFaultError::RSVD), 12)));
            }
            let above = rights;
            rights &= entry;
            any |= entry;
            if !large && level != 1 {
                used[level as usize & 7] = (place, entry);
                unmarked |= u32::from(entry & A == 0) << level;
                table = shape.table(entry, max);
                level -= 1;
                continue;
            }

            let execute_disable = !shape.narrow && nxe && any & XD != 0;
            let physical_page = shape.page(entry, level, shift, max);
            let offset = linear & ((1 << shift) - 1);
            // Under EPT that is the host's address where a guest's memory is mapped as it lies.
            env.ram.expect_access(physical_page | offset);
            let key = if shape.levels >= 4 { entry >> 59 & 0xF } else { 0 };
            let checked = if access.shadow_stack {
                let marked = above & RW != 0 && entry & (RW | D) == D;
                self.check_shadow_stack_rights(rights, marked, key, shape.levels >= 4, access)
            } else {
                self.check_rights(rights, execute_disable, key, shape.levels >= 4, access)
            };
            if let Err(extra) = checked {
                return Ok(Err((self.page_fault(shape, access, PageFaultError::P | extra), shift as u8)));
            }
            let write = access.kind == Kind::Write;
            let wanted = if access.judged { entry } else { entry | A | if write { D } else { 0 } };
            if unmarked != 0 && !access.judged {
                // From the root on: in the order in which the walk has used them.
                for level in (2..=shape.levels).rev().filter(|level| unmarked >> level & 1 != 0) {
                    let (place, entry) = used[level as usize & 7];
                    self.mark_entry(env, shape, linear, access, place, entry | A)?;
                }
            }
            if wanted != entry {
                self.mark_entry(env, shape, linear, access, place, wanted)?;
            }
            let with = |kind| Access { kind, ..access };
            let readable = self.check_rights(rights, execute_disable, key, shape.levels >= 4, with(Kind::Read)).is_ok();
            let writable = wanted & D != 0
                && self.check_rights(rights, execute_disable, key, shape.levels >= 4, with(Kind::Write)).is_ok();
            let extent = Extent { shift: shift as u8, global: entry & G != 0 && self.sys.cr4.contains(Cr4::PGE) };
            let page = Page { physical: physical_page | offset, readable, writable, extent };
            if !through_ept {
                return Ok(Ok(page));
            }
            let mut about = EptViolation::empty();
            about.set(EptViolation::USER, rights & US != 0);
            about.set(EptViolation::READ_WRITE_PAGE, rights & RW != 0);
            about.set(EptViolation::EXECUTE_DISABLE, execute_disable);
            return self.final_page(env, linear, len, access, about, page).map(Ok);
        }
    }

    /// The error code of a page fault of `access`: what the access is, and `found` (SDM Vol. 3A 4.7 "Page-Fault
    /// Exceptions").
    #[cold]
    fn page_fault(&self, shape: Shape, access: Access, found: PageFaultError) -> PageFaultError {
        let has_xd = self.sys.efer.contains(Efer::NXE) && !shape.narrow;
        let mut code = found;
        code.set(PageFaultError::WR, access.kind == Kind::Write);
        code.set(PageFaultError::US, access.user);
        code.set(PageFaultError::SS, access.shadow_stack);
        code.set(PageFaultError::ID, access.kind == Kind::Fetch && (has_xd || self.sys.cr4.contains(Cr4::SMEP)));
        code
    }

    /// Writes an entry that the walk has used, with its accessed or dirty flag.
    #[cold]
    fn mark_entry(
        &mut self,
        env: &mut Env,
        shape: Shape,
        linear: u64,
        access: Access,
        place: u64,
        entry: u64,
    ) -> Result<(), Stop> {
        let address = self.paging_entry_address(env, place, linear, access, true)?;
        self.write_physical(env, address, shape.entry_size(), entry);
        Ok(())
    }

    /// The page with its host-physical address and the rights that EPT leaves (SDM Vol. 3C 29.3.2).
    #[inline]
    fn final_page(
        &mut self,
        env: &mut Env,
        linear: u64,
        len: usize,
        access: Access,
        about: EptViolation,
        page: Page,
    ) -> Result<Page, Stop> {
        if !self.uses_ept() {
            return Ok(page);
        }
        let ept_access = EptAccess {
            read: access.kind == Kind::Read,
            write: access.kind == Kind::Write,
            reads_too: access.reads_too,
            fetch: access.kind == Kind::Fetch,
            user_address: about.contains(EptViolation::USER),
            paging_structure: false,
            judged: access.judged,
            shadow_stack: match (access.shadow_stack, access.user) {
                (false, _) => ShadowStack::No,
                (true, true) => ShadowStack::User,
                (true, false) => ShadowStack::Supervisor,
            },
            bytes: len as u16,
        };
        let host = self.translate_guest_physical(
            env,
            page.physical,
            ept_access,
            Some(linear),
            Some((about, page.extent.shift)),
        )?;
        Ok(Page {
            physical: host.address,
            readable: page.readable && host.rights & ept::entry::READ != 0,
            writable: page.writable && host.rights & ept::entry::WRITE != 0,
            extent: page.extent,
        })
    }

    /// Host-physical address of a paging-structure entry.
    #[inline]
    fn paging_entry_address(
        &mut self,
        env: &mut Env,
        place: u64,
        linear: u64,
        access: Access,
        write: bool,
    ) -> Result<u64, Stop> {
        if !self.uses_ept() {
            return Ok(env.ram.gate_a20(place));
        }
        let judged = access.judged;
        let access = EptAccess { read: true, write, paging_structure: true, judged, ..EptAccess::default() };
        self.guest_structure_address(env, place, access, Some(linear))
    }

    /// Host-physical address of a guest paging-structure entry or PDPTE: its guest-physical address is not the
    /// translation of a linear one, so that the APIC-access page is no place for it (SDM Vol. 3C 30.4.6.1
    /// "Guest-Physical Accesses to the APIC-Access Page").
    fn guest_structure_address(
        &mut self,
        env: &mut Env,
        place: u64,
        access: EptAccess,
        linear: Option<u64>,
    ) -> Result<u64, Stop> {
        let host = self.translate_guest_physical(env, place, access, linear, None)?;
        let physical = env.ram.gate_a20(host.address);
        if physical & !0xFFF == self.apic_access_page() {
            return self.exit_for_guest_physical_apic_access(physical);
        }
        Ok(physical)
    }

    /// Reserved bits of a 4 MiB page entry: 21, and the part of 20:13 beyond the physical address, without PSE-36 all of
    /// it (SDM Vol. 3A Table 4-4).
    fn pse36_reserved(&self, entry: u64) -> bool {
        let model = &self.config.model;
        let bits = if model.has(Feature::Pse36) { u32::from(model.physical_bits()).clamp(32, 40) - 32 } else { 0 };
        let high = entry >> 13 & 0x1FF;
        high >> bits != 0
    }

    /// SDM Vol. 3A 4.6.1 and 4.6.2; the error adds to the error code.
    // Inlined: the walk asks it three times, twice of a kind that is known.
    #[inline(always)]
    fn check_rights(
        &self,
        rights: u64,
        execute_disable: bool,
        key: u64,
        has_keys: bool,
        access: Access,
    ) -> Result<(), PageFaultError> {
        let user_page = rights & US != 0;
        let cr4 = self.sys.cr4;
        if access.kind == Kind::Fetch {
            let denied =
                access.user && !user_page || execute_disable || (!access.user && user_page && cr4.contains(Cr4::SMEP));
            return if denied { Err(PageFaultError::empty()) } else { Ok(()) };
        }
        // The flag PK does not depend on the other rights (SDM Vol. 3A 4.7).
        let key_denies = has_keys && self.key_denies(user_page, key, access);
        let write_denied =
            access.kind == Kind::Write && rights & RW == 0 && (access.user || self.sys.cr0.contains(Cr0::WP));
        let smap_denied = !access.user
            && user_page
            && cr4.contains(Cr4::SMAP)
            && (access.implicit || !self.flags.has(crate::flags::AC));
        if key_denies {
            Err(PageFaultError::PK)
        } else if access.user && !user_page || write_denied || smap_denied {
            Err(PageFaultError::empty())
        } else {
            Ok(())
        }
    }

    /// The same of a shadow-stack access: it is allowed to the shadow stacks of its own mode alone. `marked`: the entry that
    /// maps the page is dirty and not writable, and all above it are writable.
    fn check_shadow_stack_rights(
        &self,
        rights: u64,
        marked: bool,
        key: u64,
        has_keys: bool,
        access: Access,
    ) -> Result<(), PageFaultError> {
        let user_page = rights & US != 0;
        if has_keys && self.key_denies(user_page, key, access) {
            Err(PageFaultError::PK)
        } else if user_page != access.user || !marked {
            Err(PageFaultError::empty())
        } else {
            Ok(())
        }
    }

    /// Whether the protection key denies a data access (SDM Vol. 3A 4.6.2).
    #[inline(always)]
    fn key_denies(&self, user_page: bool, key: u64, access: Access) -> bool {
        let register = if user_page && self.sys.cr4.contains(Cr4::PKE) {
            self.sys.pkru
        } else if !user_page && self.sys.cr4.contains(Cr4::PKS) {
            self.sys.pkrs
        } else {
            return false;
        };
        let access_disable = register >> (2 * key) & 1 != 0;
        let write_disable = register >> (2 * key + 1) & 1 != 0;
        let write = access.kind == Kind::Write && (access.user || self.sys.cr0.contains(Cr0::WP));
        access_disable || write_disable && write
    }

    /// Loads the PDPTEs of PAE paging from CR3 (SDM Vol. 3A 4.4.1); false if one has reserved bits set.
    pub fn load_pdptes(&mut self, env: &mut Env, cr3: u64) -> Result<bool, Stop> {
        let reserved = !physical_mask(self.config.model.physical_bits()) | 0x1E6;
        let mut pdptes = [0; 4];
        for (n, pdpte) in pdptes.iter_mut().enumerate() {
            let mut address = (cr3 & 0xFFFF_FFE0) + 8 * n as u64;
            if self.uses_ept() {
                let access = EptAccess { read: true, ..EptAccess::default() };
                address = self.guest_structure_address(env, address, access, None)?;
            } else {
                address = env.ram.gate_a20(address);
            }
            *pdpte = self.read_physical(env, address, 8);
            if *pdpte & P != 0 && *pdpte & reserved != 0 {
                return Ok(false);
            }
        }
        self.sys.pdptes = pdptes;
        Ok(true)
    }

    /// Translates the page of a fetch, through the fetch TLB.
    pub fn translate_fetch(&mut self, env: &mut Env, linear: u64) -> Result<u64, Stop> {
        if let Some(page) = self.tlb.fetch_page(linear, self.derived.context) {
            return Ok(page | linear & 0xFFF);
        }
        if self.derived.mode.is_64bit() && sign_extend(linear, self.linear_width()) != linear {
            return self.gp(0);
        }
        let page = self.translate(env, linear, 1, Access::data(Kind::Fetch, self.sys.cpl == 3))?;
        self.spend_walk();
        let physical = env.ram.gate_a20(page.physical);
        if physical & !0xFFF == self.apic_access_page() {
            let access = Access::data(Kind::Fetch, self.sys.cpl == 3);
            return self.redirect_apic_access(env, physical, linear, 1, access);
        }
        self.tlb.insert_fetch(linear, self.derived.context, physical, page.extent);
        Ok(physical)
    }
}

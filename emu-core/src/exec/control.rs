//! Control and debug registers: their rules (SDM Vol. 3A 2.5, 4.1; Vol. 3B 18.2) and the instructions that write them.

use crate::fault::{Exec, Fault, Stop};
use crate::flags::AC;
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::mem::tlb::AddressSpace;
use crate::model::features::Feature;
use crate::state::cpu::{Cpu, Env};
use crate::state::observed::{Observed, RegisterWrite, Watch};
use crate::state::vmx::ExitDetails;
use crate::vmx::exit::interruption;
use emu_vmx::arch::addr::physical_mask;
use emu_vmx::arch::cr::{Cr0, Cr3, Cr4, Dr6, Dr7};
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::segment::{SegmentRegister, system_type};
use emu_vmx::arch::vector;
use emu_vmx::exit::{ExitReason, instruction_information, qualification};
use emu_vmx::intercept::Instruction;
use emu_vmx::tags::Invalidation;

/// Whether a value of CR0 is consistent in itself (SDM Vol. 3A 2.5): PG needs PE, NW needs CD.
pub fn cr0_is_consistent(cr0: Cr0) -> bool {
    (cr0.contains(Cr0::PE) || !cr0.contains(Cr0::PG)) && (cr0.contains(Cr0::CD) || !cr0.contains(Cr0::NW))
}

impl Cpu {
    /// The flags of CR4 that the model has.
    pub fn cr4_supported(&self) -> Cr4 {
        self.config.model.cr4()
    }

    /// Whether PAE paging is in use with these registers: its PDPTEs are loaded with CR3 (SDM Vol. 3A 4.4.1).
    pub fn is_pae_paging(cr0: Cr0, cr4: Cr4, efer: Efer) -> bool {
        cr0.contains(Cr0::PG) && cr4.contains(Cr4::PAE) && !efer.contains(Efer::LMA)
    }

    /// The address space that is to be the present one.
    pub(crate) fn address_space(&self) -> AddressSpace {
        let sys = &self.sys;
        let cr0 = sys.cr0 & (Cr0::PG | Cr0::WP);
        let efer = sys.efer & (Efer::NXE | Efer::LMA);
        // None of CR0's two flags is one of EFER's.
        let flags = cr0.bits() | efer.bits() | (sys.cr4 & Cr4::PAGING_MODE).bits() << 32;
        AddressSpace {
            pcid: self.pcid(),
            vpid: self.vpid(),
            ep4ta: self.ep4ta(),
            flags,
            keys: (
                if sys.cr4.contains(Cr4::PKE) { sys.pkru } else { 0 },
                if sys.cr4.contains(Cr4::PKS) { sys.pkrs } else { 0 },
            ),
        }
    }

    /// The present PCID.
    pub(crate) fn pcid(&self) -> u16 {
        if self.sys.cr4.contains(Cr4::PCIDE) { (self.sys.cr3 & 0xFFF) as u16 } else { 0 }
    }

    /// Makes the address space that the control registers, and in VMX non-root operation VPID and EPTP, name the present
    /// one, at once and with all that hangs on it: from the next access and the next fetch on only its translations are
    /// used, and they are entered under its tag; the present block ends.
    pub fn select_address_space(&mut self) {
        self.tlb.switch(self.address_space());
        self.refresh_context();
    }

    /// Forgets the translations that `scope` names.
    pub(crate) fn invalidate(&mut self, scope: &Invalidation) {
        self.tlb.invalidate(scope);
        self.refresh_context();
    }

    /// Forgets the translations that `scope` names after an access there faulted; `shift` as in [`Tlb::forget_faulted`].
    ///
    /// [`Tlb::forget_faulted`]: crate::mem::tlb::Tlb::forget_faulted
    pub(crate) fn forget_faulted(&mut self, scope: &Invalidation, shift: u8) {
        if self.tlb.forget_faulted(scope, shift) {
            self.refresh_context();
        }
    }

    /// Writes CR0, with all checks and consequences of MOV to CR0 (SDM Vol. 3A 2.5, 4.1.2, 10.8.5).
    pub fn write_cr0(&mut self, env: &mut Env, value: u64) -> Exec {
        if value >> 32 != 0 {
            return self.gp(0);
        }
        let old = self.sys.cr0;
        // Reserved bits are ignored, and ET is fixed.
        let new = Cr0::from_bits_retain(value & Cr0::DEFINED) | Cr0::ET;
        // In VMX non-root operation the intercepts have checked it: an unrestricted guest may clear PE and PG.
        let fixed = self.vmx.on() && !self.in_non_root();
        if fixed && !self.config.model.vmx().is_some_and(|vmx| vmx.caps.cr0_allowed(new.bits())) {
            return self.gp(0);
        }
        if !cr0_is_consistent(new) {
            return self.gp(0);
        }
        let (cr4, mut efer) = (self.sys.cr4, self.sys.efer);
        if cr4.contains(Cr4::CET) && !new.contains(Cr0::WP) {
            return self.gp(0);
        }
        let (was_paging, paging) = (old.contains(Cr0::PG), new.contains(Cr0::PG));
        let cs = self.sys.seg(SegmentRegister::Cs).access_rights;
        if paging && !was_paging && efer.contains(Efer::LME) {
            let tss = self.sys.seg(SegmentRegister::Tr).access_rights.type_field();
            let tss16 = matches!(tss, system_type::TSS16_AVAILABLE | system_type::TSS16_BUSY);
            if !cr4.contains(Cr4::PAE) || cs.long() || tss16 {
                return self.gp(0);
            }
            efer |= Efer::LMA;
        }
        if was_paging && !paging {
            if cr4.contains(Cr4::PCIDE) || self.derived.mode.is_64bit() {
                return self.gp(0);
            }
            efer -= Efer::LMA;
        }
        let changed = old ^ new;
        if Self::is_pae_paging(new, cr4, efer)
            && changed.intersects(Cr0::PG | Cr0::CD | Cr0::NW)
            && !self.load_pdptes(env, self.sys.cr3)?
        {
            return self.gp(0);
        }
        self.sys.cr0 = new;
        self.sys.efer = efer;
        if changed.contains(Cr0::PG) {
            self.invalidate(&Invalidation::Vpid { vpid: self.vpid() });
        }
        self.refresh();
        Ok(())
    }

    /// Writes CR3 as MOV does (SDM Vol. 3A 4.10.4.1).
    pub fn write_cr3(&mut self, env: &mut Env, value: u64) -> Exec {
        let cr4 = self.sys.cr4;
        let pcide = cr4.contains(Cr4::PCIDE);
        let keep = pcide && value & Cr3::NO_FLUSH != 0;
        let value = if pcide { value & !Cr3::NO_FLUSH } else { value };
        if self.derived.mode.long {
            let lam = if self.config.model.has(Feature::Lam) { Cr3::LAM_U48 | Cr3::LAM_U57 } else { 0 };
            if value & !physical_mask(self.config.model.physical_bits()) & !lam != 0 {
                return self.gp(0);
            }
        } else if Self::is_pae_paging(self.sys.cr0, cr4, self.sys.efer) && !self.load_pdptes(env, value)? {
            return self.gp(0);
        }
        self.sys.cr3 = value;
        self.select_address_space();
        if !keep {
            self.invalidate(&Invalidation::Pcid { vpid: self.vpid(), pcid: self.pcid() });
        }
        Ok(())
    }

    /// Writes CR4, with all checks and consequences of MOV to CR4 (SDM Vol. 3A 2.5, 4.1.2).
    pub fn write_cr4(&mut self, env: &mut Env, value: u64) -> Exec {
        if self.vmx.on() && !self.config.model.vmx().is_some_and(|vmx| vmx.caps.cr4_allowed(value)) {
            return self.gp(0);
        }
        let old = self.sys.cr4;
        let new = Cr4::from_bits_retain(value);
        if value & !self.cr4_supported().bits() != 0 {
            return self.gp(0);
        }
        let changed = old ^ new;
        let long = self.derived.mode.long;
        let leaves_long_paging = long && (!new.contains(Cr4::PAE) || changed.contains(Cr4::LA57));
        let sets_pcide = changed.contains(Cr4::PCIDE) && new.contains(Cr4::PCIDE);
        let bad_pcide = sets_pcide && (!long || self.sys.cr3 & 0xFFF != 0);
        let bad_cet = new.contains(Cr4::CET) && !self.sys.cr0.contains(Cr0::WP);
        if leaves_long_paging || bad_pcide || bad_cet {
            return self.gp(0);
        }
        if Self::is_pae_paging(self.sys.cr0, new, self.sys.efer)
            && changed.intersects(Cr4::PAE | Cr4::PGE | Cr4::PSE | Cr4::SMEP)
            && !self.load_pdptes(env, self.sys.cr3)?
        {
            return self.gp(0);
        }
        self.sys.cr4 = new;
        if changed.intersects(Cr4::PAGING_MODE) {
            self.invalidate(&Invalidation::Vpid { vpid: self.vpid() });
        }
        self.refresh();
        Ok(())
    }

    /// Writes IA32_EFER as WRMSR does: LMA stays, LME cannot change while paging (SDM Vol. 3A 2.2.1, 10.8.5).
    pub fn write_efer(&mut self, _env: &mut Env, value: u64) -> Exec {
        let old = self.sys.efer;
        let new = (Efer::from_bits_retain(value) - Efer::LMA) | (old & Efer::LMA);
        let changed = old ^ new;
        let bad_lme = changed.contains(Efer::LME) && self.sys.cr0.contains(Cr0::PG);
        if bad_lme || new.contains(Efer::NXE) && self.derived.hidden.execute_disable {
            return self.gp(0);
        }
        self.sys.efer = new;
        self.refresh();
        Ok(())
    }

    /// Writes a debug register; 4 and 5 have become 6 and 7 (SDM Vol. 3B 18.2).
    fn write_dr(&mut self, number: u64, value: u64) -> Exec {
        if number >= 4 && value >> 32 != 0 {
            return self.gp(0);
        }
        match number {
            0..=3 => self.sys.dr[number as usize] = value,
            6 => self.sys.dr6 = Dr6::from_write(value),
            _ => self.sys.dr7 = Dr7::from_write(value),
        }
        // Pages with data breakpoints have no fast entries; let those pages be entered anew.
        if number != 6 {
            self.flush_tlb();
            self.refresh_attention();
        }
        Ok(())
    }

    /// The number of the debug register that an instruction names, after its checks (SDM Vol. 2B, MOV DRn).
    fn access_dr(&mut self, number: u64) -> Result<u64, Stop> {
        if matches!(number, 4 | 5) && self.sys.cr4.contains(Cr4::DE) {
            return self.ud();
        }
        self.require_cpl0()?;
        if self.sys.dr7.contains(Dr7::GD) {
            if self.exits_on(&Fault::exception(vector::DB)) {
                let mut details = ExitDetails::new(ExitReason::ExceptionOrNmi).qualified(Dr6::BD.bits());
                details.event = Some((interruption(&Fault::exception(vector::DB)), None));
                details.resume = true;
                return self.park_exit(details);
            }
            self.sys.dr6 |= Dr6::BD;
            return self.throw(Fault::exception(vector::DB));
        }
        Ok(if matches!(number, 4 | 5) { number + 2 } else { number })
    }

    /// #GP(0) where CR4.UMIP keeps system registers from CPL above 0.
    pub fn require_umip_privilege(&mut self) -> Exec {
        if self.sys.cr4.contains(Cr4::UMIP) { self.require_cpl0() } else { Ok(()) }
    }
}

/// Loads CR3 from a TSS, which flushes as MOV to CR3 does; false if a PDPTE has reserved bits set.
pub fn cr3_of_task(cpu: &mut Cpu, env: &mut Env, value: u64) -> Result<bool, Stop> {
    if Cpu::is_pae_paging(cpu.sys.cr0, cpu.sys.cr4, cpu.sys.efer) && !cpu.load_pdptes(env, value)? {
        return Ok(false);
    }
    cpu.sys.cr3 = value;
    cpu.select_address_space();
    cpu.invalidate(&Invalidation::Pcid { vpid: cpu.vpid(), pcid: cpu.pcid() });
    Ok(true)
}

/// MOV CRn, r: the control register in `imm`.
pub fn mov_to_cr<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_cpl0()?;
    let mut value = W::get(&cpu.gpr, u.r1);
    if cpu.vmx.on() {
        match cpu.vmx_mov_to_cr(env, u, value)? {
            Some(loaded) => value = loaded,
            None => return Ok(()),
        }
    }
    let number = u.system_register();
    match number {
        0 => cpu.write_cr0(env, value)?,
        2 => cpu.sys.cr2 = value,
        3 => cpu.write_cr3(env, value)?,
        4 => cpu.write_cr4(env, value)?,
        _ => cpu.write_cr8(value)?,
    }
    if cpu.notes.watch.contains(Watch::CONTROL_REGISTERS) {
        cpu.note(Observed::ControlRegister(RegisterWrite { number: number.into(), value }));
    }
    Ok(())
}

/// MOV r, CRn.
pub fn mov_from_cr<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_cpl0()?;
    if let Some(value) = cpu.vmx_mov_from_cr(env, u)? {
        W::set(&mut cpu.gpr, u.r1, value);
        return Ok(());
    }
    let value = match u.system_register() {
        0 => cpu.sys.cr0.bits(),
        2 => cpu.sys.cr2,
        3 => cpu.sys.cr3,
        4 => cpu.sys.cr4.bits(),
        _ => cpu.read_cr8(),
    };
    W::set(&mut cpu.gpr, u.r1, value);
    Ok(())
}

/// MOV DRn, r: the debug register in `imm`.
pub fn mov_to_dr<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_with(u, Instruction::MovDr, |_, u| (qualification::mov_dr(u.system_register(), false, u.r1), None))?;
    let number = cpu.access_dr(u.system_register().into())?;
    cpu.write_dr(number, W::get(&cpu.gpr, u.r1))
}

/// MOV r, DRn.
pub fn mov_from_dr<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_with(u, Instruction::MovDr, |_, u| (qualification::mov_dr(u.system_register(), true, u.r1), None))?;
    let number = cpu.access_dr(u.system_register().into())?;
    let value = match number {
        0..=3 => cpu.sys.dr[number as usize],
        6 => cpu.sys.dr6.bits(),
        _ => cpu.sys.dr7.bits(),
    };
    W::set(&mut cpu.gpr, u.r1, value);
    Ok(())
}

/// CLTS.
pub fn clts(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    cpu.require_cpl0()?;
    cpu.sys.cr0 = Cr0::from_bits_retain(cpu.vmx_clts(u)?);
    cpu.leave_block();
    Ok(())
}

/// SMSW r.
pub fn smsw_r<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    cpu.require_umip_privilege()?;
    let value = cpu.visible_cr0();
    W::set(&mut cpu.gpr, u.r1, value);
    Ok(())
}

/// SMSW m16.
pub fn smsw_m(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_umip_privilege()?;
    let value = cpu.visible_cr0() & 0xFFFF;
    cpu.store::<u16>(env, u, value)
}

/// LMSW: PE, MP, EM and TS, but PE cannot be cleared.
fn load_msw(cpu: &mut Cpu, env: &mut Env, u: &Uop, value: u64, memory: Option<u64>) -> Exec {
    let value = cpu.vmx_lmsw(u, value as u16, memory)?;
    cpu.write_cr0(env, value)
}

/// LMSW r16.
pub fn lmsw_r(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_cpl0()?;
    load_msw(cpu, env, u, u16::get(&cpu.gpr, u.r1), None)
}

/// LMSW m16.
pub fn lmsw_m(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_cpl0()?;
    let value = cpu.load::<u16>(env, u)?;
    // As it was translated: without the metadata of linear-address masking.
    let linear = cpu.linear(u.seg, cpu.ea(u), 2, false)?;
    load_msw(cpu, env, u, value, Some(linear))
}

/// RDPKRU: #UD unless CR4.PKE, #GP(0) unless ECX is 0 (SDM Vol. 2B, RDPKRU).
pub fn rdpkru(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    if !cpu.sys.cr4.contains(Cr4::PKE) {
        return cpu.ud();
    }
    if cpu.gpr[1] & 0xFFFF_FFFF != 0 {
        return cpu.gp(0);
    }
    cpu.gpr[0] = u64::from(cpu.sys.pkru);
    cpu.gpr[2] = 0;
    Ok(())
}

/// WRPKRU: #UD unless CR4.PKE, #GP(0) unless ECX and EDX are 0 (SDM Vol. 2D, WRPKRU).
pub fn wrpkru(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    if !cpu.sys.cr4.contains(Cr4::PKE) {
        return cpu.ud();
    }
    if (cpu.gpr[1] | cpu.gpr[2]) & 0xFFFF_FFFF != 0 {
        return cpu.gp(0);
    }
    cpu.set_pkru(cpu.gpr[0] as u32);
    Ok(())
}

/// INVLPG: the operand's address is translated by no segment limit; one that is not canonical does nothing.
pub fn invlpg(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    cpu.require_cpl0()?;
    let linear = cpu.wrap_operand(cpu.seg_access[u.seg as usize & 7].base.wrapping_add(cpu.ea(u)));
    cpu.intercept_with(u, Instruction::Invlpg, |_, _| (linear, None))?;
    if !cpu.derived.mode.is_64bit() || cpu.is_canonical(linear) {
        let (vpid, pcid) = (cpu.vpid(), cpu.pcid());
        cpu.invalidate(&Invalidation::LinearAddress { vpid, pcid, address: linear, globals: true });
    }
    Ok(())
}

/// INVPCID: the type in `r1`.
pub fn invpcid<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_enabled(Instruction::Invpcid)?;
    cpu.require_cpl0()?;
    cpu.intercept_with(u, Instruction::Invpcid, |cpu, u| {
        let (memory, displacement) = cpu.memory_information(u);
        (displacement, Some(instruction_information::invalidate(memory, u.r1)))
    })?;
    let kind = W::get(&cpu.gpr, u.r1);
    let mut descriptor = [0; 16];
    let ea = cpu.ea(u);
    cpu.read_bytes(env, u.seg, ea, &mut descriptor)?;
    let part =
        |from: usize| descriptor[from..from + 8].iter().rev().fold(0u64, |all, &byte| all << 8 | u64::from(byte));
    let (pcid, linear) = (part(0), part(8));
    let pcide = cpu.sys.cr4.contains(Cr4::PCIDE);
    let bad = match kind {
        0 => pcid > 0xFFF || (!pcide && pcid != 0) || !cpu.is_canonical_for_register(linear),
        1 => pcid > 0xFFF || (!pcide && pcid != 0),
        2 | 3 => pcid > 0xFFF,
        _ => true,
    };
    if bad {
        return cpu.gp(0);
    }
    let (vpid, pcid) = (cpu.vpid(), pcid as u16);
    cpu.invalidate(&match kind {
        0 => Invalidation::LinearAddress { vpid, pcid, address: linear, globals: false },
        1 => Invalidation::Pcid { vpid, pcid },
        2 => Invalidation::Vpid { vpid },
        _ => Invalidation::VpidRetainingGlobals { vpid },
    });
    Ok(())
}

/// INVD, WBINVD, WBNOINVD (`imm` = 0, 1, 2): the caches hold no data, so that they are emptied where they are modelled,
/// and WBNOINVD leaves them alone.
pub fn invalidate_caches(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_cpl0()?;
    let instruction = if u.variant() == 0 { Instruction::Invd } else { Instruction::Wbinvd };
    // WBINVD and WBNOINVD have one exit reason and differ by the qualification (SDM Vol. 3C 30.2.1 "Basic VM-Exit
    // Information").
    cpu.intercept_with(u, instruction, |_, u| (u64::from(u.variant() == 2), None))?;
    if u.variant() != 2 {
        cpu.empty_caches(env.ram);
    }
    Ok(())
}

/// CLAC (`imm` = 0) and STAC (1): #UD above CPL 0.
pub fn set_ac(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    if cpu.sys.cpl != 0 {
        return cpu.ud();
    }
    cpu.put_flags(AC, u.variant() != 0);
    Ok(())
}

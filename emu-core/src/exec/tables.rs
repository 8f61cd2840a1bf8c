//! Descriptor-table registers and descriptor inspection: LGDT to LTR, LAR, LSL, VERR, VERW, ARPL.

use crate::fault::{Exec, Stop};
use crate::flags::{ZF, bit};
use crate::ir::operands::IN_MEMORY;
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::protect::rules;
use crate::protect::selector::Selector;
use crate::state::cpu::{Cpu, Env};
use crate::state::system::DescriptorTable;
use emu_vmx::arch::segment::{AccessRights, Descriptor, Segment, SegmentRegister, system_type};
use emu_vmx::arch::vector;
use emu_vmx::exit::instruction_information::{self, GdtrIdtr, LdtrTr, Operand};
use emu_vmx::intercept::Instruction as Intercept;

impl Cpu {
    /// #UD in real-address and virtual-8086 mode.
    fn require_protected(&mut self) -> Exec {
        if self.derived.mode.real_segments() { self.ud() } else { Ok(()) }
    }

    fn load_table(&mut self, env: &mut Env, u: &Uop, which: GdtrIdtr) -> Result<DescriptorTable, Stop> {
        self.require_cpl0()?;
        self.intercept_table(u, which)?;
        let ea = self.ea(u);
        let limit = self.read::<u16>(env, u.seg, ea)? as u16;
        let place = ea.wrapping_add(2);
        let base = if self.derived.mode.is_64bit() {
            self.read::<u64>(env, u.seg, place)?
        } else {
            // With a 16-bit operand size the base has 24 bits.
            self.read::<u32>(env, u.seg, place)? & u.base_mask()
        };
        if self.derived.mode.is_64bit() && !self.is_canonical_for_register(base) {
            return self.gp(0);
        }
        Ok(DescriptorTable { base, limit })
    }

    fn intercept_table(&mut self, u: &Uop, which: GdtrIdtr) -> Exec {
        self.intercept_with(u, Intercept::Lgdt, |cpu, u| {
            let (memory, displacement) = cpu.memory_information(u);
            let information = instruction_information::gdtr_idtr(which, memory, u.base_mask() != 0x00FF_FFFF);
            (displacement, Some(information))
        })
    }

    fn intercept_selector(&mut self, u: &Uop, which: LdtrTr) -> Exec {
        self.intercept_with(u, Intercept::Lldt, |cpu, u| {
            if u.r2 != IN_MEMORY {
                return (0, Some(instruction_information::ldtr_tr(which, Operand::Register(u.r2))));
            }
            let (memory, displacement) = cpu.memory_information(u);
            (displacement, Some(instruction_information::ldtr_tr(which, Operand::Memory(memory))))
        })
    }

    fn store_table(&mut self, env: &mut Env, u: &Uop, table: DescriptorTable, which: GdtrIdtr) -> Exec {
        self.require_umip_privilege()?;
        self.intercept_table(u, which)?;
        let ea = self.ea(u);
        let mut image = [0; 10];
        image[..2].copy_from_slice(&table.limit.to_le_bytes());
        image[2..].copy_from_slice(&table.base.to_le_bytes());
        let len = if self.derived.mode.is_64bit() { 10 } else { 6 };
        // A word and the base behind it, each aligned for itself (SDM Vol. 3A 3.5.1, "Segment Descriptor Tables").
        self.check_operand_alignment(u.seg, ea, 2, true)?;
        self.check_operand_alignment(u.seg, ea.wrapping_add(2) & u.address_mask(), len as u64 - 2, true)?;
        self.write_bytes(env, u.seg, ea, &image[..len])
    }

    /// The segment of an LDT or TSS descriptor in the GDT: #GP if it is not of `types`, #NP if not present.
    pub fn system_segment(&mut self, env: &mut Env, selector: Selector, types: &[u8]) -> Result<Segment, Stop> {
        if selector.is_local() {
            return self.gp(selector.error(0));
        }
        let descriptor = self.read_descriptor(env, selector, vector::GP, 0)?;
        let high = if self.derived.mode.long { self.read_descriptor_high(env, selector, vector::GP, 0)? } else { 0 };
        let rights = descriptor.access_rights();
        if !rights.is_system() || !types.contains(&rights.type_field()) {
            return self.gp(selector.error(0));
        }
        self.obey(rules::present(rights, vector::NP, selector, 0))?;
        let segment = Segment::from_system_descriptor(selector.0, descriptor.0, high);
        if self.derived.mode.long && !self.is_canonical_for_register(segment.base) {
            return self.gp(selector.error(0));
        }
        Ok(segment)
    }

    /// The descriptor of `selector` if LAR, LSL, VERR and VERW may see it; `types` are the system types allowed.
    fn visible_descriptor(
        &mut self,
        env: &mut Env,
        selector: Selector,
        types: &[u8],
    ) -> Result<Option<Descriptor>, Stop> {
        if selector.is_null() {
            return Ok(None);
        }
        let Some(address) = self.descriptor_address(selector, 8) else { return Ok(None) };
        let descriptor = Descriptor(self.read_system::<u64>(env, address)?);
        let rights = descriptor.access_rights();
        if rights.is_system() && !types.contains(&rights.type_field()) {
            return Ok(None);
        }
        if rights.is_system() && self.derived.mode.long {
            let Some(address) = self.descriptor_address(selector, 16) else { return Ok(None) };
            if self.read_system::<u64>(env, address.wrapping_add(8))? >> 40 & 0x1F != 0 {
                return Ok(None);
            }
        }
        let private = rights.dpl() < self.sys.cpl.max(selector.rpl());
        Ok(if private && !rights.conforming() { None } else { Some(descriptor) })
    }

    fn set_zf(&mut self, on: bool) {
        self.flags.set_status_masked(ZF, bit(on, ZF));
    }
}

/// LGDT.
pub fn lgdt(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.sys.gdtr = cpu.load_table(env, u, GdtrIdtr::Lgdt)?;
    Ok(())
}

/// LIDT.
pub fn lidt(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.sys.idtr = cpu.load_table(env, u, GdtrIdtr::Lidt)?;
    Ok(())
}

/// SGDT.
pub fn sgdt(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.store_table(env, u, cpu.sys.gdtr, GdtrIdtr::Sgdt)
}

/// SIDT.
pub fn sidt(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.store_table(env, u, cpu.sys.idtr, GdtrIdtr::Sidt)
}

/// LLDT.
pub fn lldt(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_protected()?;
    cpu.require_cpl0()?;
    cpu.intercept_selector(u, LdtrTr::Lldt)?;
    let selector = Selector(cpu.word_operand(env, u)? as u16);
    let segment = if selector.is_null() {
        Segment { selector: selector.0, ..Segment::NULL }
    } else {
        cpu.system_segment(env, selector, &[system_type::LDT])?
    };
    cpu.sys.segments[SegmentRegister::Ldtr as usize] = segment;
    Ok(())
}

/// LTR.
pub fn ltr(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_protected()?;
    cpu.require_cpl0()?;
    cpu.intercept_selector(u, LdtrTr::Ltr)?;
    let selector = Selector(cpu.word_operand(env, u)? as u16);
    if selector.is_null() {
        return cpu.gp(0);
    }
    let types: &[u8] = if cpu.derived.mode.long {
        &[system_type::TSS_AVAILABLE]
    } else {
        &[system_type::TSS_AVAILABLE, system_type::TSS16_AVAILABLE]
    };
    let mut segment = cpu.system_segment(env, selector, types)?;
    cpu.mark_busy(env, selector, true)?;
    segment.access_rights |= AccessRights::READ_WRITE;
    cpu.sys.segments[SegmentRegister::Tr as usize] = segment;
    Ok(())
}

/// SLDT and STR: the register LDTR or TR in `r1`, the destination in `r2`.
pub fn store_system_selector<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_protected()?;
    cpu.require_umip_privilege()?;
    let ldtr = u.r1 == SegmentRegister::Ldtr as u8;
    cpu.intercept_selector(u, if ldtr { LdtrTr::Sldt } else { LdtrTr::Str })?;
    let selector = u64::from(cpu.sys.segments[usize::from(u.r1) & 7].selector);
    if u.r2 == IN_MEMORY {
        return cpu.store::<u16>(env, u, selector);
    }
    W::set(&mut cpu.gpr, u.r2, selector);
    Ok(())
}

/// LAR: destination in `r1`.
pub fn lar<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    use system_type::*;
    cpu.require_protected()?;
    let selector = Selector(cpu.word_operand(env, u)? as u16);
    let types: &[u8] = if cpu.derived.mode.long {
        &[LDT, TSS_AVAILABLE, TSS_BUSY, CALL_GATE]
    } else {
        &[TSS16_AVAILABLE, LDT, TSS16_BUSY, CALL_GATE16, TASK_GATE, TSS_AVAILABLE, TSS_BUSY, CALL_GATE]
    };
    let found = cpu.visible_descriptor(env, selector, types)?;
    if let Some(descriptor) = found {
        W::set(&mut cpu.gpr, u.r1, descriptor.0 >> 32 & 0x00F0_FF00 & W::MASK);
    }
    cpu.set_zf(found.is_some());
    Ok(())
}

/// LSL: destination in `r1`.
pub fn lsl<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    use system_type::*;
    cpu.require_protected()?;
    let selector = Selector(cpu.word_operand(env, u)? as u16);
    let types: &[u8] = if cpu.derived.mode.long {
        &[LDT, TSS_AVAILABLE, TSS_BUSY]
    } else {
        &[TSS16_AVAILABLE, LDT, TSS16_BUSY, TSS_AVAILABLE, TSS_BUSY]
    };
    let found = cpu.visible_descriptor(env, selector, types)?;
    if let Some(descriptor) = found {
        W::set(&mut cpu.gpr, u.r1, u64::from(descriptor.limit()) & W::MASK);
    }
    cpu.set_zf(found.is_some());
    Ok(())
}

/// VERR (`imm` = 0) and VERW (1).
pub fn verify(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_protected()?;
    let selector = Selector(cpu.word_operand(env, u)? as u16);
    let found = cpu.visible_descriptor(env, selector, &[])?;
    let usable = found.is_some_and(|descriptor| {
        let rights = descriptor.access_rights();
        if u.variant() == 0 { rights.readable() } else { rights.writable() }
    });
    cpu.set_zf(usable);
    Ok(())
}

/// ARPL: destination register in `r2` (or memory), source in `r1`.
pub fn arpl(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_protected()?;
    let source = Selector(u16::get(&cpu.gpr, u.r1) as u16);
    // A destination that need not change is not written, so that it may be in a read-only segment.
    let destination = Selector(cpu.word_operand(env, u)? as u16);
    let raised = destination.rpl() < source.rpl();
    if raised {
        let value = u64::from(destination.with_rpl(source.rpl()).0);
        if u.r2 == IN_MEMORY {
            cpu.store::<u16>(env, u, value)?;
        } else {
            u16::set(&mut cpu.gpr, u.r2, value);
        }
    }
    cpu.set_zf(raised);
    Ok(())
}

//! Task switching (SDM Vol. 3A chapter 8).
//!
//! Everything that can fault in the old task's context is done before anything changes; what faults after that is an
//! exception of the new task, before its first instruction.

use crate::event::deliver::Delivery;
use crate::exec::control::cr3_of_task;
use crate::fault::{Exec, Stop};
use crate::flags::{NT, RF, VM};
use crate::protect::rules;
use crate::protect::selector::Selector;
pub use crate::protect::task::TaskSwitch;
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::{Attention, Size};
use crate::state::vmx::{ExitDetails, Length};
use emu_vmx::arch::cr::{Cr0, Cr4, Dr6, Dr7};
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister, system_type};
use emu_vmx::arch::vector;
use emu_vmx::exit::ExitReason;
use emu_vmx::exit::qualification::{self, TaskSwitchSource};

/// Where a TSS keeps its fields (SDM Vol. 3A 8.2.1, 8.6).
struct Layout {
    /// Least limit.
    limit: u32,
    /// Bytes of a register field.
    word: u64,
    ip: u64,
    flags: u64,
    /// EAX to EDI.
    general: u64,
    /// ES, CS, SS, DS (and FS, GS).
    segments: u64,
    segment_count: usize,
    ldt: u64,
}

const TSS16: Layout =
    Layout { limit: 0x2B, word: 2, ip: 0x0E, flags: 0x10, general: 0x12, segments: 0x22, segment_count: 4, ldt: 0x2A };

const TSS32: Layout =
    Layout { limit: 0x67, word: 4, ip: 0x20, flags: 0x24, general: 0x28, segments: 0x48, segment_count: 6, ldt: 0x60 };

/// CR3 in a 32-bit TSS.
const TSS32_CR3: u64 = 0x1C;
/// T, the debug trap flag, in a 32-bit TSS: bit 0.
const TSS32_TRAP: u64 = 0x64;
/// SSP in a 32-bit TSS, for tasks with a shadow stack.
const TSS32_SSP: u64 = 0x68;
/// Least limit of a TSS while CR4.CET is 1.
const TSS32_CET_LIMIT: u32 = 0x6B;

fn is_wide(tss: &Segment) -> bool {
    tss.access_rights.type_field() & 8 != 0
}

fn layout(tss: &Segment) -> &'static Layout {
    if is_wide(tss) { &TSS32 } else { &TSS16 }
}

/// The state in a TSS.
#[derive(Debug, Clone, Copy, Default)]
struct Image {
    ip: u64,
    flags: u64,
    general: [u64; 8],
    segments: [u16; 6],
    ldt: u16,
    /// 32-bit TSS only.
    cr3: Option<u64>,
    trap: bool,
    /// While CR4.CET is 1.
    ssp: u64,
}

impl Image {
    fn v86(&self) -> bool {
        self.cr3.is_some() && self.flags & VM != 0
    }

    fn cpl(&self) -> u8 {
        if self.v86() { 3 } else { Selector(self.segments[SegmentRegister::Cs as usize]).rpl() }
    }
}

impl Cpu {
    /// Switches to a task by JMP, CALL or IRET.
    pub fn switch_by_instruction(&mut self, env: &mut Env, tss: Selector, switch: TaskSwitch, next_rip: u64) -> Exec {
        let flags = self.flags.get() & !RF;
        self.switch_task(env, tss, switch, next_rip, flags, 0)
    }

    /// Delivers an event through a task gate.
    pub fn deliver_by_task(&mut self, env: &mut Env, delivery: &Delivery, tss: Selector) -> Exec {
        let (flags, ext) = (self.flags_image(delivery), delivery.ext());
        self.switch_task(env, tss, TaskSwitch::Event, delivery.return_rip, flags, ext)?;
        if let Some(code) = delivery.event.error_code {
            let width = if is_wide(self.sys.seg(SegmentRegister::Tr)) { Size::Bits32 } else { Size::Bits16 };
            let mut stack = self.present_stack(ext);
            self.push_on(env, &mut stack, width, u64::from(code))?;
            self.gpr[4] = stack.merged(self.gpr[4]);
        }
        Ok(())
    }

    /// Switches to the task of a TSS; the old task goes on at `next_rip` with `flags` (SDM Vol. 3A 8.3).
    pub fn switch_task(
        &mut self,
        env: &mut Env,
        selector: Selector,
        switch: TaskSwitch,
        next_rip: u64,
        flags: u64,
        ext: u32,
    ) -> Exec {
        let new = self.new_tss(env, selector, switch, ext)?;
        if self.in_non_root() {
            let source = match switch {
                TaskSwitch::Jump => TaskSwitchSource::Jmp,
                TaskSwitch::Call => TaskSwitchSource::Call,
                TaskSwitch::Iret => TaskSwitchSource::Iret,
                TaskSwitch::Event => TaskSwitchSource::TaskGate,
            };
            let mut details =
                ExitDetails::new(ExitReason::TaskSwitch).qualified(qualification::task_switch(selector.0, source));
            // An event's length is that of its delivery.
            if switch != TaskSwitch::Event {
                details.length = Length::Until(next_rip);
            }
            return self.park_exit(details);
        }
        let old = *self.sys.seg(SegmentRegister::Tr);
        if switch == TaskSwitch::Iret && self.derived.mode.shadow_stack && self.sys.cet.ssp & 7 != 0 {
            return self.exception(vector::TS, Selector(old.selector).error(ext));
        }
        let image = self.read_tss(env, &new)?;
        let stacks = self.leave_task_stack(env, next_rip, switch, image.cpl())?;
        let flags = if switch == TaskSwitch::Iret { flags & !NT } else { flags };
        self.save_task(env, &old, next_rip, flags)?;
        if switch.nests() {
            self.write_system::<u16>(env, new.base, u64::from(old.selector))?;
        } else if !Selector(old.selector).is_null() {
            self.mark_busy(env, Selector(old.selector), false)?;
        }
        if switch != TaskSwitch::Iret {
            self.mark_busy(env, selector, true)?;
        }
        self.free_task_stack(env, &stacks)?;
        self.enter_task(&new, &image, switch);
        self.qualify_task(env, selector, &image, ext)?;
        if !self.sys.cr4.contains(Cr4::CET) {
            return Ok(());
        }
        // Neither shadow stacks nor tracking work in virtual-8086 mode.
        if self.derived.mode.v86 && (self.shadow_stack_enabled(3) || self.tracking_enabled(3)) {
            return self.exception(vector::TS, selector.error(ext));
        }
        if switch == TaskSwitch::Iret {
            let lip = self.linear_ip(image.ip);
            return self.resume_task_stack(&stacks, lip);
        }
        self.enter_task_stack(env, &stacks, image.ssp, selector.error(ext))?;
        self.expect_endbranch();
        Ok(())
    }

    /// The TSS descriptor, after the checks that fault in the old task (SDM Vol. 3A Table 8-1).
    fn new_tss(&mut self, env: &mut Env, selector: Selector, switch: TaskSwitch, ext: u32) -> Result<Segment, Stop> {
        let returns = switch == TaskSwitch::Iret;
        let wrong = if returns { vector::TS } else { vector::GP };
        if selector.is_local() || selector.is_null() {
            return self.exception(wrong, selector.error(ext));
        }
        let descriptor = self.read_descriptor(env, selector, wrong, ext)?;
        let rights = descriptor.access_rights();
        let types = if returns {
            [system_type::TSS_BUSY, system_type::TSS16_BUSY]
        } else {
            [system_type::TSS_AVAILABLE, system_type::TSS16_AVAILABLE]
        };
        if !rights.is_system() || !types.contains(&rights.type_field()) {
            return self.exception(wrong, selector.error(ext));
        }
        self.obey(rules::present(rights, vector::NP, selector, ext))?;
        let mut segment = Segment::from_descriptor(selector.0, descriptor.0);
        if segment.limit < layout(&segment).limit {
            return self.exception(vector::TS, selector.error(ext));
        }
        // With CET the task has a place for its SSP (SDM Vol. 3A 8.3 "Task Switching").
        if self.sys.cr4.contains(Cr4::CET) && (!is_wide(&segment) || segment.limit < TSS32_CET_LIMIT) {
            return self.exception(vector::TS, selector.error(ext));
        }
        segment.access_rights |= AccessRights::READ_WRITE;
        Ok(segment)
    }

    fn read_tss_word(&mut self, env: &mut Env, tss: &Segment, offset: u64) -> Result<u64, Stop> {
        let place = tss.base.wrapping_add(offset);
        if is_wide(tss) { self.read_system::<u32>(env, place) } else { self.read_system::<u16>(env, place) }
    }

    fn write_tss_word(&mut self, env: &mut Env, tss: &Segment, offset: u64, value: u64) -> Exec {
        let place = tss.base.wrapping_add(offset);
        if is_wide(tss) {
            self.write_system::<u32>(env, place, value & 0xFFFF_FFFF)
        } else {
            self.write_system::<u16>(env, place, value & 0xFFFF)
        }
    }

    fn read_tss(&mut self, env: &mut Env, tss: &Segment) -> Result<Image, Stop> {
        let l = layout(tss);
        let mut image = Image {
            ip: self.read_tss_word(env, tss, l.ip)?,
            flags: self.read_tss_word(env, tss, l.flags)?,
            ..Image::default()
        };
        for (n, register) in image.general.iter_mut().enumerate() {
            *register = self.read_tss_word(env, tss, l.general + l.word * n as u64)?;
            if !is_wide(tss) {
                // The SDM leaves the upper halves open; processors set them.
                *register |= 0xFFFF_0000;
            }
        }
        for (n, segment) in image.segments.iter_mut().enumerate().take(l.segment_count) {
            *segment = self.read_tss_word(env, tss, l.segments + l.word * n as u64)? as u16;
        }
        image.ldt = self.read_system::<u16>(env, tss.base.wrapping_add(l.ldt))? as u16;
        if is_wide(tss) {
            image.cr3 = Some(self.read_tss_word(env, tss, TSS32_CR3)?);
            image.trap = self.read_system::<u16>(env, tss.base.wrapping_add(TSS32_TRAP))? & 1 != 0;
            if self.sys.cr4.contains(Cr4::CET) {
                image.ssp = self.read_tss_word(env, tss, TSS32_SSP)?;
            }
        }
        Ok(image)
    }

    /// Saves the dynamic fields of the present task in its TSS.
    fn save_task(&mut self, env: &mut Env, tss: &Segment, next_rip: u64, flags: u64) -> Exec {
        let l = layout(tss);
        if tss.limit < l.limit {
            return self.exception(vector::TS, Selector(tss.selector).error(0));
        }
        self.write_tss_word(env, tss, l.ip, next_rip)?;
        self.write_tss_word(env, tss, l.flags, flags)?;
        for n in 0..8 {
            self.write_tss_word(env, tss, l.general + l.word * n, self.gpr[n as usize])?;
        }
        for n in 0..l.segment_count {
            let selector = u64::from(self.sys.segments[n].selector);
            self.write_system::<u16>(env, tss.base.wrapping_add(l.segments + l.word * n as u64), selector)?;
        }
        Ok(())
    }

    /// The point of no return: registers, TR, and selectors without their descriptors.
    fn enter_task(&mut self, tss: &Segment, image: &Image, switch: TaskSwitch) {
        self.gpr[..8].copy_from_slice(&image.general);
        self.set_flags(image.flags | if switch.nests() { NT } else { 0 });
        let v86 = image.v86();
        self.put_flags(VM, v86);
        self.sys.segments[SegmentRegister::Tr as usize] = *tss;
        self.sys.segments[SegmentRegister::Ldtr as usize] = Segment { selector: image.ldt, ..Segment::NULL };
        for (segment, &selector) in self.sys.segments.iter_mut().zip(&image.segments) {
            *segment = if v86 { Segment::virtual_8086(selector) } else { Segment { selector, ..Segment::NULL } };
        }
        self.sys.cpl = image.cpl();
        self.sys.cr0 |= Cr0::TS;
        // Local breakpoints belong to the task (SDM Vol. 3B 18.2.4).
        let local = Dr7::L0 | Dr7::L1 | Dr7::L2 | Dr7::L3 | Dr7::LE;
        if self.sys.dr7.intersects(local) {
            self.sys.dr7 -= local;
            self.tlb.flush_all();
        }
        self.end_step_for_task();
        self.refresh();
        self.branch_to(image.ip);
    }

    /// Loads what the selectors and CR3 of the new task name. Faults are the new task's.
    fn qualify_task(&mut self, env: &mut Env, tss: Selector, image: &Image, ext: u32) -> Exec {
        if let Some(cr3) = image.cr3
            && self.sys.cr0.contains(Cr0::PG)
            && !cr3_of_task(self, env, cr3)?
        {
            return self.exception(vector::TS, tss.error(ext));
        }
        let ldt = Selector(image.ldt);
        if !ldt.is_null() {
            let segment = self.task_ldt(env, ldt, ext)?;
            self.sys.segments[SegmentRegister::Ldtr as usize] = segment;
        }
        if !self.derived.mode.v86 {
            self.qualify_segments(env, image, ext)?;
        }
        if image.ip > u64::from(self.sys.seg(SegmentRegister::Cs).limit) {
            return self.gp(ext);
        }
        if image.trap {
            self.sys.pending_debug |= Dr6::BT.bits();
            self.raise(Attention::STEP);
        }
        Ok(())
    }

    fn task_ldt(&mut self, env: &mut Env, selector: Selector, ext: u32) -> Result<Segment, Stop> {
        if selector.is_local() {
            return self.exception(vector::TS, selector.error(ext));
        }
        let descriptor = self.read_descriptor(env, selector, vector::TS, ext)?;
        let rights = descriptor.access_rights();
        if rights.system_type() != Some(system_type::LDT) || !rights.present() {
            return self.exception(vector::TS, selector.error(ext));
        }
        Ok(Segment::from_descriptor(selector.0, descriptor.0))
    }

    fn qualify_segments(&mut self, env: &mut Env, image: &Image, ext: u32) -> Exec {
        let cpl = self.sys.cpl;
        let order = [
            SegmentRegister::Cs,
            SegmentRegister::Ss,
            SegmentRegister::Ds,
            SegmentRegister::Es,
            SegmentRegister::Fs,
            SegmentRegister::Gs,
        ];
        for register in order {
            let selector = Selector(image.segments[register as usize]);
            let special = matches!(register, SegmentRegister::Cs | SegmentRegister::Ss);
            if selector.is_null() {
                if special {
                    return self.exception(vector::TS, selector.error(ext));
                }
                continue;
            }
            let descriptor = self.read_descriptor(env, selector, vector::TS, ext)?;
            let rights = descriptor.access_rights();
            self.obey(match register {
                SegmentRegister::Cs => rules::task_code(rights, selector, ext),
                SegmentRegister::Ss => rules::stack_segment(rights, selector, cpl, vector::TS, ext),
                _ => rules::data_segment(rights, selector, cpl, vector::TS, ext),
            })?;
            self.sys.segments[register as usize] = self.accessed_segment(env, selector, descriptor)?;
            if special { self.refresh() } else { self.refresh_segment(register) }
        }
        Ok(())
    }
}

//! Last branch records: when branches are recorded, which of them, and the registers (SDM Vol. 3B 18.4, "Last Branch,
//! Interrupt, and Exception Recording Overview", to 18.12; chapter 19, "Last Branch Records").

use crate::fault::{EventKind, Exec};
use crate::ir::branch::BranchKind;
use crate::ir::uop::Uop;
use crate::model::CpuModel;
use crate::model::features::Feature;
use crate::model::lbr::{LbrModel, RECORDS, flag, format};
use crate::state::cpu::{Cpu, Env};
use crate::state::lbr::Record;
use crate::state::pmu::LBR_FRZ;
use emu_vmx::arch::addr::is_canonical;
use emu_vmx::arch::msr::*;

/// IA32_DEBUGCTL.LBR and IA32_LBR_CTL.LBREn.
pub(crate) const ENABLE: u64 = 1 << 0;

/// Bits of MSR_LBR_SELECT: what is not recorded (SDM Vol. 3B 18.7.2, "Filtering of Last Branch Records").
mod select {
    pub const CPL_EQ_0: u64 = 1 << 0;
    pub const CPL_NEQ_0: u64 = 1 << 1;
    pub const JCC: u64 = 1 << 2;
    pub const NEAR_REL_CALL: u64 = 1 << 3;
    pub const NEAR_IND_CALL: u64 = 1 << 4;
    pub const NEAR_RET: u64 = 1 << 5;
    pub const NEAR_IND_JMP: u64 = 1 << 6;
    pub const NEAR_REL_JMP: u64 = 1 << 7;
    pub const FAR_BRANCH: u64 = 1 << 8;
    pub const EN_CALLSTACK: u64 = 1 << 9;
}

/// Bits of IA32_LBR_CTL: what is recorded.
mod control {
    pub const OS: u64 = 1 << 1;
    pub const USR: u64 = 1 << 2;
    pub const CALL_STACK: u64 = 1 << 3;
    pub const COND: u64 = 1 << 16;
    pub const NEAR_REL_JMP: u64 = 1 << 17;
    pub const NEAR_IND_JMP: u64 = 1 << 18;
    pub const NEAR_REL_CALL: u64 = 1 << 19;
    pub const NEAR_IND_CALL: u64 = 1 << 20;
    pub const NEAR_RET: u64 = 1 << 21;
    pub const OTHER_BRANCH: u64 = 1 << 22;
}

/// An instruction pointer, as a record can have it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Offset in CS.
    ip: u64,
    linear: u64,
    cpl: u8,
}

/// A record in parts, for who looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastBranch {
    /// Where the branch was: an offset in CS, or by the format a linear address.
    pub from: u64,
    /// Where it went, likewise.
    pub to: u64,
    /// It was mispredicted, as far as that is modelled and recorded.
    pub mispredicted: bool,
    /// Cycles since the record before, up to 65,535; `None` where records have none.
    pub cycles: Option<u64>,
}

/// One register of the records.
enum Part {
    From(u8),
    To(u8),
    Info(u8),
}

/// Which register of which record a number is; 0 is the first of the ring, or with the architectural records the newest.
fn part(model: &LbrModel, number: u32) -> Option<Part> {
    let of = |first: u32| {
        let n = number.checked_sub(first).filter(|n| first != 0 && *n < u32::from(model.entries));
        n.map(|n| n as u8)
    };
    of(model.from).map(Part::From).or(of(model.to).map(Part::To)).or(of(model.info).map(Part::Info))
}

/// Whether the model has a register of the records.
pub(crate) fn exists(model: &CpuModel, number: u32) -> bool {
    let Some(lbr) = model.lbr() else { return false };
    match number {
        MSR_LBR_SELECT => lbr.select != 0,
        MSR_LASTBRANCH_TOS | MSR_LER_FROM_LIP | MSR_LER_TO_LIP => !lbr.is_architectural(),
        IA32_LBR_CTL | IA32_LBR_DEPTH | IA32_LER_INFO => lbr.is_architectural(),
        _ => part(lbr, number).is_some(),
    }
}

/// Whether the model has IA32_LER_FROM_IP and IA32_LER_TO_IP, where other models have registers of other names.
pub(crate) fn is_architectural(model: &CpuModel, _: u32) -> bool {
    model.lbr().is_some_and(LbrModel::is_architectural)
}

/// IA32_LBR_DEPTH after power-on: the deepest.
pub(crate) fn deepest(model: &CpuModel, _: u32) -> u64 {
    model.lbr().map_or(0, |lbr| lbr.entries.into())
}

/// Whether a value may be written.
pub(crate) fn allowed(model: &CpuModel, number: u32, value: u64) -> bool {
    let Some(lbr) = model.lbr() else { return false };
    let width = model.linear_bits();
    let info = match lbr.is_architectural() {
        true => flag::MISPRED | flag::TRANSACTION | flag::CYC_CNT_VALID | 0xF << flag::TYPE_SHIFT | flag::CYCLES,
        false => flag::MISPRED | flag::TRANSACTION | flag::CYCLES,
    };
    match number {
        MSR_LBR_SELECT => value & !lbr.select == 0,
        MSR_LASTBRANCH_TOS => value < lbr.entries.into(),
        IA32_LBR_CTL => value & !lbr.control == 0,
        IA32_LBR_DEPTH => lbr.has_depth(value),
        IA32_LER_INFO => value & !info == 0,
        MSR_LER_FROM_LIP | MSR_LER_TO_LIP => is_canonical(value, width),
        _ => match part(lbr, number) {
            None => false,
            Some(Part::To(_)) => is_canonical(value, width),
            Some(Part::Info(_)) => value & !info == 0,
            Some(Part::From(_)) => is_canonical(without_flags(value, lbr, model), width),
        },
    }
}

/// The flags that a source address has.
fn source_flags(lbr: &LbrModel, model: &CpuModel) -> u64 {
    match lbr.format {
        format::FLAGS => flag::MISPRED,
        // Without transactions the two others are of the sign.
        format::TRANSACTIONS if model.has(Feature::Rtm) => flag::MISPRED | flag::TRANSACTION,
        format::TRANSACTIONS => flag::MISPRED,
        _ => 0,
    }
}

/// A source address with its sign in the place of the flags.
fn without_flags(from: u64, lbr: &LbrModel, model: &CpuModel) -> u64 {
    let flags = source_flags(lbr, model);
    if from >> 60 & 1 != 0 { from | flags } else { from & !flags }
}

/// Reads a register; it changes nothing.
pub(crate) fn read(cpu: &Cpu, number: u32) -> Option<u64> {
    let (lbr, model) = (&cpu.lbr, cpu.config.model.lbr()?);
    Some(match number {
        MSR_LBR_SELECT => lbr.select,
        MSR_LASTBRANCH_TOS => lbr.top.into(),
        MSR_LER_FROM_LIP => lbr.last_event.from,
        MSR_LER_TO_LIP => lbr.last_event.to,
        IA32_LER_INFO => lbr.last_event.info,
        IA32_LBR_CTL => cpu.sys.lbr_ctl,
        IA32_LBR_DEPTH => lbr.depth.into(),
        _ => match part(model, number)? {
            Part::From(n) => lbr.records[cpu.record_place(n)?].from,
            Part::To(n) => lbr.records[cpu.record_place(n)?].to,
            Part::Info(n) => lbr.records[cpu.record_place(n)?].info,
        },
    })
}

/// Writes a register; the value is allowed.
pub(crate) fn write(cpu: &mut Cpu, _: &mut Env, number: u32, value: u64) -> Exec {
    let Some(&model) = cpu.config.model.lbr() else { return Ok(()) };
    match number {
        MSR_LBR_SELECT => cpu.lbr.select = value,
        MSR_LASTBRANCH_TOS => cpu.lbr.top = value as u8,
        MSR_LER_FROM_LIP => cpu.lbr.last_event.from = value,
        MSR_LER_TO_LIP => cpu.lbr.last_event.to = value,
        IA32_LER_INFO => cpu.lbr.last_event.info = value,
        IA32_LBR_CTL => cpu.load_lbr_ctl(value),
        // Whatever is written, the records are cleared.
        IA32_LBR_DEPTH => cpu.lbr.set_depth(value as u8),
        _ => {
            let Some(part) = part(&model, number) else { return Ok(()) };
            let (Part::From(n) | Part::To(n) | Part::Info(n)) = part;
            let Some(place) = cpu.record_place(n) else { return cpu.gp(0) };
            let record = &mut cpu.lbr.records[place];
            match part {
                Part::From(_) => record.from = value,
                Part::To(_) => record.to = value,
                Part::Info(_) => record.info = value,
            }
        }
    }
    Ok(())
}

/// What stands for a kind of branch: its bits of MSR_LBR_SELECT and of IA32_LBR_CTL, and its IA32_LBR_x_INFO.BR_TYPE.
fn fields_of(kind: BranchKind) -> (u64, u64, u64) {
    match kind {
        BranchKind::Conditional => (select::JCC, control::COND, 0),
        BranchKind::IndirectJump => (select::NEAR_IND_JMP, control::NEAR_IND_JMP, 1),
        BranchKind::Jump => (select::NEAR_REL_JMP, control::NEAR_REL_JMP, 2),
        BranchKind::IndirectCall => (select::NEAR_IND_CALL, control::NEAR_IND_CALL, 3),
        BranchKind::Call => (select::NEAR_REL_CALL, control::NEAR_REL_CALL, 4),
        BranchKind::Return => (select::NEAR_RET, control::NEAR_RET, 5),
        BranchKind::Interrupt | BranchKind::Far => (select::FAR_BRANCH, control::OTHER_BRANCH, 8),
    }
}

impl Cpu {
    /// Where register n of the records is in the ring; `None` beyond the depth: #GP.
    fn record_place(&self, n: u8) -> Option<usize> {
        let there = n < self.lbr.depth && usize::from(n) < RECORDS;
        let aged = is_architectural(&self.config.model, 0);
        there.then(|| if aged { self.lbr.place(n) } else { n.into() })
    }

    /// The record that is so old; the newest has age 0.
    pub fn last_branch(&self, age: u8) -> LastBranch {
        let record = self.lbr.record(age);
        let Some(model) = self.config.model.lbr() else {
            return LastBranch { from: 0, to: 0, mispredicted: false, cycles: None };
        };
        let flags = source_flags(model, &self.config.model);
        let from = without_flags(record.from, model, &self.config.model);
        let mispredicted = (record.from & flags | record.info) & flag::MISPRED != 0;
        let counts = model.info != 0 && (!model.is_architectural() || record.info & flag::CYC_CNT_VALID != 0);
        let cycles = counts.then_some(record.info & flag::CYCLES);
        LastBranch { from, to: record.to, mispredicted, cycles }
    }

    /// Derives whether branches are recorded: after a change of IA32_DEBUGCTL, IA32_LBR_CTL or
    /// IA32_PERF_GLOBAL_STATUS.LBR_FRZ. While they are, instructions run one by one.
    #[inline]
    pub(crate) fn refresh_recording(&mut self) {
        let enabled = (self.sys.debugctl | self.sys.lbr_ctl) & ENABLE != 0;
        let records = enabled && self.pmu.global_status & LBR_FRZ == 0 && self.lbr.depth != 0;
        if records != self.derived.records_branches {
            self.derived.records_branches = records;
            self.leave_block();
        }
    }

    /// Loads IA32_DEBUGCTL with a value that is allowed. Where there are architectural records its LBR is 0, whatever is
    /// written.
    pub(crate) fn load_debugctl(&mut self, value: u64) {
        let kept = if is_architectural(&self.config.model, 0) { !ENABLE } else { u64::MAX };
        self.sys.debugctl = value & kept;
        self.refresh_recording();
    }

    /// Loads IA32_LBR_CTL with a value that is allowed.
    pub(crate) fn load_lbr_ctl(&mut self, value: u64) {
        self.sys.lbr_ctl = value;
        self.refresh_recording();
    }

    /// #DB ends recording: its handler is not recorded.
    pub(crate) fn stop_recording(&mut self) {
        self.sys.debugctl &= !ENABLE;
        self.sys.lbr_ctl &= !ENABLE;
        self.refresh_recording();
    }

    /// An instruction pointer in the present code segment, for [`Cpu::record_branch`].
    pub(crate) fn place_of(&self, ip: u64) -> Place {
        Place { ip, linear: self.wrap_operand(self.seg_access[1].base.wrapping_add(ip)), cpl: self.sys.cpl }
    }

    /// An instruction of a run one by one has branched from `from`; it ended at the address `next`.
    pub(crate) fn record_branch(&mut self, uop: &Uop, from: Place, next: u64, mispredicted: bool) {
        let Some(kind) = BranchKind::of(uop) else { return };
        // INT1 is a debug exception.
        if kind == BranchKind::Interrupt && uop.r1 == EventKind::PrivilegedSoftwareException as u8 {
            return;
        }
        let empty = kind == BranchKind::Call && self.rip() == next;
        self.record(kind, from, empty, mispredicted);
    }

    /// An event has been delivered that came at `from`, between instructions or instead of one. Debug exceptions are no
    /// such events, but for those that VM entry injects (SDM Vol. 3C 29.6.1.1, "Details of Vectored-Event Injection").
    pub(crate) fn record_event(&mut self, from: Place) {
        self.record(BranchKind::Interrupt, from, false, false);
    }

    /// INIT or a start-up IPI has led from `from` to RIP: the architectural records have that, too.
    pub(crate) fn record_restart(&mut self, from: Place) {
        if is_architectural(&self.config.model, 0) {
            self.record(BranchKind::Far, from, false, false);
        }
    }

    /// Records what has led to RIP, if it is not filtered out. `empty`: a call to the instruction behind it.
    fn record(&mut self, kind: BranchKind, from: Place, empty: bool, mispredicted: bool) {
        let Some(model) = self.config.model.lbr().copied().filter(|_| self.derived.records_branches) else { return };
        let (recorded, last) = (self.is_recorded(&model, kind, from), self.lbr.record(0));
        // The last-event registers are subject to the filters that the architectural records have.
        if kind == BranchKind::Interrupt && (recorded.is_some() || !model.is_architectural()) {
            self.lbr.last_event = last;
        }
        let Some(from_is_seen) = recorded else { return };
        let call_stack = match model.is_architectural() {
            true => self.sys.lbr_ctl & control::CALL_STACK != 0,
            false => self.lbr.select & select::EN_CALLSTACK != 0,
        };
        match kind {
            BranchKind::Return if call_stack => return self.lbr.pop(),
            // "Zero length calls" are how code finds out where it is, and have no return.
            BranchKind::Call if call_stack && empty => return,
            _ => {}
        }
        let address = |place: Place| match model.format {
            format::LINEAR => place.linear,
            format::OFFSET32 => place.ip & 0xFFFF_FFFF,
            _ => place.ip,
        };
        let elapsed = self.cycles.saturating_sub(self.lbr.updated).min(flag::CYCLES);
        let mispredicted = if mispredicted { flag::MISPRED } else { 0 };
        let to = address(self.place_of(self.rip()));
        let mut record = Record { from: if from_is_seen { address(from) } else { u64::MAX }, to, info: 0 };
        match model.format {
            format::FLAGS | format::TRANSACTIONS => {
                let flags = source_flags(&model, &self.config.model);
                record.from = record.from & !flags | mispredicted;
            }
            format::INFO => record.info = mispredicted | elapsed,
            format::ARCHITECTURAL => {
                let all = mispredicted | flag::CYC_CNT_VALID | fields_of(kind).2 << flag::TYPE_SHIFT | elapsed;
                record.info = all & model.information;
            }
            _ => {}
        }
        self.lbr.push(record);
        self.lbr.updated = self.cycles;
    }

    /// Whether a branch that has led to the present CPL is recorded, and if so, whether its source is.
    fn is_recorded(&self, model: &LbrModel, kind: BranchKind, from: Place) -> Option<bool> {
        let (unselected, bit, _) = fields_of(kind);
        if !model.is_architectural() {
            let level = if self.sys.cpl == 0 { select::CPL_EQ_0 } else { select::CPL_NEQ_0 };
            return (self.lbr.select & (level | unselected) == 0).then_some(true);
        }
        // Without the fields everything is recorded.
        let enabled = self.sys.lbr_ctl | !model.control;
        let sees = |cpl: u8| enabled & if cpl == 0 { control::OS } else { control::USR } != 0;
        (sees(self.sys.cpl) && enabled & bit != 0).then(|| sees(from.cpl))
    }
}

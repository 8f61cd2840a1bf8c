//! One logical processor.

use super::derived::{Attention, Mode, SegmentAccess};
use super::fault::{Exec, Fault, Stop};
use super::flags::Flags;
use super::fpu::FpuState;
use super::history::History;
use super::lapic::Lapic;
use super::observed::{Observed, Watch};
use super::scratch::RmwTarget;
use super::system::SystemState;
use super::vmx::VmxState;
use crate::bus::ApicMessage;
use crate::bus::Bus;
use crate::ir::uop::{REG_MINUS_1G, REG_PLUS_1G, REG_RIP};
use crate::mem::ram::Ram;
use crate::mem::tlb::Tlb;
use crate::model::CpuModel;
use emu_vmx::arch::vector;
use std::sync::Arc;

/// What a processor is lent while it runs.
pub struct Env<'a> {
    /// Guest memory.
    pub ram: &'a mut Ram,
    /// The board.
    pub bus: &'a mut dyn Bus,
    /// APIC messages that this processor sends; the scheduler delivers them.
    pub outbox: &'a mut Vec<ApicMessage>,
}

/// One logical processor.
pub struct Cpu {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15; then the constants that address generation uses, and RIP
    /// at [`REG_RIP`].
    pub gpr: [u64; 32],
    /// RFLAGS.
    pub flags: Flags,
    /// Cycles since power-on: this processor's clock.
    pub cycles: u64,
    /// Instructions completed.
    pub instructions: u64,
    /// The block loop looks for events once `cycles` reaches this; 0 ends the present block after this instruction.
    pub block_limit: u64,
    /// How many micro-ops of the present block were left undone when it was cut short; 0 after any other.
    pub undone: usize,
    /// The translation context that plain accesses have (see [`Tlb`]).
    pub context: u64,
    /// Bases and bounds of ES, CS, SS, DS, FS and GS as the present mode applies them.
    pub seg_access: [SegmentAccess; 8],
    /// The software TLB.
    pub tlb: Tlb,
    /// Present mode.
    pub mode: Mode,
    /// Highest valid offset in CS.
    pub cs_bound: u64,
    /// What the next boundary has to look at.
    pub attention: Attention,
    /// System registers.
    pub sys: SystemState,
    /// x87, SSE and extended state.
    pub fpu: Box<FpuState>,
    /// The local APIC.
    pub lapic: Lapic,
    /// VMX operation.
    pub vmx: VmxState,
    /// The model: CPUID, MSRs, features.
    pub model: Arc<CpuModel>,
    /// The exception of the last [`Stop::Fault`].
    pub fault: Fault,
    /// Where the write half of a read-modify-write goes.
    pub rmw: RmwTarget,
    /// The [`Ram::map_epoch`] that the TLB was filled under.
    pub seen_map_epoch: u64,
    /// What the TLB has seen of [`Ram::code_epoch`].
    pub seen_code_epoch: u64,
    /// Set while an instruction runs with a limit of one (TF, shadow, breakpoints).
    pub single_step: bool,
    /// The processor stopped by MWAIT: the next turn wakes it.
    pub mwait: bool,
    /// There are other processors, and PAUSE leaves the rest of a turn to them.
    pub takes_turns: bool,
    /// PAUSE has just run.
    pub gives_way: bool,
    /// TF was set when the instruction that runs alone began.
    pub trap_after: bool,
    /// The interrupt shadow was opened by the instruction that has just run.
    pub shadow_is_new: bool,
    /// A string instruction has completed an iteration that is not its last; it sets and clears this.
    pub repeating: bool,
    /// Set by a handler that wrote RIP itself.
    pub branched: bool,
    /// `cycles` is the present instruction's own time, and not the end of a block around it.
    pub exact: bool,
    /// Cycle at which the present turn ends.
    pub turn_end: u64,
    /// The present slice has executed something.
    pub progressed: bool,
    /// The processor was found stopped, and nothing was raised since.
    pub asleep: bool,
    /// What is noted for an observer; nothing between runs.
    pub watch: Watch,
    /// What was noted and has not been told yet.
    pub observed: Vec<Observed>,
    /// The context that fast paths compare with: none that an entry has, while accesses are watched.
    pub fast_context: u64,
    /// MSRs that the model does not have read 0 and swallow writes instead of raising #GP.
    pub ignore_bad_msrs: bool,
    /// Guest-triggered log lines that were given already.
    pub logged: std::collections::BTreeSet<(&'static str, u64)>,
    /// The last exceptions, for reports; no part of the state.
    pub history: History,
}

impl Cpu {
    /// A processor after power-on. `index` 0 is the bootstrap processor.
    pub fn new(model: Arc<CpuModel>, index: u32, apic_id: u32) -> Self {
        let mut cpu = Self {
            gpr: [0; 32],
            flags: Flags::default(),
            cycles: 0,
            instructions: 0,
            block_limit: 0,
            undone: 0,
            context: 0,
            seg_access: [SegmentAccess::default(); 8],
            tlb: Tlb::default(),
            mode: Mode::default(),
            cs_bound: 0,
            attention: Attention::empty(),
            sys: SystemState::new(index, apic_id),
            fpu: Box::default(),
            lapic: Lapic::new(apic_id),
            vmx: VmxState::default(),
            model,
            fault: Fault::exception(0),
            rmw: RmwTarget::default(),
            seen_map_epoch: 0,
            seen_code_epoch: 0,
            single_step: false,
            mwait: false,
            takes_turns: false,
            gives_way: false,
            ignore_bad_msrs: false,
            trap_after: false,
            shadow_is_new: false,
            repeating: false,
            branched: false,
            exact: true,
            turn_end: 0,
            progressed: false,
            asleep: false,
            watch: Watch::empty(),
            observed: Vec::new(),
            fast_context: 0,
            logged: Default::default(),
            history: History::default(),
        };
        cpu.reset();
        cpu
    }

    /// Power-on or hard reset (SDM Vol. 3A 10.1.1). Time goes on.
    pub fn reset(&mut self) {
        let (index, apic_id, intr) = (self.sys.index, self.sys.apic_id, self.sys.intr);
        let tsc_offset = 0u64.wrapping_sub(self.cycles);
        self.sys = SystemState { tsc_offset, intr, ..SystemState::new(index, apic_id) };
        *self.fpu = FpuState::default();
        self.lapic = Lapic::new(apic_id);
        let counts = std::mem::take(&mut self.vmx.counts);
        self.vmx = VmxState { counts, ..VmxState::default() };
        self.history.set_vmx_abort(None);
        self.reset_registers();
        if index != 0 {
            self.sys.activity = super::system::Activity::WaitForSipi;
        }
        self.refresh();
    }

    /// The registers that both reset and INIT set.
    pub(crate) fn reset_registers(&mut self) {
        self.gpr = [0; 32];
        self.gpr[REG_PLUS_1G as usize] = 0x4000_0000;
        self.gpr[REG_MINUS_1G as usize] = 0u64.wrapping_sub(0x4000_0000);
        self.gpr[2] = u64::from(self.model.signature());
        self.set_rip(0xFFF0);
        self.flags.set(2);
        self.tlb.flush_all();
    }

    /// RIP (outside a block: of the next instruction; inside: of the block's first).
    #[inline(always)]
    pub fn rip(&self) -> u64 {
        self.gpr[REG_RIP as usize]
    }

    /// Sets RIP.
    #[inline(always)]
    pub fn set_rip(&mut self, rip: u64) {
        self.gpr[REG_RIP as usize] = rip;
    }

    /// Ends the instruction with a branch to `rip`, which has been checked.
    #[inline(always)]
    pub fn branch_to(&mut self, rip: u64) {
        self.gpr[REG_RIP as usize] = rip;
        self.branched = true;
    }

    /// Ends the present block after this instruction, so that the boundary looks at `attention`.
    #[inline(always)]
    pub fn leave_block(&mut self) {
        self.block_limit = 0;
    }

    /// Whether the present block ends after this instruction whatever follows in it.
    #[inline(always)]
    pub fn leaves_block(&self) -> bool {
        self.block_limit == 0
    }

    /// Asks the next boundary to look at something.
    #[inline]
    pub fn raise(&mut self, attention: Attention) {
        self.attention |= attention;
        self.asleep = false;
        self.leave_block();
    }

    /// Parks an exception.
    #[cold]
    pub fn throw<T>(&mut self, fault: Fault) -> Result<T, Stop> {
        self.fault = fault;
        Err(Stop::Fault)
    }

    /// #UD.
    #[cold]
    pub fn ud<T>(&mut self) -> Result<T, Stop> {
        self.throw(Fault::exception(vector::UD))
    }

    /// #GP with an error code (a selector, or 0).
    #[cold]
    pub fn gp<T>(&mut self, code: u32) -> Result<T, Stop> {
        self.throw(Fault::with_code(vector::GP, code))
    }

    /// Any other exception with an error code.
    #[cold]
    pub fn exception<T>(&mut self, vector: u8, code: u32) -> Result<T, Stop> {
        self.throw(Fault::with_code(vector, code))
    }

    /// #GP(0) unless CPL is 0.
    #[inline]
    pub fn require_cpl0(&mut self) -> Exec {
        if self.sys.cpl != 0 { self.gp(0) } else { Ok(()) }
    }

    /// EDX:EAX.
    #[inline]
    pub(crate) fn edx_eax(&self) -> u64 {
        self.gpr[2] << 32 | self.gpr[0] & 0xFFFF_FFFF
    }

    /// Whether a guest-triggered log line of this kind about `what` (an index, an address, ...) is to be given: once.
    pub fn log_once(&mut self, kind: &'static str, what: u64) -> bool {
        self.logged.insert((kind, what))
    }

    /// The time-stamp counter.
    pub fn tsc(&self) -> u64 {
        self.cycles.wrapping_add(self.sys.tsc_offset)
    }
}

//! From micro-ops to code of aarch64: what all templates share.
//!
//! A template either does the whole micro-op or has changed nothing when it gives way to the handler. Status flags are
//! recorded in memory as the handlers record them, so that whoever comes next finds them. The x87 FPU has no templates
//! here: its handlers are called.

mod atomic;
mod bits;
mod branch;
mod flags;
mod float;
mod int;
mod memory;
mod moves;
mod muldiv;
mod shift;
mod stack;
mod vector;

use super::enter::Thunks;
use super::registers::{BUDGET, pinned};
use crate::context::{NOTHING, Remembered, Site};
use crate::forms::{is_high, repeats, whole};
use crate::known::Known;
use crate::layout::INSTRUCTIONS;
use crate::made::{Exit, Kind, Made};
use dynasmrt::aarch64::Aarch64Relocation;
use dynasmrt::{DynamicLabel, DynasmApi, DynasmError, DynasmLabelApi, VecAssembler, dynasm};
use emu_core::block::tier::Source;
use emu_core::ir::uop::Uop;
use flags::HostFlags;
use std::cell::UnsafeCell;

/// An instruction on registers of 64 bits if `$wide`, else of 32.
macro_rules! sized {
    ($self:ident, $wide:expr, $name:ident $to:expr, $first:expr, # $number:expr) => {
        if $wide {
            dynasmrt::dynasm!($self.asm ; .arch aarch64 ; $name X($to), X($first), $number)
        } else {
            dynasmrt::dynasm!($self.asm ; .arch aarch64 ; $name W($to), W($first), $number)
        }
    };
    ($self:ident, $wide:expr, $name:ident $to:expr) => {
        if $wide {
            dynasmrt::dynasm!($self.asm ; .arch aarch64 ; $name X($to))
        } else {
            dynasmrt::dynasm!($self.asm ; .arch aarch64 ; $name W($to))
        }
    };
    ($self:ident, $wide:expr, $name:ident $to:expr, $from:expr) => {
        if $wide {
            dynasmrt::dynasm!($self.asm ; .arch aarch64 ; $name X($to), X($from))
        } else {
            dynasmrt::dynasm!($self.asm ; .arch aarch64 ; $name W($to), W($from))
        }
    };
    ($self:ident, $wide:expr, $name:ident $to:expr, $first:expr, $second:expr) => {
        if $wide {
            dynasmrt::dynasm!($self.asm ; .arch aarch64 ; $name X($to), X($first), X($second))
        } else {
            dynasmrt::dynasm!($self.asm ; .arch aarch64 ; $name W($to), W($first), W($second))
        }
    };
}
use sized;

/// An out-of-line piece that is yet to be generated.
enum Later {
    /// A template gives way to the handler of a micro-op, behind which the code goes on at `back`.
    Slow { at: DynamicLabel, index: usize, back: DynamicLabel },
    /// A branch is taken with this many micro-ops behind it, to this offset from the page's start.
    Taken { at: DynamicLabel, index: usize, to: i64 },
    /// An access is not the one that it was the last time: the TLB is asked.
    LookUp { at: DynamicLabel, found: DynamicLabel, slow: DynamicLabel, width: usize, write: bool },
    /// A micro-op that ends the block is done by its handler.
    Handler { at: DynamicLabel, index: usize },
}

/// An exit that is yet to be generated.
struct Leaving {
    kind: Kind,
    /// Offset of the branch that leads to `label`; without one, it is generated there.
    site: Option<usize>,
    label: DynamicLabel,
}

/// The generator of one block.
struct Generator<'a> {
    asm: VecAssembler<Aarch64Relocation>,
    source: &'a Source<'a>,
    thunks: &'a Thunks,
    /// Operand width of addresses and of the stack: 3 in 64-bit mode, else 2.
    word: usize,
    /// Number of its first exit.
    first_exit: u32,
    exits: Vec<Leaving>,
    sites: Box<[Site]>,
    remembered: Box<[UnsafeCell<Remembered>]>,
    /// How many accesses have been generated.
    accesses: usize,
    later: Vec<Later>,
    /// Index of the present micro-op.
    index: usize,
    /// Micro-ops without a template.
    calls: usize,
    /// That the guest may use SSE was seen, and no handler has been called since but those of SSE itself.
    has_vectors: bool,
    /// What the host's flags are at this place.
    host: HostFlags,
    /// What is known about the recorded flags at this place.
    known: Known,
    /// What is known behind the present micro-op, if that is more than its row says.
    leaves: Option<Known>,
}

/// Generates the code of a block, to be placed at `address`, as that of the compiled block `code`, whose exits are
/// numbered from `first_exit` on; `None` if the interpreter is as good.
pub fn generate(
    source: &Source,
    address: usize,
    code: u32,
    first_exit: u32,
    thunks: &Thunks,
) -> Result<Option<Made>, DynasmError> {
    if source.uops.first().is_some_and(|first| repeats(first.operation())) {
        return Ok(None);
    }
    let mut generator = Generator {
        asm: VecAssembler::new(address),
        source,
        thunks,
        word: if source.wide { 3 } else { 2 },
        first_exit,
        exits: Vec::new(),
        sites: Site::of_block(source, code),
        // Two for each micro-op at most.
        remembered: (0..2 * source.uops.len()).map(|_| UnsafeCell::new(NOTHING)).collect(),
        accesses: 0,
        later: Vec::new(),
        index: 0,
        calls: 0,
        has_vectors: false,
        host: HostFlags::None,
        known: Known::Nothing,
        leaves: None,
    };
    generator.block();
    // A call costs more than the interpreter's own way from handler to handler.
    if generator.calls * 3 > source.uops.len() {
        return Ok(None);
    }
    generator.finish().map(Some)
}

impl Generator<'_> {
    fn block(&mut self) {
        let (cost, count) = (self.source.cost, self.source.uops.len() as u64);
        let before = self.exit_label(Kind::Before);
        self.load_number(1, cost);
        dynasm!(self.asm ; .arch aarch64 ; subs X(BUDGET), X(BUDGET), x1);
        if self.source.bound == cost {
            dynasm!(self.asm ; .arch aarch64 ; b.lo =>before);
        } else {
            // The last instruction costs nothing, and must begin in time.
            dynasm!(self.asm ; .arch aarch64 ; b.ls =>before);
        }
        self.count_instructions(count.wrapping_sub(cost));
        let mut goes_on = true;
        for (index, uop) in self.source.uops.iter().enumerate() {
            self.index = index;
            goes_on = self.micro_op(uop);
            self.known = self.leaves.take().unwrap_or_else(|| self.known.behind(uop));
        }
        if goes_on {
            self.leave(Kind::End);
        }
    }

    /// Adds to the instructions what they are more than cycles. X1 and X2 are lost.
    fn count_instructions(&mut self, more: u64) {
        if more != 0 {
            let at = INSTRUCTIONS as u32;
            self.load_number(1, more);
            dynasm!(self.asm ; .arch aarch64 ; ldr x2, [x29, at] ; add x2, x2, x1 ; str x2, [x29, at]);
        }
    }

    /// Generates one micro-op; whether the code goes on behind it.
    fn micro_op(&mut self, uop: &Uop) -> bool {
        let op = uop.operation();
        if let Some(goes_on) = self.branch(op, uop) {
            return goes_on;
        }
        let done = self.integer(op, uop)
            || self.moves(op, uop)
            || self.shift(op, uop)
            || self.bits(op, uop)
            || self.atomic(op, uop)
            || self.product(op, uop)
            || self.stack(op, uop)
            || self.vector(op, uop);
        if !done {
            self.calls += 1;
            self.has_vectors = false;
            self.call_handler();
        }
        true
    }

    /// Calls the handler of the present micro-op.
    fn call_handler(&mut self) {
        let site = &raw const self.sites[self.index];
        self.load_number(4, site as u64);
        let call = self.thunks.call;
        dynasm!(self.asm ; .arch aarch64 ; bl extern call);
        self.host = HostFlags::None;
    }

    /// A label for leaving.
    fn exit_label(&mut self, kind: Kind) -> DynamicLabel {
        let label = self.asm.new_dynamic_label();
        self.exits.push(Leaving { kind, site: None, label });
        label
    }

    /// Leaves, here.
    fn leave(&mut self, kind: Kind) {
        let label = self.exit_label(kind);
        let site = self.asm.offset().0;
        dynasm!(self.asm ; .arch aarch64 ; b =>label);
        if let Some(exit) = self.exits.last_mut() {
            exit.site = Some(site);
        }
    }

    /// A template gives way to the handler at the label, and goes on at the second one.
    fn slow_path(&mut self) -> (DynamicLabel, DynamicLabel) {
        let (at, back) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        self.later.push(Later::Slow { at, index: self.index, back });
        (at, back)
    }

    /// The end of a template that may have given way: the handler comes back here.
    fn come_back(&mut self, back: DynamicLabel) {
        dynasm!(self.asm ; .arch aarch64 ; =>back);
        self.host = HostFlags::None;
    }

    fn finish(mut self) -> Result<Made, DynasmError> {
        while let Some(later) = self.later.pop() {
            match later {
                Later::Slow { at, index, back } => {
                    self.index = index;
                    dynasm!(self.asm ; .arch aarch64 ; =>at);
                    self.call_handler();
                    dynasm!(self.asm ; .arch aarch64 ; b =>back);
                }
                Later::Taken { at, index, to } => {
                    self.index = index;
                    dynasm!(self.asm ; .arch aarch64 ; =>at);
                    self.take(to);
                }
                Later::LookUp { at, found, slow, width, write } => {
                    let look_up = self.thunks.look_up[usize::from(write)][width];
                    dynasm!(self.asm
                        ; .arch aarch64
                        ; =>at
                        ; bl extern look_up
                        ; b.eq =>found
                        ; b =>slow
                    );
                }
                Later::Handler { at, index } => {
                    self.index = index;
                    dynasm!(self.asm ; .arch aarch64 ; =>at);
                    self.only_handler();
                }
            }
        }
        let leave = self.thunks.exit;
        let mut exits = Vec::new();
        for (n, Leaving { kind, site, label }) in std::mem::take(&mut self.exits).into_iter().enumerate() {
            let number = self.first_exit + n as u32;
            dynasm!(self.asm ; .arch aarch64 ; =>label);
            let site = site.unwrap_or_else(|| {
                let site = self.asm.offset().0;
                dynasm!(self.asm ; .arch aarch64 ; b >stub ; stub:);
                site
            });
            let stub = self.asm.offset().0;
            if kind == Kind::Before {
                self.load_number(1, self.source.cost);
                dynasm!(self.asm ; .arch aarch64 ; add X(BUDGET), X(BUDGET), x1);
            }
            self.load_number(0, number.into());
            dynasm!(self.asm ; .arch aarch64 ; b extern leave);
            exits.push(Exit { kind, site, stub });
        }
        Ok(Made { code: self.asm.finalize()?, exits, sites: self.sites, remembered: self.remembered })
    }

    /// Loads a number. The host's flags stay.
    fn load_number(&mut self, to: u8, number: u64) {
        let part = |n: u32| (number >> (16 * n)) as u32 & 0xFFFF;
        // Most negative numbers are made of ones.
        let inverted = (0..4).filter(|n| part(*n) == 0xFFFF).count() > (0..4).filter(|n| part(*n) == 0).count();
        let filler = if inverted { 0xFFFF } else { 0 };
        let parts: Vec<u32> = (0..4).filter(|n| part(*n) != filler).collect();
        let first = parts.first().copied().unwrap_or(0);
        let start = if inverted { !part(first) & 0xFFFF } else { part(first) };
        match (inverted, first) {
            (false, 0) => dynasm!(self.asm ; .arch aarch64 ; movz X(to), start),
            (false, 1) => dynasm!(self.asm ; .arch aarch64 ; movz X(to), start, lsl 16),
            (false, 2) => dynasm!(self.asm ; .arch aarch64 ; movz X(to), start, lsl 32),
            (false, _) => dynasm!(self.asm ; .arch aarch64 ; movz X(to), start, lsl 48),
            (true, 0) => dynasm!(self.asm ; .arch aarch64 ; movn X(to), start),
            (true, 1) => dynasm!(self.asm ; .arch aarch64 ; movn X(to), start, lsl 16),
            (true, 2) => dynasm!(self.asm ; .arch aarch64 ; movn X(to), start, lsl 32),
            (true, _) => dynasm!(self.asm ; .arch aarch64 ; movn X(to), start, lsl 48),
        }
        for n in parts.into_iter().skip(1) {
            let part = part(n);
            match n {
                1 => dynasm!(self.asm ; .arch aarch64 ; movk X(to), part, lsl 16),
                2 => dynasm!(self.asm ; .arch aarch64 ; movk X(to), part, lsl 32),
                _ => dynasm!(self.asm ; .arch aarch64 ; movk X(to), part, lsl 48),
            }
        }
    }

    /// Loads 64 bits of the processor's. The host's flags stay.
    fn load_field(&mut self, to: u8, field: i32) {
        let field = field as u32;
        dynasm!(self.asm ; .arch aarch64 ; ldr X(to), [x29, field]);
    }

    /// Stores 64 bits of the processor's. The host's flags stay.
    fn store_field(&mut self, field: i32, from: u8) {
        let field = field as u32;
        dynasm!(self.asm ; .arch aarch64 ; str X(from), [x29, field]);
    }

    /// `to` = the zero-extended low `width` of `from`. The host's flags stay.
    fn extend(&mut self, width: usize, to: u8, from: u8) {
        match width {
            3 if to == from => {}
            3 => dynasm!(self.asm ; .arch aarch64 ; mov X(to), X(from)),
            2 => dynasm!(self.asm ; .arch aarch64 ; mov W(to), W(from)),
            1 => dynasm!(self.asm ; .arch aarch64 ; ubfx W(to), W(from), 0, 16),
            _ => dynasm!(self.asm ; .arch aarch64 ; ubfx W(to), W(from), 0, 8),
        }
    }

    /// `to` = the sign-extended low `width` of `from`, 64 bits of it. The host's flags stay.
    fn sign_extend(&mut self, width: usize, to: u8, from: u8) {
        match width {
            3 => dynasm!(self.asm ; .arch aarch64 ; mov X(to), X(from)),
            2 => dynasm!(self.asm ; .arch aarch64 ; sbfx X(to), X(from), 0, 32),
            1 => dynasm!(self.asm ; .arch aarch64 ; sbfx X(to), X(from), 0, 16),
            _ => dynasm!(self.asm ; .arch aarch64 ; sbfx X(to), X(from), 0, 8),
        }
    }

    /// `to` = the zero-extended value of a guest register, of this width. The host's flags stay.
    fn copy(&mut self, register: u8, width: usize, to: u8) {
        let host = pinned(whole(register));
        if width == 0 && is_high(register) {
            dynasm!(self.asm ; .arch aarch64 ; ubfx W(to), W(host), 8, 8);
        } else {
            self.extend(width, to, host);
        }
    }

    /// A host register whose low 32 or 64 bits are those of a guest register, or `scratch` with its zero-extended value if
    /// it is narrower.
    fn read(&mut self, register: u8, width: usize, scratch: u8) -> u8 {
        if width >= 2 {
            return pinned(register);
        }
        self.copy(register, width, scratch);
        scratch
    }

    /// Sets a guest register to the low `width` of a host register, as an instruction that writes it does. The host's flags
    /// stay.
    fn set(&mut self, register: u8, width: usize, from: u8) {
        let host = pinned(whole(register));
        match width {
            3 => dynasm!(self.asm ; .arch aarch64 ; mov X(host), X(from)),
            2 => dynasm!(self.asm ; .arch aarch64 ; mov W(host), W(from)),
            1 => dynasm!(self.asm ; .arch aarch64 ; bfi X(host), X(from), 0, 16),
            _ if is_high(register) => dynasm!(self.asm ; .arch aarch64 ; bfi X(host), X(from), 8, 8),
            _ => dynasm!(self.asm ; .arch aarch64 ; bfi X(host), X(from), 0, 8),
        }
    }
}

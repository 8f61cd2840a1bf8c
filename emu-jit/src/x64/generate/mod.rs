//! From micro-ops to code of x86-64: what all templates share.
//!
//! A template either does the whole micro-op or has changed nothing when it gives way to the handler. Status flags are
//! recorded in memory as the handlers record them, so that whoever comes next finds them.

mod atomic;
mod bits;
mod branch;
mod flags;
mod int;
mod memory;
mod moves;
mod muldiv;
mod shift;
mod stack;
mod vector;
mod x87;

use super::enter::Thunks;
use super::registers::{BUDGET, PER_CYCLE, RAX, pinned, price};
use crate::context::{NOTHING, Remembered, Site};
use crate::forms::{repeats, whole};
use crate::known::Known;
use crate::layout::gpr;
use crate::made::{Exit, Kind, Made};
use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynamicLabel, DynasmApi, DynasmError, DynasmLabelApi, VecAssembler, dynasm};
use emu_core::block::tier::Source;
use emu_core::ir::uop::{REG_ZERO, Uop};
use emu_core::pmu::is_branch;
use flags::HostFlags;
use std::cell::UnsafeCell;

/// A jump or an out-of-line piece that is yet to be generated.
enum Later {
    /// A template gives way to the handler of a micro-op, behind which the code goes on at `back`.
    Slow { at: DynamicLabel, index: usize, back: DynamicLabel, restore: Option<flags::Restore> },
    /// A branch is taken with this many micro-ops behind it, to this offset from the page's start.
    Taken { at: DynamicLabel, index: usize, to: i64 },
    /// The guest's vector registers, or its x87 FPU, are not loaded: they are by this thunk, and the template runs again, or
    /// the handler in its place.
    Load { at: DynamicLabel, index: usize, thunk: usize, again: DynamicLabel, back: DynamicLabel },
    /// An access is not the one that it was the last time: the TLB is asked.
    LookUp { at: DynamicLabel, found: DynamicLabel, slow: DynamicLabel, width: usize, write: bool },
    /// A micro-op that ends the block is done by its handler.
    Handler { at: DynamicLabel, index: usize },
}

/// The generator of one block.
struct Generator<'a> {
    asm: VecAssembler<X64Relocation>,
    source: &'a Source<'a>,
    thunks: &'a Thunks,
    /// Operand width of addresses and of the stack: 3 in 64-bit mode, else 2.
    word: usize,
    /// Number of its first exit.
    first_exit: u32,
    exits: Vec<(Kind, usize, DynamicLabel)>,
    sites: Box<[Site]>,
    remembered: Box<[UnsafeCell<Remembered>]>,
    /// How many accesses have been generated.
    accesses: usize,
    later: Vec<Later>,
    /// Index of the present micro-op.
    index: usize,
    /// Micro-ops without a template.
    calls: usize,
    /// Micro-ops of the x87 FPU with a template.
    numeric: usize,
    /// The x87 FPU has templates in this block.
    has_x87: bool,
    /// CF as an instruction in memory needs it was put aside.
    carry_is_spare: bool,
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
    if source.uops.first().is_some_and(|first| repeats(first.operation())) || !is_countable(source) {
        return Ok(None);
    }
    for has_x87 in [true, false] {
        let mut generator = Generator::new(source, address, code, first_exit, thunks, has_x87);
        generator.block();
        // Each call takes the x87 FPU from the guest, and gives it back: that costs more than its templates gain.
        if generator.calls > 0 && generator.numeric > 0 {
            continue;
        }
        // A call costs more than the interpreter's own way from handler to handler.
        if generator.calls * 3 > source.uops.len() {
            return Ok(None);
        }
        return generator.finish().map(Some);
    }
    Ok(None)
}

/// Whether as far as a block goes before a branch, and as a whole, it has no more instructions than [`PER_CYCLE`] allows.
fn is_countable(source: &Source) -> bool {
    let mut cycles = 0;
    !source.priced
        || source.uops.iter().enumerate().all(|(index, uop)| {
            cycles += usize::from(uop.cost);
            index < PER_CYCLE * cycles || !(index + 1 == source.uops.len() || is_branch(uop))
        })
}

impl<'a> Generator<'a> {
    fn new(
        source: &'a Source<'a>,
        address: usize,
        code: u32,
        first_exit: u32,
        thunks: &'a Thunks,
        has_x87: bool,
    ) -> Self {
        let count = source.uops.len();
        Self {
            asm: VecAssembler::new(address),
            source,
            thunks,
            word: if source.wide { 3 } else { 2 },
            first_exit,
            exits: Vec::new(),
            sites: Site::of_block(source, code),
            // Two for each micro-op at most.
            remembered: (0..2 * count).map(|_| UnsafeCell::new(NOTHING)).collect(),
            accesses: 0,
            later: Vec::new(),
            index: 0,
            calls: 0,
            numeric: 0,
            has_x87,
            carry_is_spare: false,
            host: HostFlags::None,
            known: Known::Nothing,
            leaves: None,
        }
    }

    /// What a number of cycles and of instructions changes [`BUDGET`] by.
    fn price(&self, cycles: u64, instructions: usize) -> i32 {
        price(self.source.priced, cycles, instructions)
    }

    fn block(&mut self) {
        let Source { cost, bound, .. } = *self.source;
        let before = self.exit_label(Kind::Before);
        let taken = self.price(bound, self.source.uops.len());
        dynasm!(self.asm ; .arch x64 ; sub Rq(BUDGET), taken ; jb =>before);
        self.note_site();
        if bound != cost {
            // The last instruction costs nothing, and must begin in time.
            let back = self.price(bound - cost, 0);
            dynasm!(self.asm ; .arch x64 ; add Rq(BUDGET), back);
        }
        let mut goes_on = true;
        for (index, uop) in self.source.uops.iter().enumerate() {
            self.index = index;
            goes_on = self.micro_op(uop);
            self.known = self.leaves.take().unwrap_or_else(|| self.known.behind(uop));
        }
        if goes_on {
            let end = self.exit_label(Kind::End);
            dynasm!(self.asm ; .arch x64 ; jmp =>end);
            self.note_site();
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
            || self.vector(op, uop)
            || self.x87(op, uop);
        if !done {
            self.calls += 1;
            self.call_handler();
        }
        true
    }

    /// Calls the handler of the present micro-op.
    fn call_handler(&mut self) {
        let site = &raw const self.sites[self.index];
        let call = self.thunks.call;
        dynasm!(self.asm
            ; .arch x64
            ; mov rdx, QWORD site as i64
            ; call extern call
        );
        self.host = HostFlags::None;
    }

    /// A label for leaving; the jump to it that is generated next is what [`Generator::note_site`] notes.
    fn exit_label(&mut self, kind: Kind) -> DynamicLabel {
        let label = self.asm.new_dynamic_label();
        self.exits.push((kind, 0, label));
        label
    }

    /// The jump to the last exit has just been generated.
    fn note_site(&mut self) {
        let at = self.asm.offset().0 - 4;
        if let Some(exit) = self.exits.last_mut() {
            exit.1 = at;
        }
    }

    /// A template gives way to the handler at the label, and goes on at the second one.
    fn slow_path(&mut self) -> (DynamicLabel, DynamicLabel) {
        let (at, back) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        let restore = self.restore_behind();
        self.later.push(Later::Slow { at, index: self.index, back, restore });
        (at, back)
    }

    fn finish(mut self) -> Result<Made, DynasmError> {
        while let Some(later) = self.later.pop() {
            match later {
                Later::Slow { at, index, back, restore } => {
                    self.index = index;
                    dynasm!(self.asm ; .arch x64 ; =>at);
                    self.call_handler();
                    if let Some(restore) = restore {
                        self.restore(restore);
                    }
                    dynasm!(self.asm ; .arch x64 ; jmp =>back);
                }
                Later::Taken { at, index, to } => {
                    self.index = index;
                    dynasm!(self.asm ; .arch x64 ; =>at);
                    self.take(to);
                }
                Later::Load { at, index, thunk, again, back } => {
                    self.index = index;
                    dynasm!(self.asm
                        ; .arch x64
                        ; =>at
                        ; call extern thunk
                        ; test al, al
                        ; jnz =>again
                    );
                    self.call_handler();
                    dynasm!(self.asm ; .arch x64 ; jmp =>back);
                }
                Later::LookUp { at, found, slow, width, write } => {
                    let look_up = self.thunks.look_up[usize::from(write)][width];
                    dynasm!(self.asm
                        ; .arch x64
                        ; =>at
                        ; call extern look_up
                        ; je =>found
                        ; jmp =>slow
                    );
                }
                Later::Handler { at, index } => {
                    self.index = index;
                    dynasm!(self.asm ; .arch x64 ; =>at);
                    self.only_handler();
                }
            }
        }
        let leave = self.thunks.exit;
        let mut exits = Vec::new();
        for (n, (kind, site, label)) in std::mem::take(&mut self.exits).into_iter().enumerate() {
            let number = self.first_exit + n as u32;
            let stub = self.asm.offset().0;
            dynasm!(self.asm ; .arch x64 ; =>label);
            if kind == Kind::Before {
                let taken = self.price(self.source.bound, self.source.uops.len());
                dynasm!(self.asm ; .arch x64 ; add Rq(BUDGET), taken);
            }
            dynasm!(self.asm
                ; .arch x64
                ; mov Rd(RAX), DWORD number as i32
                ; jmp extern leave
            );
            exits.push(Exit { kind, site, stub });
        }
        Ok(Made { code: self.asm.finalize()?, exits, sites: self.sites, remembered: self.remembered })
    }

    /// A host register with the whole of a guest register: its own, or `scratch`. The host's flags stay.
    fn read(&mut self, register: u8, scratch: u8) -> u8 {
        if let Some(host) = pinned(register) {
            return host;
        }
        if register == REG_ZERO {
            dynasm!(self.asm ; .arch x64 ; mov Rd(scratch), 0);
        } else {
            dynasm!(self.asm ; .arch x64 ; mov Rq(scratch), [rbp + gpr(register)]);
        }
        scratch
    }

    /// `to` = AH, CH, DH or BH, zero-extended. The host's flags are lost.
    fn read_high(&mut self, register: u8, to: u8) {
        let host = self.read(whole(register), to);
        dynasm!(self.asm ; .arch x64 ; movzx Rd(to), Rw(host) ; shr Rd(to), BYTE 8);
        self.host = HostFlags::None;
    }

    /// A guest register, changed in the host register that [`Generator::read`] has named, has its new value.
    fn wrote(&mut self, register: u8, host: u8) {
        if pinned(register).is_none() {
            dynasm!(self.asm ; .arch x64 ; mov [rbp + gpr(register)], Rq(host));
        }
    }

    /// Sets a guest register to a value of width `width` in host register `from`, as an instruction that writes it does.
    /// RAX is lost; the host's flags stay.
    fn set(&mut self, register: u8, width: usize, from: u8) {
        match (pinned(register), width) {
            (Some(host), 3) => dynasm!(self.asm ; .arch x64 ; mov Rq(host), Rq(from)),
            (Some(host), 2) => dynasm!(self.asm ; .arch x64 ; mov Rd(host), Rd(from)),
            (Some(host), 1) => dynasm!(self.asm ; .arch x64 ; mov Rw(host), Rw(from)),
            (Some(host), _) => dynasm!(self.asm ; .arch x64 ; mov Rb(host), Rb(from)),
            (None, 3) => dynasm!(self.asm ; .arch x64 ; mov [rbp + gpr(register)], Rq(from)),
            (None, 2) => dynasm!(self.asm
                ; .arch x64
                ; mov eax, Rd(from)
                ; mov [rbp + gpr(register)], rax
            ),
            (None, 1) => dynasm!(self.asm ; .arch x64 ; mov [rbp + gpr(register)], Rw(from)),
            (None, _) => dynasm!(self.asm ; .arch x64 ; mov [rbp + gpr(register)], Rb(from)),
        }
    }

    /// `to` = the zero-extended low `width` of `from`. The host's flags stay.
    fn extend(&mut self, width: usize, to: u8, from: u8) {
        match width {
            3 => dynasm!(self.asm ; .arch x64 ; mov Rq(to), Rq(from)),
            2 => dynasm!(self.asm ; .arch x64 ; mov Rd(to), Rd(from)),
            1 => dynasm!(self.asm ; .arch x64 ; movzx Rd(to), Rw(from)),
            _ => dynasm!(self.asm ; .arch x64 ; movzx Rd(to), Rb(from)),
        }
    }
}

//! The table of handlers: a row for each operation, a column for each operand width.

use crate::exec::sse::{
    convert::*, float::*, gather::*, lanes::*, mask::*, moves::*, native::*, operands::*, select::*, status::*,
    strings::*, wide::*,
};
use crate::exec::x87::{compare::*, compute::*, control::*, environment::*, transfer::*};
use crate::exec::{atomic::*, bcd::*, bits::*, bmi::*, branch::*, cet::*, control::*, cpuid::*, far::*, fast_call::*};
use crate::exec::{flags_io::*, int::*, interrupt::*, io::*, misc::*, msr::*, muldiv::*, segment::*, shift::*};
use crate::exec::{mmx::*, stack::*, string::*, system::*, tables::*, vmx::*, xsave::*};
use crate::fault::{Exec, Stop};
use crate::for_each_op;
use crate::ir::op::{COLUMNS, FORM_COUNT, Op, ROWS};
use crate::ir::uop::Uop;
use crate::mem::access::{Any, Checked, Flat, FlatBase};
use crate::state::cpu::{Cpu, Env};

/// A handler executes one micro-op and goes on with those that follow it in the block. What it calls commits registers
/// and flags last, so that a fault leaves no trace.
pub type Handler = fn(&mut Cpu, &mut Env, &Uop, &[Uop]) -> Exec;

/// Executes `uop`, then `rest`. How many of them were not completed is in [`Cpu::undone`].
#[inline(always)]
pub fn execute(cpu: &mut Cpu, env: &mut Env, uop: &Uop, rest: &[Uop]) -> Exec {
    TABLE[uop.op as usize & (TABLE.len() - 1)](cpu, env, uop, rest)
}

/// The last step of a handler: the next one, as a jump and not a call in optimized code. A block's length bounds the
/// depth where it is a call.
#[inline(always)]
fn go_on(cpu: &mut Cpu, env: &mut Env, rest: &[Uop]) -> Exec {
    match rest.split_first() {
        Some((uop, rest)) if !cpu.leaves_block() || cpu.resume_block() => execute(cpu, env, uop, rest),
        _ => {
            cpu.scratch.undone = rest.len();
            Ok(())
        }
    }
}

/// [`go_on`] after an instruction that cannot have asked for the boundary.
#[inline(always)]
fn next(cpu: &mut Cpu, env: &mut Env, rest: &[Uop]) -> Exec {
    match rest.split_first() {
        Some((uop, rest)) => execute(cpu, env, uop, rest),
        None => Ok(()),
    }
}

#[cold]
#[inline(never)]
fn stop(cpu: &mut Cpu, rest: &[Uop], stop: Stop) -> Exec {
    cpu.scratch.undone = rest.len() + 1;
    Err(stop)
}

/// A handler around a function that executes one micro-op.
macro_rules! chain {
    ($handler:expr) => {
        (|cpu: &mut Cpu, env: &mut Env, uop: &Uop, rest: &[Uop]| match $handler(cpu, env, uop) {
            Ok(()) => go_on(cpu, env, rest),
            Err(reason) => stop(cpu, rest, reason),
        }) as Handler
    };
}

/// A handler of a register operation, which neither faults nor asks for the boundary.
macro_rules! pure {
    ($handler:expr) => {
        (|cpu: &mut Cpu, env: &mut Env, uop: &Uop, rest: &[Uop]| match $handler(cpu, env, uop) {
            Ok(()) => next(cpu, env, rest),
            Err(reason) => stop(cpu, rest, reason),
        }) as Handler
    };
}

/// A handler of an instruction that always ends its block.
macro_rules! last {
    ($handler:expr) => {
        (|cpu: &mut Cpu, env: &mut Env, uop: &Uop, rest: &[Uop]| match $handler(cpu, env, uop) {
            Ok(()) => Ok(()),
            Err(reason) => stop(cpu, rest, reason),
        }) as Handler
    };
}

/// A handler of a conditional branch, which tells whether it is taken; if not, the block goes on.
macro_rules! either {
    ($handler:expr) => {
        (|cpu: &mut Cpu, env: &mut Env, uop: &Uop, rest: &[Uop]| match $handler(cpu, env, uop) {
            Ok(false) => next(cpu, env, rest),
            Ok(true) => {
                cpu.scratch.undone = rest.len();
                Ok(())
            }
            Err(reason) => stop(cpu, rest, reason),
        }) as Handler
    };
}

/// A handler whose fast form gives up in favour of the checked one.
macro_rules! fast {
    ($handler:ident $path:ident $($type:ident)*) => {
        (|cpu: &mut Cpu, env: &mut Env, uop: &Uop, rest: &[Uop]| match $handler::<$path, $($type),*>(cpu, env, uop) {
            Ok(()) => go_on(cpu, env, rest),
            Err(_) => {
                const CHECKED: Handler = chain!($handler::<Checked, $($type),*>);
                CHECKED(cpu, env, uop, rest)
            }
        }) as Handler
    };
}

/// A column for each width.
macro_rules! widths {
    ($make:ident! $handler:ident $($kind:ident)*) => {
        [
            $make!($handler::<$($kind,)* u8>),
            $make!($handler::<$($kind,)* u16>),
            $make!($handler::<$($kind,)* u32>),
            $make!($handler::<$($kind,)* u64>),
        ]
    };
    (fast $path:ident $handler:ident $($kind:ident)*) => {
        [
            fast!($handler $path $($kind)* u8),
            fast!($handler $path $($kind)* u16),
            fast!($handler $path $($kind)* u32),
            fast!($handler $path $($kind)* u64),
        ]
    };
}

/// A row for each form.
macro_rules! row {
    (mem $handler:ident $($kind:ident)?) => {
        [
            widths!(fast Any $handler $($kind)?),
            widths!(fast Flat $handler $($kind)?),
            widths!(fast FlatBase $handler $($kind)?),
            [UNDEFINED; COLUMNS],
        ]
    };
    (lea $handler:ident) => {
        [
            widths!(pure! $handler Any),
            widths!(pure! $handler Flat),
            widths!(pure! $handler FlatBase),
            [UNDEFINED; COLUMNS],
        ]
    };
    (alu $handler:ident $kind:ident) => {
        [
            widths!(pure! $handler WithFlags $kind),
            widths!(pure! $handler WithFlags $kind),
            widths!(pure! $handler WithFlags $kind),
            widths!(pure! $handler WithoutFlags $kind),
        ]
    };
    ($($columns:tt)*) => {
        [same!($($columns)*); FORM_COUNT]
    };
}

/// The same row for every form.
macro_rules! same {
    (all $handler:ident $($kind:ident)?) => {
        widths!(chain! $handler $($kind)?)
    };
    (reg $handler:ident $($kind:ident)?) => {
        widths!(pure! $handler $($kind)?)
    };
    (branch $handler:ident $($kind:ident)?) => {
        widths!(either! $handler $($kind)?)
    };
    (end $handler:ident $($kind:ident)?) => {
        widths!(last! $handler $($kind)?)
    };
    (wide $handler:ident) => {
        [UNDEFINED, UNDEFINED, chain!($handler::<u32>), chain!($handler::<u64>)]
    };
    (wide $handler:ident $kind:ident) => {
        [UNDEFINED, UNDEFINED, chain!($handler::<$kind, u32>), chain!($handler::<$kind, u64>)]
    };
    (enc $handler:ident) => {
        [
            chain!($handler::<Legacy>),
            chain!($handler::<Vex128>),
            chain!($handler::<Vex256>),
            chain!($handler::<Evex>),
        ]
    };
    (enc $handler:ident $kind:ident) => {
        [
            chain!($handler::<$kind, Legacy>),
            chain!($handler::<$kind, Vex128>),
            chain!($handler::<$kind, Vex256>),
            chain!($handler::<$kind, Evex>),
        ]
    };
    (one $handler:ident) => {
        [chain!($handler); 4]
    };
    (one $handler:ident $kind:ident) => {
        [chain!($handler::<$kind>); 4]
    };
}

const UNDEFINED: Handler = chain!(undefined);

macro_rules! table {
    ($($name:ident = $columns:ident $handler:ident $($kind:ident)? $([$($flags:ident)*])?;)*) => {
        static ROW_TABLE: [[[Handler; COLUMNS]; FORM_COUNT]; Op::ALL.len()] = [$(row!($columns $handler $($kind)?),)*];
    };
}

for_each_op!(table);

/// All handlers: for each form [`ROWS`] rows of four, the rest undefined.
pub static TABLE: [Handler; FORM_COUNT * ROWS * COLUMNS] = {
    let mut table: [Handler; FORM_COUNT * ROWS * COLUMNS] = [UNDEFINED; FORM_COUNT * ROWS * COLUMNS];
    let mut row = 0;
    while row < ROW_TABLE.len() {
        let mut form = 0;
        while form < FORM_COUNT {
            let mut column = 0;
            while column < COLUMNS {
                table[(form * ROWS + row) * COLUMNS + column] = ROW_TABLE[row][form][column];
                column += 1;
            }
            form += 1;
        }
        row += 1;
    }
    table
};

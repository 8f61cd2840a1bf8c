//! SSE, AVX and AVX-512: what their instructions share – availability, operands, writing of results.
//!
//! An operation is written once, for a 128-bit lane, as a row of a table ([`integer`], [`float`]); a handler of this
//! folder applies it to the lanes of a legacy-SSE, VEX.128, VEX.256 or EVEX form, which are the four columns of a row
//! in [`crate::exec::table::TABLE`].

pub mod convert;
pub mod crypto;
pub mod element;
pub mod float;
pub mod gather;
pub mod integer;
pub mod lanes;
pub mod logic;
pub mod mask;
pub mod memory;
pub mod moves;
pub mod native;
pub mod operands;
pub mod scaled;
pub mod select;
pub mod status;
pub mod strings;
pub mod ternary;
pub mod wide;

/// The functions of operations in the order of their numbers, from tables of rows; not to have a row for each, or to have
/// two, does not compile.
macro_rules! by_number {
    ($operation:ident, $tables:expr) => {
        const {
            let tables: &[&[_]] = &$tables;
            let mut functions = [tables[0][0].1; $operation::ALL.len()];
            let mut rows = [0; $operation::ALL.len()];
            let mut table = 0;
            while table < tables.len() {
                let mut row = 0;
                while row < tables[table].len() {
                    let number = tables[table][row].0 as usize;
                    functions[number] = tables[table][row].1;
                    rows[number] += 1;
                    row += 1;
                }
                table += 1;
            }
            let mut number = 0;
            while number < rows.len() {
                assert!(rows[number] == 1, "an operation has no row, or more than one");
                number += 1;
            }
            functions
        }
    };
}
use by_number;

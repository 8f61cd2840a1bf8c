//! Last branch records (SDM Vol. 3B 18.4, "Last Branch, Interrupt, and Exception Recording Overview", to 18.12; chapter 19,
//! "Last Branch Records").

#[path = "../common/mod.rs"]
mod common;
mod control;
mod filters;
mod kinds;
mod registers;

use common::*;
use emu_core::model::CpuModel;
use emu_core::run::RunExit;
use emu_core::state::lbr::Lbr;
use emu_core::testing::Bench;
use emu_vmx::arch::msr::*;
use std::sync::Arc;

/// A model of each kind of records: linear addresses; offsets with flags; with call-stack mode; with registers for flags and
/// cycles; the architectural ones.
const KINDS: [&str; 5] = ["penryn", "corei5_arrandale_m520", "haswell", "skylake_sp", "max"];

/// IA32_LBR_CTL: LBREn, OS, USR, and all branches.
const EVERYTHING: u64 = 0x7F_0007;

/// The processor becomes one of that model, with no records.
fn become_model(bench: &mut Bench, name: &str) {
    let model = CpuModel::of_spec(name).expect("there is such a model");
    *bench.cpu.lbr = Lbr::new(model.lbr());
    bench.cpu.config.model = Arc::new(model);
    bench.cpu.changed_from_outside();
}

fn try_set(bench: &mut Bench, number: u32, value: u64) -> bool {
    bench.with_env(|cpu, env| cpu.write_msr(env, number, value)).is_ok()
}

#[track_caller]
fn set(bench: &mut Bench, number: u32, value: u64) {
    assert!(try_set(bench, number, value), "{number:#x} = {value:#x} is #GP");
}

#[track_caller]
fn get(bench: &Bench, number: u32) -> u64 {
    bench.cpu.read_msr_quiet(number).unwrap_or_else(|| panic!("{number:#x} is #GP"))
}

fn is_architectural(bench: &Bench) -> bool {
    bench.cpu.read_msr_quiet(IA32_LBR_CTL).is_some()
}

/// Records everything from now on.
fn record(bench: &mut Bench) {
    match is_architectural(bench) {
        true => set(bench, IA32_LBR_CTL, EVERYTHING),
        false => set(bench, IA32_DEBUGCTL, 1),
    }
}

/// Where a record says it came from, went to, and what else; by the registers, the newest first.
fn records(bench: &Bench) -> Vec<(u64, u64, u64)> {
    let lbr = *bench.cpu.config.model.lbr().expect("the model has records");
    let depth = if lbr.is_architectural() { get(bench, IA32_LBR_DEPTH) as u32 } else { lbr.entries.into() };
    let number = |age: u32| match lbr.is_architectural() {
        true => age,
        false => (get(bench, MSR_LASTBRANCH_TOS) as u32 + depth - age) % depth,
    };
    let info = |n: u32| if lbr.info == 0 { 0 } else { get(bench, lbr.info + n) };
    let all = (0..depth).map(number).map(|n| (get(bench, lbr.from + n), get(bench, lbr.to + n), info(n)));
    all.take_while(|record| (record.0, record.1) != (0, 0)).collect()
}

/// Their addresses, the oldest first.
fn branches(bench: &Bench) -> Vec<(u64, u64)> {
    records(bench).iter().rev().map(|record| (record.0, record.1)).collect()
}

#[track_caller]
fn halts(bench: &mut Bench) {
    assert_eq!(bench.run(100_000), RunExit::Stopped, "RIP {:#x}", bench.cpu.rip());
}

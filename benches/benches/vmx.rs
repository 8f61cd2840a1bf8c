//! VM entries, VM exits, and page walks under EPT.

mod settings;

use benches::{guest, round, time_rounds};
use criterion::{Criterion, Throughput};
use emu_vmx::checks::{CheckContext, EntryMoment, check};
use emu_vmx::entry::EntryPlan;
use std::hint::black_box;

fn entry(c: &mut Criterion) {
    let bench = guest(&[], true);
    let model = bench.cpu.config.model.vmx().expect("the default model has VMX").clone();
    let vmcs = bench.cpu.vmx.current().expect("a VMCS is current");
    let now = EntryMoment { current_vmcs: bench.cpu.vmx.current, ..EntryMoment::default() };
    let context = || CheckContext::new(black_box(vmcs), &model.caps, &model.facts, &now);
    if let Err(rule) = check(&context()) {
        panic!("the VMCS is to pass: {}", rule.explain(&context()));
    }
    let mut group = c.benchmark_group("entry");
    group.bench_function("all checks of a VMCS that passes", |b| b.iter(|| check(&context())));
    let (cr0, efer) = (bench.cpu.sys.cr0.bits(), bench.cpu.sys.efer);
    group.bench_function("the plan", |b| b.iter(|| EntryPlan::new(black_box(vmcs), cr0, efer)));
    group.finish();
}

fn exit(c: &mut Criterion) {
    let mut group = c.benchmark_group("exit");
    let cpuid = round(&[0x0F, 0xA2]);
    for (name, ept) in [("CPUID and back", false), ("CPUID and back, EPT and VPID", true)] {
        let mut bench = guest(&cpuid, ept);
        group.bench_function(name, |b| b.iter_custom(|n| time_rounds(&mut bench, n)));
    }
    group.finish();
}

fn walk(c: &mut Criterion) {
    let pages = |page: u32| {
        let at = (page * 0x1000).to_le_bytes();
        // invlpg [rsi + page]; mov rax, [rsi + page]
        [&[0x0F, 0x01, 0xBE][..], &at, &[0x48, 0x8B, 0x86], &at].concat()
    };
    let body: Vec<u8> = (0..16).flat_map(pages).collect();
    let code = round(&body);
    let mut group = c.benchmark_group("walk");
    group.throughput(Throughput::Elements(16));
    for (name, ept) in [("INVLPG and load in a guest", false), ("INVLPG and load in a guest, EPT of 4 KiB pages", true)]
    {
        let mut bench = guest(&code, ept);
        group.bench_function(name, |b| b.iter_custom(|n| time_rounds(&mut bench, n)));
    }
    group.finish();
}

fn main() {
    settings::run(&[entry, exit, walk]);
}

//! Which branches are recorded (SDM Vol. 3B 18.7.2, "Filtering of Last Branch Records"; 18.9, call-stack mode; 19.1.2).

use super::*;
use emu_core::state::system::Activity;

/// One branch of each kind at CPL 0: jz, jmp rel, jmp r, call rel, call r, ret, int3. Then the handler's HLT.
const TOUR: &[u8] = &[
    0x31, 0xC0, 0x74, 0x00, // xor eax,eax; jz
    0xEB, 0x00, // jmp
    0x48, 0x8D, 0x1D, 2, 0, 0, 0, 0xFF, 0xE3, // lea rbx,[rip+2]; jmp rbx
    0xE8, 1, 0, 0, 0, 0x90, // call, over a nop
    0x48, 0x8D, 0x1D, 2, 0, 0, 0, 0xFF, 0xD3, // lea rbx,[rip+2]; call rbx
    0x48, 0x8D, 0x1D, 2, 0, 0, 0, 0x53, 0xC3, // lea rbx,[rip+2]; push rbx; ret
    0xCC, // int3
];

/// Where they are.
const PLACES: [u64; 7] = [2, 4, 13, 15, 28, 38, 39];

/// Bits of MSR_LBR_SELECT, of IA32_LBR_CTL, and IA32_LBR_x_INFO.BR_TYPE, for the kinds of the tour.
const BITS: [(u64, u64, u64); 7] = [
    (1 << 2, 1 << 16, 0),
    (1 << 7, 1 << 17, 2),
    (1 << 6, 1 << 18, 1),
    (1 << 3, 1 << 19, 4),
    (1 << 4, 1 << 20, 3),
    (1 << 5, 1 << 21, 5),
    (1 << 8, 1 << 22, 8),
];

fn tour(model: &str) -> Bench {
    let mut bench = long(TOUR);
    become_model(&mut bench, model);
    bench
}

/// The places of what was recorded.
fn places(bench: &Bench) -> Vec<u64> {
    branches(bench).iter().map(|branch| branch.0 - START).collect()
}

#[test]
fn lbr_select_leaves_out_the_kinds_of_its_bits() {
    for model in ["corei5_arrandale_m520", "sandy_bridge", "haswell", "skylake_sp", "ice_lake", "tiger_lake"] {
        for set_bits in (0..1 << BITS.len()).step_by(3) {
            let chosen = |n: &usize| set_bits >> n & 1 != 0;
            let select = BITS.iter().enumerate().filter(|(n, _)| chosen(n)).fold(0, |all, (_, bits)| all | bits.0);
            let mut bench = tour(model);
            set(&mut bench, MSR_LBR_SELECT, select);
            record(&mut bench);
            halts(&mut bench);
            let left: Vec<u64> = (0..BITS.len()).filter(|n| !chosen(n)).map(|n| PLACES[n]).collect();
            assert_eq!(places(&bench), left, "{model}: {select:#x}");
        }
    }
}

#[test]
fn lbr_ctl_records_the_kinds_of_its_bits_and_tells_them() {
    for model in ["max", "sapphire_rapids", "wildcat_lake"] {
        for set_bits in 0..1u32 << BITS.len() {
            let chosen = |n: &usize| set_bits >> n & 1 != 0;
            let control = BITS.iter().enumerate().filter(|(n, _)| chosen(n)).fold(0, |all, (_, bits)| all | bits.1);
            let mut bench = tour(model);
            set(&mut bench, IA32_LBR_CTL, control | 7);
            halts(&mut bench);
            let left: Vec<usize> = (0..BITS.len()).filter(chosen).collect();
            assert_eq!(places(&bench), left.iter().map(|n| PLACES[*n]).collect::<Vec<_>>(), "{model}: {control:#x}");
            let types: Vec<u64> = records(&bench).iter().rev().map(|record| record.2 >> 56 & 0xF).collect();
            assert_eq!(types, left.iter().map(|n| BITS[*n].2).collect::<Vec<_>>(), "{model}: {control:#x}");
        }
    }
}

/// sysret to CPL 3, where a jmp and a syscall are; at CPL 0 then a jmp and HLT.
fn both_levels(model: &str) -> Bench {
    let mut bench = long(&[0x48, 0x0F, 0x07]);
    become_model(&mut bench, model);
    let code = 0x68 | 3;
    set_descriptor(&mut bench, code, descriptor(0, 0xFFFF_FFFF, 0xA0FB));
    bench.ram.dma_write(START + 0x10, &[0xEB, 0x00, 0x0F, 0x05]);
    bench.ram.dma_write(START + 0x20, &[0xEB, 0x00, 0xF4]);
    bench.cpu.sys.syscall = [0x0058 << 48 | u64::from(CODE64) << 32, START + 0x20, 0, 0];
    (bench.cpu.gpr[1], bench.cpu.gpr[11]) = (START + 0x10, 2);
    bench
}

/// SDM Vol. 3B 18.7.2 "Filtering of Last Branch Records": the level that a branch leads to counts.
#[test]
fn levels_are_left_out_by_lbr_select() {
    let all = [(0, 0x10), (0x10, 0x12), (0x12, 0x20), (0x20, 0x22)];
    for model in ["corei5_arrandale_m520", "sandy_bridge", "haswell", "skylake_sp"] {
        for (select, expected) in [(0, &all[..]), (1, &all[..2]), (2, &all[2..]), (3, &[])] {
            let mut bench = both_levels(model);
            set(&mut bench, MSR_LBR_SELECT, select);
            record(&mut bench);
            halts(&mut bench);
            let found: Vec<_> = branches(&bench).iter().map(|b| (b.0 - START, b.1 - START)).collect();
            assert_eq!(found, expected, "{model}: {select}");
        }
    }
}

/// SDM Vol. 3B 19.1.2.3 "CPL Filtering": a branch from a level that is filtered out to one that is not has no source.
#[test]
fn levels_are_chosen_by_lbr_ctl_and_a_source_at_another_is_hidden() {
    let hidden = u64::MAX.wrapping_sub(START);
    let cases: [(u64, &[(u64, u64)]); 4] = [
        (6, &[(0, 0x10), (0x10, 0x12), (0x12, 0x20), (0x20, 0x22)]),
        (2, &[(hidden, 0x20), (0x20, 0x22)]),
        (4, &[(hidden, 0x10), (0x10, 0x12)]),
        (0, &[]),
    ];
    for (levels, expected) in cases {
        let mut bench = both_levels("max");
        set(&mut bench, IA32_LBR_CTL, 0x7F_0001 | levels);
        halts(&mut bench);
        let found: Vec<_> = branches(&bench).iter().map(|b| (b.0.wrapping_sub(START), b.1 - START)).collect();
        assert_eq!(found, expected, "{levels}");
    }
}

/// SDM Vol. 3B 18.9 "Last Branch, Call Stack, Interrupt, and Exception Recording for Processors Based on Haswell
/// Microarchitecture": returns take away what calls have recorded, and calls to the next instruction are none.
#[test]
fn call_stack_mode_keeps_the_calls_that_have_not_returned() {
    // call f; hlt. f: call g; call +0; hlt. g: jmp; call h; ret. h: ret
    let code = [
        &[0xE8, 1, 0, 0, 0, 0xF4][..],
        &[0xE8, 6, 0, 0, 0, 0xE8, 0, 0, 0, 0, 0xF4],
        &[0xEB, 0x00, 0xE8, 1, 0, 0, 0, 0xC3, 0xC3],
    ]
    .concat();
    for model in ["haswell", "skylake_sp", "ice_lake", "tiger_lake", "max", "sapphire_rapids"] {
        let mut bench = long(&code);
        become_model(&mut bench, model);
        match is_architectural(&bench) {
            true => set(&mut bench, IA32_LBR_CTL, 0xF | 0x38_0000),
            false => {
                set(&mut bench, MSR_LBR_SELECT, 0x3C4);
                set(&mut bench, IA32_DEBUGCTL, 1);
            }
        }
        halts(&mut bench);
        assert_eq!(bench.cpu.rip(), START + 17, "{model}");
        assert_eq!(branches(&bench), [(START, START + 6)], "{model}");
    }
    let mut bench = long(&[]);
    become_model(&mut bench, "sandy_bridge");
    assert!(!try_set(&mut bench, MSR_LBR_SELECT, 1 << 9), "it came with Haswell");
}

#[test]
fn stack_keeps_as_many_as_it_has_and_the_newest_is_at_its_top() {
    // mov ecx,100; l: dec ecx; jmp to the jnz; jnz l; hlt
    let code = [0xB9, 100, 0, 0, 0, 0xFF, 0xC9, 0xEB, 0x00, 0x75, 0xFA, 0xF4];
    for model in CpuModel::names() {
        let mut bench = long(&code);
        become_model(&mut bench, model);
        record(&mut bench);
        halts(&mut bench);
        let entries = usize::from(bench.cpu.config.model.lbr().expect("it has records").entries);
        let found = records(&bench);
        assert_eq!(found.len(), entries, "{model}");
        for (age, record) in found.iter().enumerate() {
            let expected = if age % 2 == 0 { (START + 7, START + 9) } else { (START + 9, START + 5) };
            assert_eq!((record.0, record.1), expected, "{model}: {age}");
        }
        if !is_architectural(&bench) {
            // 199 records from 0 on, of which the first has gone to 1.
            assert_eq!(get(&bench, MSR_LASTBRANCH_TOS), 199 % entries as u64, "{model}");
        }
    }
}

/// SDM Vol. 3B 19.1.1: IA32_LBR_0 is the newest, whatever the depth.
#[test]
fn architectural_records_are_as_many_as_the_depth_says() {
    // mov ecx,50; l: dec ecx; jnz l; hlt
    let code = [0xB9, 50, 0, 0, 0, 0xFF, 0xC9, 0x75, 0xFC, 0xF4];
    for depth in [8, 16, 32] {
        let mut bench = long(&code);
        become_model(&mut bench, "max");
        set(&mut bench, IA32_LBR_DEPTH, depth);
        record(&mut bench);
        halts(&mut bench);
        let first = records(&bench);
        assert_eq!(first.len() as u64, depth);
        // int3 comes on top, and everything else is one older.
        bench.ram.dma_write(START + 10, &[0xCC]);
        bench.cpu.set_rip(START + 10);
        bench.cpu.sys.activity = Activity::Active;
        bench.cpu.changed_from_outside();
        halts(&mut bench);
        let second = records(&bench);
        assert_eq!((second[0].0, second[0].1), (START + 10, HANDLERS + 3));
        assert_eq!(second[1..], first[..first.len() - 1]);
    }
}

//! What the BIOS's power-on self test leaves for an operating system: processors and tables.

use emu_core::model::CpuModel;
use emu_core::state::system::Activity;
use emu_devices::pc::Pc;
use emu_vmx::arch::segment::SegmentRegister;

const MIB: u64 = 1 << 20;

/// A machine after POST, with nothing to boot.
fn booted(model: &str, processors: u32, memory: u64) -> Pc {
    let model = CpuModel::named(model).expect("a model");
    let mut pc = Pc::builder().model(model).processors(processors).memory(memory).build().expect("a PC");
    after_post(&mut pc);
    pc
}

fn after_post(pc: &mut Pc) {
    pc.run_for(10_000_000);
    assert_eq!(pc.cpus[0].sys.activity, Activity::Hlt, "the BIOS is done");
}

fn register(pc: &Pc, processor: usize, name: &str) -> u64 {
    pc.register(processor, name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn bytes(pc: &Pc, at: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    pc.read_physical(at, &mut bytes).expect("memory");
    bytes
}

fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// SDM Vol. 3C 24.7 "Enabling and Entering VMX Operation"; Vol. 3A 12.11 "Memory Type Range Registers (MTRRs)"; 10.1.2
/// "Processor State After Reset"; 10.2 "x87 FPU Initialization"; 12.5.3 "Preventing Caching".
fn check_processors(pc: &Pc, model: &str, feature_control: u64) {
    for n in 0..pc.cpus.len() {
        let get = |name: &str| register(pc, n, name);
        let fpu = &pc.cpus[n].fpu;
        assert_eq!((fpu.control, fpu.status, fpu.tags), (0x037F, 0, 0), "{model}, processor {n}");
        assert_eq!(get("IA32_FEATURE_CONTROL"), feature_control, "{model}, processor {n}");
        assert_eq!(get("CR0") & 0x6000_0000, 0, "{model}, processor {n}: CD and NW");
        assert_eq!(get("IA32_MTRR_DEF_TYPE"), 0xC06, "{model}, processor {n}");
        assert_eq!(get("IA32_MTRR_FIX64K_00000"), 0x0606_0606_0606_0606);
        assert_eq!(get("IA32_MTRR_FIX16K_80000"), 0x0606_0606_0606_0606);
        assert_eq!(get("IA32_MTRR_FIX16K_A0000"), 0);
        for area in ["C0000", "C8000", "D0000", "D8000", "E0000", "E8000", "F0000", "F8000"] {
            assert_eq!(get(&format!("IA32_MTRR_FIX4K_{area}")), 0x0505_0505_0505_0505);
        }
        assert_eq!(get("IA32_MTRR_PHYSBASE0"), 0xC000_0000);
        let width = pc.cpus[n].config.model.physical_bits();
        assert_eq!(get("IA32_MTRR_PHYSMASK0"), (1 << width) - (1 << 30) + 0x800, "{model}: 1 GiB");
        assert!((1..8).all(|range| get(&format!("IA32_MTRR_PHYSMASK{range}")) == 0));
    }
}

#[test]
fn processors_after_post_have_x87_caches_mtrrs_and_vmx_ready() {
    for model in CpuModel::names() {
        for processors in [1, 4] {
            check_processors(&booted(model, processors, 64 * MIB), model, 5);
        }
    }
}

#[test]
fn feature_control_stays_unlocked_and_0_when_asked() {
    let mut pc = Pc::builder().processors(2).memory(64 * MIB).vmx_unlocked().build().expect("a PC");
    after_post(&mut pc);
    check_processors(&pc, "unlocked", 0);
}

#[test]
fn post_after_reset_and_after_init_leaves_the_same() {
    let mut pc = booted("max", 2, 64 * MIB);
    pc.reset();
    after_post(&mut pc);
    check_processors(&pc, "reset", 5);
    // INIT leaves the MSRs, and with them what is locked (SDM Vol. 3A, "Processor State After Reset").
    pc.write_physical(0x7C00, &[0xB0, 0xFE, 0xE6, 0x64, 0xF4]).expect("RAM"); // mov al,0FEh; out 64h,al; hlt
    let cs = &mut pc.cpus[0].sys.segments[SegmentRegister::Cs as usize];
    (cs.selector, cs.base) = (0, 0);
    pc.set_register(0, "RIP", 0x7C00).expect("RIP");
    after_post(&mut pc);
    assert_eq!(register(&pc, 0, "CS"), 0xF000);
    check_processors(&pc, "INIT", 5);
}

/// The RSDP's address, and the tables that the RSDT and the XSDT both point to.
fn acpi(pc: &Pc) -> (u64, Vec<Vec<u8>>) {
    let area = bytes(pc, 0xE_0000, 0x2_0000);
    let found: Vec<usize> = (0..area.len() - 8).filter(|&at| area[at..].starts_with(b"RSD PTR ")).collect();
    assert_eq!(found.len(), 1, "{found:x?}");
    let rsdp = &area[found[0]..][..36];
    assert_eq!((sum(&rsdp[..20]), sum(rsdp), found[0] % 16), (0, 0, 0));
    let table = |at: u64| {
        let size = number(&bytes(pc, at + 4, 4), 0, 4) as usize;
        let table = bytes(pc, at, size);
        if table.starts_with(b"FACS") {
            return table;
        }
        assert_eq!(sum(&table), 0, "{}", String::from_utf8_lossy(&table[..4]));
        table
    };
    let entries = |root: Vec<u8>, size: usize| -> Vec<u64> {
        root[36..].chunks(size).map(|entry| number(entry, 0, size)).collect()
    };
    let all = entries(table(number(rsdp, 16, 4)), 4);
    assert_eq!(entries(table(number(rsdp, 24, 8)), 8), all);
    let mut tables: Vec<Vec<u8>> = all.into_iter().map(&table).collect();
    let fadt = tables.iter().find(|table| table.starts_with(b"FACP")).expect("a FADT").clone();
    tables.extend([36, 40].map(|at| table(number(&fadt, at, 4))));
    (0xE_0000 + found[0] as u64, tables)
}

#[test]
fn acpi_tables_after_post_are_whole_and_name_the_boards_devices() {
    let (_, tables) = acpi(&booted("max", 2, 64 * MIB));
    let dsdt = tables.iter().find(|table| table.starts_with(b"DSDT")).expect("a DSDT");
    // PNP0A03, 0000, 0100, 0200, 0303, 0F13, 0800, 0B00, 0C04, 0700, 0501, 0C02, 0103.
    for id in [0x0A03u16, 0, 0x100, 0x200, 0x303, 0xF13, 0x800, 0xB00, 0xC04, 0x700, 0x501, 0xC02, 0x103] {
        let [high, low] = id.to_be_bytes();
        let name = [b'_', b'H', b'I', b'D', 0x0C, 0x41, 0xD0, high, low];
        assert!(dsdt.windows(name.len()).any(|window| window == name), "PNP{id:04X}");
    }
    assert!(dsdt.windows(6).any(|window| window == b"_STA\x0A\x0F"), "the HPET is there");
}

#[test]
fn tables_that_would_not_be_valid_are_not_there() {
    // Below 2 MiB there is no room for ACPI tables.
    let pc = booted("max", 1, MIB);
    for start in [0xE_0000, 0xFFFF_0000u64] {
        let area = bytes(&pc, start, if start < MIB { 0x2_0000 } else { 0x1_0000 });
        assert!(!area.windows(8).any(|window| window == b"RSD PTR "), "{start:#x}");
    }
    // The ROM below 4 GiB is no second place of anything.
    let rom = bytes(&booted("max", 1, 64 * MIB), 0xFFFF_0000, 0x1_0000);
    for anchor in [&b"RSD PTR "[..], b"_SM_", b"_DMI_", b"_MP_", b"$PIR"] {
        assert!(!rom.windows(anchor.len()).any(|window| window == anchor), "{anchor:?}");
    }
}

/// A structure of the SMBIOS table: its formatted part and its strings.
type Structure = (Vec<u8>, Vec<String>);

/// The structures of the SMBIOS table (DMTF DSP0134 5.2.1 "SMBIOS 2.1 (32-bit) Entry Point", 6.1.2 "Structure header
/// format", 6.1.3 "Text strings").
fn smbios(pc: &Pc) -> Vec<Structure> {
    let area = bytes(pc, 0xF_0000, 0x1_0000);
    let at = (0..area.len()).step_by(16).find(|&at| area[at..].starts_with(b"_SM_")).expect("an entry point");
    let entry = &area[at..][..31];
    assert_eq!((entry[5], sum(entry), &entry[16..21], sum(&entry[16..])), (31, 0, &b"_DMI_"[..], 0));
    let (start, size, count) = (number(entry, 24, 4), number(entry, 22, 2), number(entry, 28, 2));
    let table = bytes(pc, start, size as usize);
    let (mut all, mut rest) = (Vec::new(), &table[..]);
    while !rest.is_empty() {
        let (formatted, behind) = rest.split_at(usize::from(rest[1]));
        let end = behind.windows(2).position(|pair| pair == [0, 0]).expect("an end") + 2;
        let strings = behind[..end - 2].split(|&byte| byte == 0).filter(|string| !string.is_empty());
        all.push((formatted.to_vec(), strings.map(|string| String::from_utf8_lossy(string).into_owned()).collect()));
        assert!(formatted.len() + end <= number(entry, 8, 2) as usize, "the longest structure");
        rest = &behind[end..];
    }
    assert_eq!(all.len() as u64, count);
    let mut handles: Vec<u64> = all.iter().map(|(structure, _)| number(structure, 2, 2)).collect();
    handles.sort_unstable();
    handles.dedup();
    assert_eq!(handles.len() as u64, count, "handles are unique");
    all
}

fn of_type(all: &[Structure], kind: u8) -> Vec<&Structure> {
    all.iter().filter(|(structure, _)| structure[0] == kind).collect()
}

#[test]
fn smbios_tables_after_post_describe_the_machine() {
    let all = smbios(&booted("corei5_arrandale_m520", 4, 64 * MIB));
    let kinds: Vec<u8> = all.iter().map(|(structure, _)| structure[0]).collect();
    assert_eq!(kinds, [0, 1, 3, 4, 16, 17, 19, 32, 127]);
    assert_eq!(all[1].1[..2], ["rvmx-emu", "PC (i440FX, PIIX3)"]);
    let (processor, strings) = &all[3];
    assert_eq!(processor[35..38], [2, 2, 4], "cores, enabled cores, threads");
    assert_eq!(strings[..], ["CPU", "GenuineIntel", "Intel(R) Core(TM) i5 CPU       M 520  @ 2.40GHz"]);
    assert_eq!(number(processor, 8, 4), 0x0002_0652);
    assert_eq!(number(&all[5].0, 12, 2), 64, "MiB");
    assert_eq!((number(&all[6].0, 4, 4), number(&all[6].0, 8, 4)), (0, 64 * 1024 - 1), "KiB");
}

#[test]
fn smbios_tables_tell_packages_and_memory_above_4_gib() {
    let all = smbios(&booted("corei5_arrandale_m520", 10, 5 << 30));
    let packages: Vec<&[u8]> = of_type(&all, 4).iter().map(|(structure, _)| &structure[35..38]).collect();
    assert_eq!(packages, [[2, 2, 4], [2, 2, 4], [1, 1, 2]]);
    let device = &of_type(&all, 17)[0].0;
    assert_eq!(number(device, 12, 2), 5 * 1024);
    let ranges: Vec<(u64, u64)> =
        of_type(&all, 19).iter().map(|(range, _)| (number(range, 4, 4), number(range, 8, 4))).collect();
    assert_eq!(ranges, [(0, 0x2F_FFFF), (0x40_0000, 0x40_0000 + (2 << 20) - 1)]);
    // What finds no room is left out, and the table stays whole.
    assert!((30..=63).contains(&of_type(&smbios(&booted("corei5_arrandale_m520", 254, 64 * MIB)), 4).len()));
}

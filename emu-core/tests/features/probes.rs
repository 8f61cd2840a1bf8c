//! Pieces of code that show whether a processor has an item.

use emu_core::model::controls::Word;
use emu_core::model::features::{Feature, Register};
use emu_core::model::{CpuModel, Item};
use emu_core::msr;
use emu_vmx::arch::msr::*;
use emu_vmx::caps::{EptVpidCap, VmxCapabilities};
use emu_vmx::field::{Field, FieldSet};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Where a probe runs, as test-images/roms/features.asm has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// 32-bit protected mode without paging.
    Protected = 0,
    /// 64-bit mode.
    Long = 1,
    /// VMX root operation with a current VMCS.
    Vmx = 2,
}

/// A piece of code.
#[derive(Debug, Clone)]
pub struct Probe {
    pub mode: Mode,
    pub code: Vec<u8>,
    /// What the ROM writes where the item is not there: any of these characters.
    pub absent: &'static str,
    /// It looks at nothing but the bit that tells of the item.
    pub tells: bool,
    /// What shows where the item is there depends on what else is.
    pub loose: bool,
    pub what: String,
}

/// #UD, #GP and #PF as the ROM writes them.
const UD: &str = "G";
const GP: &str = "N";
const PF: &str = "O";

/// Items that are seen by nothing but the bits that tell of them, and why that is so.
pub const ONLY_TOLD: &[(&str, &str)] = &[
    ("it speaks of speed", "erms fsrm fzrm fsrs fsrc mcdt_no md_clear arat turbo"),
    ("it speaks of the package or of the bus", "ss htt tm pbe tm2 xtpr dtherm invariant_tsc cet_sss"),
    ("every machine has it", "fpu apic"),
    ("its registers are those of the book's processor, which reports it alone", "ds dtes64 ds_cpl cr4_smxe"),
    ("what counts is in tests/pmu.rs", "event_core_cycles event_instructions event_reference_cycles event_branches"),
    ("the bit that it tells of does nothing: a core has one thread", "stibp"),
    ("it counts nothing", "event_llc_references event_llc_misses event_branch_misses"),
    (
        "what guests do is in tests/vmx",
        "ept_execute_only ept_2m ept_1g ept_exit_information activity_hlt activity_shutdown \
      activity_wait_for_sipi exit_stores_lma any_error_code ins_outs_information",
    ),
    ("the TRUE registers themselves", "true_controls"),
];

fn probe(mode: Mode, code: Vec<u8>, absent: &'static str, what: &str) -> Probe {
    Probe { mode, code, absent, tells: false, loose: false, what: what.to_owned() }
}

/// `mov ecx, number`
fn ecx(number: u32) -> Vec<u8> {
    [&[0xB9][..], &number.to_le_bytes()].concat()
}

/// `mov eax, number`
fn eax(number: u32) -> Vec<u8> {
    [&[0xB8][..], &number.to_le_bytes()].concat()
}

/// `bt register, bit`; 0 is EAX.
fn bt(register: u8, bit: u8) -> Vec<u8> {
    vec![0x0F, 0xBA, 0xE0 | register, bit]
}

/// RDMSR.
fn rdmsr(number: u32) -> Vec<u8> {
    [ecx(number), vec![0x0F, 0x32]].concat()
}

/// WRMSR with EDX 0.
fn wrmsr(number: u32, value: u32) -> Vec<u8> {
    [ecx(number), eax(value), vec![0x0F, 0x30]].concat()
}

/// Sets bits of a register that is read, so that no others change.
fn set_msr_bits(number: u32, bits: u32) -> Vec<u8> {
    [rdmsr(number), vec![0x0D], bits.to_le_bytes().to_vec(), vec![0x0F, 0x30]].concat()
}

/// Sets a flag of CR4.
fn cr4(flag: u32) -> Vec<u8> {
    [&[0x0F, 0x20, 0xE0, 0x0D][..], &(1u32 << flag).to_le_bytes(), &[0x0F, 0x22, 0xE0]].concat()
}

/// XSETBV.
fn xsetbv(mask: u32) -> Vec<u8> {
    [eax(mask), vec![0x0F, 0x01, 0xD1]].concat()
}

/// VMWRITE of 32 bits.
fn vmwrite(field: Field, value: u32) -> Vec<u8> {
    [ecx(field.encoding()), eax(value), vec![0x0F, 0x79, 0xC8]].concat()
}

/// CF = ZF: a VMX instruction has failed with an error number.
const CARRY_IS_ZERO_FLAG: [u8; 7] = [0x0F, 0x94, 0xC0, 0x0F, 0xBA, 0xE0, 0x00];

/// Instructions that need a feature, in 32-bit protected mode: registers or [EBX].
#[rustfmt::skip]
const INSTRUCTIONS: &[(&str, &[u8])] = &[
    ("tsc", &[0x0F, 0x31]), ("cx8", &[0x0F, 0xC7, 0x0B]), ("cmov", &[0x0F, 0x44, 0xC1]), ("clflush", &[0x0F, 0xAE, 0x3B]),
    ("mmx", &[0x0F, 0x77]), ("fxsr", &[0x0F, 0xAE, 0x03]), ("sse", &[0x0F, 0x58, 0xC1]), ("sse2", &[0x66, 0x0F, 0x58, 0xC1]),
    ("sse3", &[0x66, 0x0F, 0x7C, 0xC1]), ("pclmulqdq", &[0x66, 0x0F, 0x3A, 0x44, 0xC1, 0x00]), ("monitor", &[0x0F, 0x01, 0xC8]),
    ("ssse3", &[0x66, 0x0F, 0x38, 0x00, 0xC1]), ("fma", &[0xC4, 0xE2, 0x71, 0x98, 0xC2]),
    ("sse4_1", &[0x66, 0x0F, 0x38, 0x40, 0xC1]), ("sse4_2", &[0xF2, 0x0F, 0x38, 0xF1, 0xC1]), ("movbe", &[0x0F, 0x38, 0xF0, 0x03]),
    ("popcnt", &[0xF3, 0x0F, 0xB8, 0xC1]), ("aes", &[0x66, 0x0F, 0x38, 0xDC, 0xC1]), ("xsave", &[0x0F, 0x01, 0xD0]),
    ("avx", &[0xC5, 0xF4, 0x58, 0xC2]), ("f16c", &[0xC4, 0xE2, 0x79, 0x13, 0xC1]), ("rdrand", &[0x0F, 0xC7, 0xF0]),
    ("bmi1", &[0xC4, 0xE2, 0x70, 0xF2, 0xC2]), ("avx2", &[0xC5, 0xF5, 0xFE, 0xC2]), ("bmi2", &[0xC4, 0xE2, 0x73, 0xF5, 0xC2]),
    ("avx512f", &[0x62, 0xF1, 0x74, 0x48, 0x58, 0xC2]), ("avx512dq", &[0x62, 0xF1, 0xF5, 0x48, 0x54, 0xC2]),
    ("avx512bw", &[0x62, 0xF1, 0x75, 0x48, 0xFD, 0xC2]), ("avx512vl", &[0x62, 0xF1, 0x74, 0x28, 0x58, 0xC2]),
    ("avx512cd", &[0x62, 0xF2, 0x7D, 0x48, 0x44, 0xC1]), ("rdseed", &[0x0F, 0xC7, 0xF8]), ("adx", &[0x66, 0x0F, 0x38, 0xF6, 0xC1]),
    ("smap", &[0x0F, 0x01, 0xCA]), ("avx512_ifma", &[0x62, 0xF2, 0xF5, 0x48, 0xB4, 0xC2]), ("clflushopt", &[0x66, 0x0F, 0xAE, 0x3B]),
    ("clwb", &[0x66, 0x0F, 0xAE, 0x33]), ("sha", &[0x0F, 0x38, 0xC8, 0xC1]), ("pku", &[0x0F, 0x01, 0xEE]),
    ("avx512_vbmi", &[0x62, 0xF2, 0x75, 0x48, 0x8D, 0xC2]), ("avx512_vbmi2", &[0x62, 0xF2, 0xF5, 0x48, 0x70, 0xC2]),
    ("waitpkg", &[0xF3, 0x0F, 0xAE, 0xF3]), ("gfni", &[0x66, 0x0F, 0x38, 0xCF, 0xC1]), ("vaes", &[0xC4, 0xE2, 0x75, 0xDC, 0xC2]),
    ("vpclmulqdq", &[0xC4, 0xE3, 0x75, 0x44, 0xC2, 0x00]), ("avx512_vnni", &[0x62, 0xF2, 0x75, 0x48, 0x50, 0xC2]),
    ("avx512_bitalg", &[0x62, 0xF2, 0x7D, 0x48, 0x54, 0xC1]), ("avx512_vpopcntdq", &[0x62, 0xF2, 0x7D, 0x48, 0x55, 0xC1]),
    ("rdpid", &[0xF3, 0x0F, 0xC7, 0xF8]), ("movdiri", &[0x0F, 0x38, 0xF9, 0x03]), ("movdir64b", &[0x66, 0x0F, 0x38, 0xF8, 0x03]),
    ("serialize", &[0x0F, 0x01, 0xE8]), ("xsaveopt", &[0x0F, 0xAE, 0x33]), ("xsavec", &[0x0F, 0xC7, 0x23]),
    ("xsaves", &[0x0F, 0xC7, 0x2B]), ("rdtscp", &[0x0F, 0x01, 0xF9]), ("sep", &[0x0F, 0x34]),
    ("rtm", &[0x0F, 0x01, 0xD5]), ("smx", &[0x0F, 0x37]),
];

/// The same in 64-bit mode.
#[rustfmt::skip]
const INSTRUCTIONS_64: &[(&str, &[u8])] = &[
    ("cx16", &[0x48, 0x0F, 0xC7, 0x0B]), ("fsgsbase", &[0xF3, 0x48, 0x0F, 0xAE, 0xC0]), ("lahf_lm", &[0x9F]),
];

/// Instructions that are another one, or nothing, without their feature, in 32-bit protected mode; what shows without. If
/// it is the same with the feature, the characters are not looked at there.
#[rustfmt::skip]
const OTHERWISE: &[(&str, &[u8], &str, bool, &str)] = &[
    ("wbnoinvd", &[0xF3, 0x0F, 0x09], "01", true, "WBINVD"), ("cldemote", &[0x0F, 0x1C, 0x03], "01", true, "NOP"),
    ("prefetchw", &[0x0F, 0x0D, 0x0B], "01", true, "NOP"), ("cet_ss", &[0xF3, 0x0F, 0x1E, 0xC8], "01", true, "NOP"),
    ("cet_ibt", &[0xF3, 0x0F, 0x1E, 0xFB], "01", true, "NOP"),
    // TZCNT of 0 gives 32, BSF leaves EAX 0; CF where it is less than 16.
    ("bmi1", &[0xF3, 0x0F, 0xBC, 0xC1, 0x83, 0xF8, 0x10], "1", false, "BSF"),
    // FLD [EBX], FNSTENV [EDI + 32]: CF if the data pointer, or the code segment, is less than 9000h, or 8.
    ("fdp_excptn_only", &[0xD9, 0x03, 0xD9, 0x77, 0x20, 0x81, 0x7F, 0x34, 0x00, 0x90, 0, 0], "0", false, "FDP"),
    ("deprecates_fcs_fds", &[0xD9, 0x03, 0xD9, 0x77, 0x20, 0x66, 0x81, 0x7F, 0x30, 0x08, 0x00], "0", false, "FCS"),
];

/// Flags of CR4 by their features; PCIDE is for 64-bit mode.
const CR4: &[(&str, u32)] = &[
    ("vme", 0),
    ("vme", 1),
    ("tsc", 2),
    ("de", 3),
    ("pse", 4),
    ("pae", 5),
    ("mce", 6),
    ("pge", 7),
    ("cmov", 8),
    ("fxsr", 9),
    ("sse", 10),
    ("umip", 11),
    ("la57", 12),
    ("vmx", 13),
    ("fsgsbase", 16),
    ("xsave", 18),
    ("smep", 20),
    ("smap", 21),
    ("pku", 22),
    ("pks", 24),
    ("lam", 28),
];

/// Registers by their features.
const REGISTERS: &[(&str, u32)] = &[
    ("msr", IA32_TIME_STAMP_COUNTER),
    ("vmx", IA32_FEATURE_CONTROL),
    ("vmx", IA32_VMX_BASIC),
    ("tsc_adjust", IA32_TSC_ADJUST),
    ("spec_ctrl", IA32_SPEC_CTRL),
    ("waitpkg", IA32_UMWAIT_CONTROL),
    ("aperfmperf", IA32_MPERF),
    ("aperfmperf", IA32_APERF),
    ("mtrr", IA32_MTRRCAP),
    ("mtrr", IA32_MTRR_DEF_TYPE),
    ("arch_capabilities", IA32_ARCH_CAPABILITIES),
    ("sep", IA32_SYSENTER_CS),
    ("mca", IA32_MCG_CAP),
    ("est", IA32_PERF_STATUS),
    ("acpi", IA32_THERM_STATUS),
    ("epb", IA32_ENERGY_PERF_BIAS),
    ("pat", IA32_PAT),
    ("pdcm", IA32_PERF_CAPABILITIES),
    ("arch_lbr", IA32_LBR_CTL),
    ("cet_ss", IA32_PL0_SSP),
    ("tsc_deadline", IA32_TSC_DEADLINE),
    ("pks", IA32_PKRS),
    ("xsaves", IA32_XSS),
    ("long_mode", IA32_STAR),
    ("long_mode", IA32_KERNEL_GS_BASE),
];

/// What features do that is none of these: mode, code, what shows without.
fn others(name: &str) -> Option<(Mode, Vec<u8>, &'static str, &'static str)> {
    // RDMSR, XSETBV and the like are #UD themselves without their features.
    let in_32 = |code, what| Some((Mode::Protected, code, "NG", what));
    match name {
        "pcid" => Some((Mode::Long, cr4(17), GP, "CR4.PCIDE")),
        "invpcid" => Some((Mode::Long, vec![0xB8, 2, 0, 0, 0, 0x66, 0x0F, 0x38, 0x82, 0x03], UD, "INVPCID")),
        "nx" => in_32(set_msr_bits(IA32_EFER, 1 << 11), "IA32_EFER.NXE"),
        "syscall" => in_32(set_msr_bits(IA32_EFER, 1), "IA32_EFER.SCE"),
        "long_mode" => in_32(set_msr_bits(IA32_EFER, 1 << 8), "IA32_EFER.LME"),
        // Into x2APIC mode, off, and into xAPIC mode.
        "x2apic" => in_32(
            [
                wrmsr(IA32_APIC_BASE, 0xFEE0_0D00),
                wrmsr(IA32_APIC_BASE, 0xFEE0_0100),
                wrmsr(IA32_APIC_BASE, 0xFEE0_0900),
            ]
            .concat(),
            "x2APIC mode",
        ),
        "cet_ss" => in_32(wrmsr(IA32_U_CET, 1), "IA32_U_CET.SH_STK_EN"),
        "cet_ibt" => in_32(wrmsr(IA32_U_CET, 4), "IA32_U_CET.ENDBR_EN"),
        "ssbd" => in_32(wrmsr(IA32_SPEC_CTRL, 4), "IA32_SPEC_CTRL.SSBD"),
        "avx" => in_32(xsetbv(7), "XCR0.AVX"),
        "avx512f" => in_32(xsetbv(0xE7), "XCR0.ZMM_Hi256"),
        "pku" => in_32(xsetbv(0x203), "XCR0.PKRU"),
        "xgetbv_ecx1" => in_32([ecx(1), vec![0x0F, 0x01, 0xD0]].concat(), "XGETBV of XINUSE"),
        // Of 1: LZCNT gives 31, BSR 0; CF where it is less than 16.
        "lzcnt" => {
            let code = [ecx(1), vec![0xF3, 0x0F, 0xBD, 0xC1, 0x83, 0xF8, 0x10]].concat();
            Some((Mode::Protected, code, "1", "LZCNT"))
        }
        // 32-bit paging with pages of 4 MBytes: the first, and at 8 MBytes one with bit 13 set, which is bit 32 of its address.
        "pse36" => {
            let entry = |at: u32, value: u32| [&[0xC7, 0x05][..], &at.to_le_bytes(), &value.to_le_bytes()].concat();
            let cr3 = [eax(0x1_6000), vec![0x0F, 0x22, 0xD8]].concat();
            let pse = vec![0x0F, 0x20, 0xE0, 0x0C, 0x10, 0x0F, 0x22, 0xE0];
            // mov eax, cr0; bts eax, 31; mov cr0, eax; mov eax, [800000h]
            let paging = vec![0x0F, 0x20, 0xC0, 0x0F, 0xBA, 0xE8, 31, 0x0F, 0x22, 0xC0, 0xA1, 0, 0, 0x80, 0];
            let code = [entry(0x1_6000, 0x83), entry(0x1_6008, 0x2083), cr3, pse, paging].concat();
            Some((Mode::Protected, code, "NO", "a page of 4 MBytes beyond 4 GBytes"))
        }
        // A page of 1 GByte at 2 GiB.
        "page1gb" => Some((Mode::Long, vec![0xB8, 0, 0, 0, 0x80, 0x8B, 0x00], PF, "a page of 1 GByte")),
        _ => None,
    }
}

/// The probes of an item on `model`, which has it or not.
pub fn of_item(item: Item, model: &CpuModel) -> Vec<Probe> {
    let mut list = Vec::new();
    match item {
        Item::Cpuid(bit) => {
            let register = match bit.register {
                Register::Eax => 0,
                Register::Ebx => 3,
                Register::Ecx => 1,
                Register::Edx => 2,
            };
            // Beyond the highest leaf CPUID says what the highest does: cmp eax, leaf; jae over clc, ret.
            let highest =
                [eax(bit.leaf & 0x8000_0000), vec![0x0F, 0xA2, 0x3D], bit.leaf.to_le_bytes().to_vec()].concat();
            let there = vec![0x73, 2, 0xF8, 0xC3];
            let code =
                [highest, there, eax(bit.leaf), ecx(bit.subleaf), vec![0x0F, 0xA2], bt(register, bit.bit)].concat();
            // CPUID tells of SYSCALL in 64-bit mode only.
            let mode = if bit.name == "syscall" { Mode::Long } else { Mode::Protected };
            list.push(Probe { tells: true, ..probe(mode, code, "0", "its bit of CPUID") });
            let name = bit.name;
            for (_, code) in INSTRUCTIONS.iter().filter(|row| row.0 == name) {
                list.push(probe(Mode::Protected, code.to_vec(), UD, "its instruction"));
            }
            for (_, code) in INSTRUCTIONS_64.iter().filter(|row| row.0 == name) {
                list.push(probe(Mode::Long, code.to_vec(), UD, "its instruction"));
            }
            for &(_, code, absent, loose, what) in OTHERWISE.iter().filter(|row| row.0 == name) {
                list.push(Probe { loose, ..probe(Mode::Protected, code.to_vec(), absent, what) });
            }
            for (_, flag) in CR4.iter().filter(|row| row.0 == name) {
                list.push(probe(Mode::Protected, cr4(*flag), GP, &format!("CR4 bit {flag}")));
            }
            if let Some((mode, code, absent, what)) = others(name) {
                // XCR0 has PKRU's bit only where there is an XCR0.
                let loose = name == "pku" && !model.has(Feature::Xsave);
                list.push(Probe { loose, ..probe(mode, code, absent, what) });
            }
            // RDMSR itself is #UD without its feature.
            let absent = if name == "msr" { UD } else { "NG" };
            for (_, number) in REGISTERS.iter().filter(|row| row.0 == name) {
                let what = msr::name(*number).unwrap_or_default();
                list.push(probe(Mode::Protected, rdmsr(*number), absent, &what));
            }
        }
        Item::Perfmon => {
            let code = [eax(10), vec![0x0F, 0xA2, 0x0C, 0x00, 0x3C, 0x01, 0xF5]].concat();
            list.push(Probe { tells: true, ..probe(Mode::Protected, code, "0", "the version of leaf 0Ah") });
            list.push(probe(Mode::Protected, rdmsr(IA32_PMC0), "NG", "IA32_PMC0"));
        }
        Item::Event(event) => {
            // EAX[31:24] is more than the bit's number: ja over clc, ret; and the bit is clear.
            let told =
                [eax(10), vec![0x0F, 0xA2, 0xC1, 0xE8, 0x18, 0x3C, event.bit as u8, 0x77, 2, 0xF8, 0xC3]].concat();
            let code = [told, bt(3, event.bit as u8), vec![0xF5]].concat();
            list.push(Probe { tells: true, ..probe(Mode::Protected, code, "0", "its bit of leaf 0Ah") });
        }
        Item::Vmx(bit) => of_control(bit, model, &mut list),
    }
    list
}

fn of_control(bit: &'static emu_core::model::controls::VmxBit, model: &CpuModel, list: &mut Vec<Probe>) {
    let (registers, base) = bit.word.msrs();
    for number in registers {
        let position = base + bit.bit;
        let code = [rdmsr(*number), bt(if position < 32 { 0 } else { 2 }, position & 31)].concat();
        let what = msr::name(*number).unwrap_or_default();
        // Processors without a TRUE register have the control in the other.
        let there = number == &registers[0] || model.vmx_capabilities().contains_key(number);
        if there {
            list.push(Probe { tells: true, ..probe(Mode::Protected, code, "0NG", &what) });
        }
    }
    let Some(vmx) = model.vmx() else { return };
    let fields = FieldSet::supported(&vmx.caps);
    for field in FIELDS.get(bit.name).into_iter().flatten() {
        let code = [ecx(field.encoding()), vec![0x0F, 0x78, 0xC8], CARRY_IS_ZERO_FLAG.to_vec()].concat();
        let what = format!("VMREAD of {}", field.identifier());
        // Others may bring it, or it may need more.
        if fields.contains(*field) == model.has_item(Item::Vmx(bit)) {
            list.push(probe(Mode::Vmx, code, "1", &what));
        }
    }
    if let Some(field) = bit.word.field().filter(|field| fields.contains(*field)) {
        let least = least(&vmx.caps, bit.word);
        let tried = [vmwrite(field, least | 1 << bit.bit), entry_error(), vmwrite(field, least), bt(3, 0)].concat();
        // VM functions have to be enabled.
        let code = match bit.word {
            Word::Functions => {
                let secondary = |value| vmwrite(Field::SecondaryProcessorControls, value);
                [secondary(1 << 13), vmwrite(field, 1 << bit.bit), entry_error(), secondary(0), bt(3, 0)].concat()
            }
            _ => tried,
        };
        list.push(Probe { loose: true, ..probe(Mode::Vmx, code, "1", "VM entry with it") });
    }
    if let Some((code, absent, what)) = in_vmx(bit.name, &vmx.caps) {
        list.push(probe(Mode::Vmx, code, absent, what));
    }
}

/// The fields that go with each control.
static FIELDS: LazyLock<HashMap<&'static str, Vec<Field>>> = LazyLock::new(|| {
    let max = CpuModel::named("max").expect("it is built in");
    let fields = |model: &CpuModel| model.vmx().map(|vmx| FieldSet::supported(&vmx.caps));
    let all = fields(&max).expect("it has VMX");
    let lost = |item: Item| {
        let left = max.with(&format!("-{}", item.name())).ok().and_then(|changed| fields(&changed))?;
        Some((item.name(), all.iter().filter(|field| !left.contains(*field)).collect()))
    };
    Item::all().filter(|item| matches!(item, Item::Vmx(_)) && max.has_item(*item)).filter_map(lost).collect()
});

/// The least that a control word may be, with the words activated that there are.
fn least(caps: &VmxCapabilities, word: Word) -> u32 {
    let fields = FieldSet::supported(caps);
    let activates = |field: Field, bit: u32| if fields.contains(field) { 1 << bit } else { 0 };
    match word {
        Word::Pin => caps.pin().adjust(0),
        Word::Primary => {
            let secondary = activates(Field::SecondaryProcessorControls, 31);
            caps.primary().adjust(secondary | activates(Field::TertiaryProcessorControls, 17))
        }
        Word::Exit => caps.exit().adjust(activates(Field::SecondaryVmExitControls, 31)),
        Word::Entry => caps.entry().adjust(0),
        _ => 0,
    }
}

/// Gives the VMCS control words with which VM entry fails only for what else it looks at.
pub fn set_up(model: &CpuModel) -> Vec<Probe> {
    let Some(vmx) = model.vmx() else { return Vec::new() };
    let words = [Word::Pin, Word::Primary, Word::Exit, Word::Entry];
    let write = |word: Word| word.field().map(|field| vmwrite(field, least(&vmx.caps, word)));
    let mut list: Vec<Probe> =
        words.into_iter().filter_map(write).map(|code| probe(Mode::Vmx, code, "1", "VMWRITE of controls")).collect();
    list.push(probe(Mode::Vmx, [entry_error(), bt(3, 0)].concat(), "1", "VM entry with the controls that must be 1"));
    list
}

/// VM entry; BL is whether it has failed for invalid control fields: VM-instruction error 7.
fn entry_error() -> Vec<u8> {
    let launch = [&[0x0F, 0x01, 0xC2][..], &ecx(Field::VmInstructionError.encoding())].concat();
    // vmread rax, rcx; cmp al, 7; sete bl
    [launch, vec![0x0F, 0x78, 0xC8, 0x3C, 0x07, 0x0F, 0x94, 0xC3]].concat()
}

/// What else items do in VMX operation.
fn in_vmx(name: &str, caps: &VmxCapabilities) -> Option<(Vec<u8>, &'static str, &'static str)> {
    // The memory type of EPT's structures: write-back, or uncacheable if there is no other.
    let memory = if caps.ept_vpid_cap.contains(EptVpidCap::MEMORY_TYPE_WB) { 6 } else { 0 };
    // INVEPT and INVVPID with a type and a descriptor of 32 bits.
    let invept = |kind| [eax(kind), vec![0xC7, 0x03, 0x18 | memory, 0, 0, 0, 0x66, 0x0F, 0x38, 0x80, 0x03]].concat();
    let invvpid = |kind| [eax(kind), vec![0xC7, 0x03, 1, 0, 0, 0, 0x66, 0x0F, 0x38, 0x81, 0x03]].concat();
    let typed = |code: Vec<u8>, what| Some(([code, CARRY_IS_ZERO_FLAG.to_vec()].concat(), "1G", what));
    let secondary = Field::SecondaryProcessorControls;
    let pointer = |value, what| {
        if caps.secondary_allowed_1().bits() & 2 == 0 {
            return None;
        }
        let entry = [vmwrite(secondary, 2), vmwrite(Field::EptPointer, value), entry_error()].concat();
        Some(([entry, vmwrite(secondary, 0), bt(3, 0)].concat(), "1", what))
    };
    match name {
        "invept" => Some((invept(3), UD, "INVEPT")),
        "invept_single" => typed(invept(1), "INVEPT of type 1"),
        "invept_all" => typed(invept(2), "INVEPT of type 2"),
        "invvpid" => Some((invvpid(5), UD, "INVVPID")),
        "invvpid_address" => typed(invvpid(0), "INVVPID of type 0"),
        "invvpid_single" => typed(invvpid(1), "INVVPID of type 1"),
        "invvpid_all" => typed(invvpid(2), "INVVPID of type 2"),
        "invvpid_retaining_globals" => typed(invvpid(3), "INVVPID of type 3"),
        "ept_walk_4" => pointer(0x18 | u32::from(memory), "an EPT pointer of 4 levels"),
        "ept_walk_5" => pointer(0x20 | u32::from(memory), "an EPT pointer of 5 levels"),
        "ept_write_back" => pointer(0x1E, "an EPT pointer to write-back memory"),
        "ept_uncacheable" => pointer(0x18, "an EPT pointer to uncacheable memory"),
        "ept_ad" => pointer(0x58 | u32::from(memory), "an EPT pointer with accessed and dirty flags"),
        "ept_shadow_stack" => pointer(0x98 | u32::from(memory), "an EPT pointer with supervisor shadow-stack control"),
        "vmwrite_any_field" => {
            let code = [vmwrite(Field::ExitReason, 0), CARRY_IS_ZERO_FLAG.to_vec()].concat();
            Some((code, "1", "VMWRITE of the exit reason"))
        }
        "injection_length_0" => {
            // A software interrupt; the instruction length is 0.
            let field = Field::VmEntryInterruptionInformation;
            let code = [vmwrite(field, 0x8000_0420), entry_error(), vmwrite(field, 0), bt(3, 0)].concat();
            Some((code, "1", "injection with length 0"))
        }
        _ => None,
    }
}

//! What VMX capability MSRs report, bit by bit: its name, where it is and what it is (SDM Vol. 3D Appendix A "VMX Capability
//! Reporting Facility").

use emu_vmx::arch::msr::*;
use emu_vmx::field::Field;
use emu_vmx::names::bit_names;

/// What a bit is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Pin-based VM-execution controls.
    Pin,
    /// Primary processor-based VM-execution controls.
    Primary,
    /// Secondary processor-based VM-execution controls.
    Secondary,
    /// Tertiary processor-based VM-execution controls.
    Tertiary,
    /// Primary VM-exit controls.
    Exit,
    /// Secondary VM-exit controls.
    SecondaryExit,
    /// VM-entry controls.
    Entry,
    /// VM functions.
    Functions,
    /// IA32_VMX_EPT_VPID_CAP.
    EptVpid,
    /// IA32_VMX_MISC.
    Misc,
    /// IA32_VMX_BASIC.
    Basic,
    /// Bits of CR4 in IA32_VMX_CR4_FIXED1 that no feature brings.
    Cr4,
}

impl Word {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Word; 12] = [
        Word::Basic,
        Word::Pin,
        Word::Primary,
        Word::Secondary,
        Word::Tertiary,
        Word::Exit,
        Word::SecondaryExit,
        Word::Entry,
        Word::Functions,
        Word::EptVpid,
        Word::Misc,
        Word::Cr4,
    ];

    /// The MSRs that report it – for controls with a TRUE register both – and the number of bit 0 there: 32 where the
    /// allowed 1-settings are the upper half.
    pub fn msrs(self) -> (&'static [u32], u8) {
        match self {
            Word::Pin => (&[IA32_VMX_PINBASED_CTLS, IA32_VMX_TRUE_PINBASED_CTLS], 32),
            Word::Primary => (&[IA32_VMX_PROCBASED_CTLS, IA32_VMX_TRUE_PROCBASED_CTLS], 32),
            Word::Secondary => (&[IA32_VMX_PROCBASED_CTLS2], 32),
            Word::Tertiary => (&[IA32_VMX_PROCBASED_CTLS3], 0),
            Word::Exit => (&[IA32_VMX_EXIT_CTLS, IA32_VMX_TRUE_EXIT_CTLS], 32),
            Word::SecondaryExit => (&[IA32_VMX_EXIT_CTLS2], 0),
            Word::Entry => (&[IA32_VMX_ENTRY_CTLS, IA32_VMX_TRUE_ENTRY_CTLS], 32),
            Word::Functions => (&[IA32_VMX_VMFUNC], 0),
            Word::EptVpid => (&[IA32_VMX_EPT_VPID_CAP], 0),
            Word::Misc => (&[IA32_VMX_MISC], 0),
            Word::Basic => (&[IA32_VMX_BASIC], 0),
            Word::Cr4 => (&[IA32_VMX_CR4_FIXED1], 0),
        }
    }

    /// What it is called.
    pub fn title(self) -> &'static str {
        match self {
            Word::Pin => "Pin-based VM-execution controls",
            Word::Primary => "Primary processor-based VM-execution controls",
            Word::Secondary => "Secondary processor-based VM-execution controls",
            Word::Tertiary => "Tertiary processor-based VM-execution controls",
            Word::Exit => "Primary VM-exit controls",
            Word::SecondaryExit => "Secondary VM-exit controls",
            Word::Entry => "VM-entry controls",
            Word::Functions => "VM functions",
            Word::EptVpid => "EPT and VPID",
            Word::Misc => "Miscellaneous data",
            Word::Basic => "Basic information",
            Word::Cr4 => "CR4",
        }
    }

    /// The field of the VMCS, if it is one.
    pub fn field(self) -> Option<Field> {
        Some(match self {
            Word::Pin => Field::PinBasedControls,
            Word::Primary => Field::PrimaryProcessorControls,
            Word::Secondary => Field::SecondaryProcessorControls,
            Word::Tertiary => Field::TertiaryProcessorControls,
            Word::Exit => Field::VmExitControls,
            Word::SecondaryExit => Field::SecondaryVmExitControls,
            Word::Entry => Field::VmEntryControls,
            Word::Functions => Field::VmFunctionControls,
            Word::EptVpid | Word::Misc | Word::Basic | Word::Cr4 => return None,
        })
    }
}

/// A bit of the capability MSRs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmxBit {
    /// What it is part of.
    pub word: Word,
    /// Number of the bit there.
    pub bit: u8,
    /// Name, as `--cpu-model` takes it.
    pub name: &'static str,
    /// What it is, where it is no control.
    words: &'static str,
}

impl VmxBit {
    /// What it is: a control's name in the SDM.
    pub fn words(&self) -> &'static str {
        let control =
            self.word.field().and_then(|field| bit_names(field).into_iter().find(|bit| bit.0 == self.bit.into()));
        control.map_or(self.words, |bit| bit.1)
    }
}

macro_rules! bits {
    ($($word:ident $bit:literal $name:literal $($words:literal)?;)*) => {
        /// All bits with a name.
        pub const BITS: &[VmxBit] = &[$(VmxBit {
            word: Word::$word, bit: $bit, name: $name, words: concat!($($words)?),
        },)*];
    };
}

bits! {
    Pin 0 "external_interrupt_exiting";
    Pin 3 "nmi_exiting";
    Pin 5 "virtual_nmis";
    Pin 6 "preemption_timer";
    Pin 7 "posted_interrupts";
    Primary 2 "interrupt_window_exiting";
    Primary 3 "tsc_offsetting";
    Primary 7 "hlt_exiting";
    Primary 9 "invlpg_exiting";
    Primary 10 "mwait_exiting";
    Primary 11 "rdpmc_exiting";
    Primary 12 "rdtsc_exiting";
    Primary 15 "cr3_load_exiting";
    Primary 16 "cr3_store_exiting";
    Primary 17 "tertiary_controls";
    Primary 19 "cr8_load_exiting";
    Primary 20 "cr8_store_exiting";
    Primary 21 "tpr_shadow";
    Primary 22 "nmi_window_exiting";
    Primary 23 "mov_dr_exiting";
    Primary 24 "unconditional_io_exiting";
    Primary 25 "io_bitmaps";
    Primary 27 "monitor_trap_flag";
    Primary 28 "msr_bitmaps";
    Primary 29 "monitor_exiting";
    Primary 30 "pause_exiting";
    Primary 31 "secondary_controls";
    Secondary 0 "virtualize_apic_accesses";
    Secondary 1 "ept";
    Secondary 2 "descriptor_table_exiting";
    Secondary 3 "enable_rdtscp";
    Secondary 4 "virtualize_x2apic_mode";
    Secondary 5 "vpid";
    Secondary 6 "wbinvd_exiting";
    Secondary 7 "unrestricted_guest";
    Secondary 8 "apic_register_virtualization";
    Secondary 9 "virtual_interrupt_delivery";
    Secondary 10 "pause_loop_exiting";
    Secondary 11 "rdrand_exiting";
    Secondary 12 "enable_invpcid";
    Secondary 13 "vm_functions";
    Secondary 14 "vmcs_shadowing";
    Secondary 15 "encls_exiting";
    Secondary 16 "rdseed_exiting";
    Secondary 17 "pml";
    Secondary 18 "ept_violation_ve";
    Secondary 19 "conceal_vmx_from_pt";
    Secondary 20 "enable_xsaves";
    Secondary 21 "pasid_translation";
    Secondary 22 "mode_based_execute";
    Secondary 23 "sub_page_write";
    Secondary 24 "pt_guest_physical";
    Secondary 25 "tsc_scaling";
    Secondary 26 "user_wait_and_pause";
    Secondary 27 "enable_pconfig";
    Secondary 28 "enclv_exiting";
    Secondary 30 "vmm_bus_lock_detection";
    Secondary 31 "instruction_timeout";
    Tertiary 0 "loadiwkey_exiting";
    Tertiary 1 "hlat";
    Tertiary 2 "ept_paging_write";
    Tertiary 3 "guest_paging_verification";
    Tertiary 4 "ipi_virtualization";
    Tertiary 6 "msr_list_instructions";
    Tertiary 7 "virtualize_spec_ctrl";
    Exit 2 "exit_save_debug_controls";
    Exit 9 "host_address_space_size";
    Exit 12 "exit_load_perf_global_ctrl";
    Exit 15 "acknowledge_interrupt_on_exit";
    Exit 18 "exit_save_pat";
    Exit 19 "exit_load_pat";
    Exit 20 "exit_save_efer";
    Exit 21 "exit_load_efer";
    Exit 22 "save_preemption_timer";
    Exit 23 "exit_clear_bndcfgs";
    Exit 24 "exit_conceal_vmx_from_pt";
    Exit 25 "exit_clear_rtit_ctl";
    Exit 26 "exit_clear_lbr_ctl";
    Exit 27 "exit_clear_uinv";
    Exit 28 "exit_load_cet_state";
    Exit 29 "exit_load_pkrs";
    Exit 30 "exit_save_perf_global_ctrl";
    Exit 31 "exit_secondary_controls";
    SecondaryExit 2 "exit_load_spec_ctrl";
    SecondaryExit 3 "prematurely_busy_shadow_stack";
    Entry 2 "entry_load_debug_controls";
    Entry 9 "ia32e_mode_guest";
    Entry 10 "entry_to_smm";
    Entry 11 "deactivate_dual_monitor_treatment";
    Entry 13 "entry_load_perf_global_ctrl";
    Entry 14 "entry_load_pat";
    Entry 15 "entry_load_efer";
    Entry 16 "entry_load_bndcfgs";
    Entry 17 "entry_conceal_vmx_from_pt";
    Entry 18 "entry_load_rtit_ctl";
    Entry 19 "entry_load_uinv";
    Entry 20 "entry_load_cet_state";
    Entry 21 "entry_load_guest_lbr_ctl";
    Entry 22 "entry_load_pkrs";
    Entry 24 "entry_load_spec_ctrl";
    Functions 0 "eptp_switching";
    EptVpid 0 "ept_execute_only" "execute-only translations of EPT";
    EptVpid 6 "ept_walk_4" "EPT of 4 levels";
    EptVpid 7 "ept_walk_5" "EPT of 5 levels";
    EptVpid 8 "ept_uncacheable" "EPT paging structures in uncacheable memory";
    EptVpid 14 "ept_write_back" "EPT paging structures in write-back memory";
    EptVpid 16 "ept_2m" "EPT pages of 2 MBytes";
    EptVpid 17 "ept_1g" "EPT pages of 1 GByte";
    EptVpid 20 "invept" "INVEPT";
    EptVpid 21 "ept_ad" "accessed and dirty flags of EPT";
    EptVpid 22 "ept_exit_information" "advanced VM-exit information for EPT violations";
    EptVpid 23 "ept_shadow_stack" "supervisor shadow-stack control of EPT";
    EptVpid 25 "invept_single" "single-context INVEPT";
    EptVpid 26 "invept_all" "all-context INVEPT";
    EptVpid 32 "invvpid" "INVVPID";
    EptVpid 40 "invvpid_address" "individual-address INVVPID";
    EptVpid 41 "invvpid_single" "single-context INVVPID";
    EptVpid 42 "invvpid_all" "all-context INVVPID";
    EptVpid 43 "invvpid_retaining_globals" "single-context-retaining-globals INVVPID";
    Misc 5 "exit_stores_lma" "VM exits store EFER.LMA into “IA-32e mode guest”";
    Misc 6 "activity_hlt" "activity state HLT";
    Misc 7 "activity_shutdown" "activity state shutdown";
    Misc 8 "activity_wait_for_sipi" "activity state wait-for-SIPI";
    Misc 14 "pt_in_vmx" "Intel processor trace in VMX operation";
    Misc 15 "smbase_msr" "RDMSR of IA32_SMBASE in SMM";
    Misc 28 "smi_unblocking" "VMXOFF unblocks SMIs only where IA32_SMM_MONITOR_CTL says so";
    Misc 29 "vmwrite_any_field" "VMWRITE to VM-exit information fields";
    Misc 30 "injection_length_0" "injection of software events with instruction length 0";
    Basic 49 "dual_monitor" "dual-monitor treatment of SMIs and SMM";
    Basic 54 "ins_outs_information" "instruction information of INS and OUTS";
    Basic 55 "true_controls" "TRUE capability MSRs";
    Basic 56 "any_error_code" "hardware exceptions injected with or without error code";
    Basic 58 "nested_exception" "nested-exception support for FRED";
    Cr4 14 "cr4_smxe" "CR4.SMXE";
}

/// Other names of bits: abbreviations in use, and the SDM's names in full.
pub const ALIASES: &[(&str, &str)] = &[
    ("enable_ept", "ept"),
    ("enable_vpid", "vpid"),
    ("enable_pml", "pml"),
    ("enable_vm_functions", "vm_functions"),
    ("vmfunc", "vm_functions"),
    ("ve", "ept_violation_ve"),
    ("mbec", "mode_based_execute"),
    ("mode_based_execute_control", "mode_based_execute"),
    ("spp", "sub_page_write"),
    ("vmx_preemption_timer", "preemption_timer"),
    ("activate_vmx_preemption_timer", "preemption_timer"),
    ("process_posted_interrupts", "posted_interrupts"),
    ("use_tpr_shadow", "tpr_shadow"),
    ("use_tsc_offsetting", "tsc_offsetting"),
    ("use_tsc_scaling", "tsc_scaling"),
    ("use_io_bitmaps", "io_bitmaps"),
    ("use_msr_bitmaps", "msr_bitmaps"),
    ("activate_secondary_controls", "secondary_controls"),
    ("activate_tertiary_controls", "tertiary_controls"),
    ("mtf", "monitor_trap_flag"),
    ("shadow_vmcs", "vmcs_shadowing"),
    ("enable_user_wait_and_pause", "user_wait_and_pause"),
    ("enable_hlat", "hlat"),
    ("sse4.1", "sse4_1"),
    ("sse4.2", "sse4_2"),
    ("lm", "long_mode"),
    ("xd", "nx"),
    ("pdpe1gb", "page1gb"),
    ("ept_accessed_dirty", "ept_ad"),
    ("ibrs", "spec_ctrl"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_every_bit_with_a_name_in_the_sdm_is_listed_once() {
        for word in Word::ALL {
            let listed: Vec<u32> = BITS.iter().filter(|bit| bit.word == word).map(|bit| bit.bit.into()).collect();
            if let Some(field) = word.field() {
                let named: Vec<u32> = bit_names(field).into_iter().map(|bit| bit.0).collect();
                assert_eq!(listed, named, "{word:?}");
            }
            assert!(BITS.iter().filter(|bit| bit.word == word).all(|bit| !bit.words().is_empty()), "{word:?}");
        }
    }
}

//! System registers: the part of the architectural state that instructions rarely touch.

use emu_vmx::arch::cr::{Cr0, Cr4, Dr6, Dr7};
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// GDTR or IDTR.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorTable {
    /// Linear base address.
    pub base: u64,
    /// Limit, bytes minus one.
    pub limit: u16,
}

/// What the processor is doing (SDM Vol. 3C 25.4.2, activity state; wait-for-SIPI is also the state after INIT).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[repr(u8)]
pub enum Activity {
    /// Executing.
    #[default]
    Active = 0,
    /// Stopped by HLT.
    Hlt = 1,
    /// Stopped by a triple fault.
    Shutdown = 2,
    /// Stopped after INIT until a start-up IPI.
    WaitForSipi = 3,
    /// Stopped by MWAIT, until an event or the processor's next turn. No VMCS tells of it: there it is active (SDM
    /// Vol. 3C 25.4.2 "Guest Non-Register State").
    Mwait = 4,
}

/// Which instruction has armed the address-range monitor (SDM Vol. 3A 9.10.4 "MONITOR/MWAIT Instruction").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Monitor {
    /// None: MWAIT and UMWAIT do not wait.
    #[default]
    Idle,
    /// MONITOR, for MWAIT.
    Monitor,
    /// UMONITOR, for UMWAIT.
    Umonitor,
}

/// Which interrupts the instruction that follows does not take (SDM Vol. 3A 6.8.3; Vol. 3C 25.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Shadow {
    /// None.
    #[default]
    None,
    /// After STI: maskable interrupts are held back.
    Sti,
    /// After MOV SS or POP SS: interrupts, NMI and debug exceptions are held back.
    MovSs,
}

/// The state of CET (SDM Vol. 1 chapter 18 "Control-flow Enforcement Technology (CET)").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlFlow {
    /// IA32_U_CET, with the tracker of CPL 3.
    pub user: u64,
    /// IA32_S_CET, with the tracker of the other levels.
    pub supervisor: u64,
    /// SSP, the shadow-stack pointer.
    pub ssp: u64,
    /// IA32_PL0_SSP to IA32_PL3_SSP.
    pub ssps: [u64; 4],
    /// IA32_INTERRUPT_SSP_TABLE_ADDR.
    pub interrupt_table: u64,
}

impl ControlFlow {
    /// IA32_U_CET or IA32_S_CET: what applies at a privilege level.
    #[inline(always)]
    pub fn control(&self, cpl: u8) -> u64 {
        if cpl == 3 { self.user } else { self.supervisor }
    }

    /// The same, to be changed.
    pub fn control_mut(&mut self, cpl: u8) -> &mut u64 {
        if cpl == 3 { &mut self.user } else { &mut self.supervisor }
    }
}

/// Everything but the general registers, RFLAGS, floating point and the local APIC.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SystemState {
    /// ES, CS, SS, DS, FS, GS, LDTR, TR: see [`SegmentRegister`].
    pub segments: [Segment; 8],
    /// GDTR.
    pub gdtr: DescriptorTable,
    /// IDTR.
    pub idtr: DescriptorTable,
    /// CR0.
    pub cr0: Cr0,
    /// CR2.
    pub cr2: u64,
    /// CR3 as MOV reads it.
    pub cr3: u64,
    /// CR4.
    pub cr4: Cr4,
    /// IA32_EFER.
    pub efer: Efer,
    /// XCR0.
    pub xcr0: u64,
    /// The four PDPTEs of PAE paging, as loaded.
    pub pdptes: [u64; 4],
    /// DR0 to DR3.
    pub dr: [u64; 4],
    /// DR6.
    pub dr6: Dr6,
    /// DR7.
    pub dr7: Dr7,
    /// Current privilege level, 0 to 3.
    pub cpl: u8,
    /// PKRU.
    pub pkru: u32,
    /// Activity state.
    pub activity: Activity,
    /// The address-range monitor.
    pub monitor: Monitor,
    /// Interrupt shadow over the next instruction.
    pub shadow: Shadow,
    /// NMIs are blocked until IRET.
    pub nmi_blocked: bool,
    /// An NMI waits.
    pub nmi_pending: bool,
    /// The PIC's INTR line is high.
    pub intr: bool,
    /// An ExtINT message was received, whose INTA cycle is to come.
    pub ext_int: bool,
    /// An INIT signal waits.
    pub init_pending: bool,
    /// A start-up IPI waits, with the vector that the local APIC keeps.
    pub sipi_pending: bool,
    /// Debug conditions that the next instruction boundary reports as #DB: bits of DR6, and bit 12 if an enabled data or
    /// I/O breakpoint is among them, as in the VMCS's pending debug exceptions.
    pub pending_debug: u64,
    /// IA32_APIC_BASE.
    pub apic_base: u64,
    /// IA32_SYSENTER_CS, _ESP, _EIP.
    pub sysenter: [u64; 3],
    /// IA32_STAR, IA32_LSTAR, IA32_CSTAR, IA32_FMASK.
    pub syscall: [u64; 4],
    /// IA32_KERNEL_GS_BASE.
    pub kernel_gs_base: u64,
    /// IA32_TSC_AUX.
    pub tsc_aux: u32,
    /// Added to the cycle counter it gives the TSC.
    pub tsc_offset: u64,
    /// IA32_TSC_ADJUST.
    pub tsc_adjust: u64,
    /// IA32_PAT.
    pub pat: u64,
    /// IA32_DEBUGCTL.
    pub debugctl: u64,
    /// IA32_LBR_CTL.
    pub lbr_ctl: u64,
    /// IA32_PKRS.
    pub pkrs: u32,
    /// IA32_XSS.
    pub xss: u64,
    /// CET.
    pub cet: ControlFlow,
    /// State of the generator behind RDRAND and RDSEED: the same run draws the same numbers.
    pub random: u64,
    /// MSRs that the processor only stores.
    pub plain_msrs: BTreeMap<u32, u64>,
    /// Number of this processor, 0 first.
    pub index: u32,
    /// Initial APIC id.
    pub apic_id: u32,
}

impl SystemState {
    /// State after power-on (SDM Vol. 3A Table 10-1).
    pub fn new(index: u32, apic_id: u32) -> Self {
        let data = Segment { selector: 0, base: 0, limit: 0xFFFF, access_rights: AccessRights::RESET_DATA };
        let mut segments = [data; 8];
        segments[SegmentRegister::Cs as usize] =
            Segment { selector: 0xF000, base: 0xFFFF_0000, limit: 0xFFFF, access_rights: AccessRights::RESET_CODE };
        segments[SegmentRegister::Ldtr as usize].access_rights = AccessRights::from_bits_retain(0x82);
        segments[SegmentRegister::Tr as usize].access_rights = AccessRights::from_bits_retain(0x8B);
        Self {
            segments,
            gdtr: DescriptorTable { base: 0, limit: 0xFFFF },
            idtr: DescriptorTable { base: 0, limit: 0xFFFF },
            cr0: Cr0::RESET,
            cr2: 0,
            cr3: 0,
            cr4: Cr4::empty(),
            efer: Efer::empty(),
            xcr0: 1,
            pdptes: [0; 4],
            dr: [0; 4],
            dr6: Dr6::RESET,
            dr7: Dr7::RESET,
            cpl: 0,
            pkru: 0,
            activity: Activity::Active,
            monitor: Monitor::Idle,
            shadow: Shadow::None,
            nmi_blocked: false,
            nmi_pending: false,
            intr: false,
            ext_int: false,
            init_pending: false,
            sipi_pending: false,
            pending_debug: 0,
            apic_base: 0xFEE0_0800 | if index == 0 { 0x100 } else { 0 },
            sysenter: [0; 3],
            syscall: [0; 4],
            kernel_gs_base: 0,
            tsc_aux: 0,
            tsc_offset: 0,
            tsc_adjust: 0,
            pat: 0x0007_0406_0007_0406,
            debugctl: 0,
            lbr_ctl: 0,
            pkrs: 0,
            xss: 0,
            cet: ControlFlow::default(),
            random: u64::from(index),
            plain_msrs: BTreeMap::new(),
            index,
            apic_id,
        }
    }

    /// A segment register.
    #[inline(always)]
    pub fn seg(&self, register: SegmentRegister) -> &Segment {
        &self.segments[register as usize]
    }
}

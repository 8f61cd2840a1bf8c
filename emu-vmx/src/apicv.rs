//! APIC virtualization and virtual interrupts (SDM Vol. 3C Chapter 30).

use crate::arch::addr::physical_mask;
use crate::bitmaps::eoi_exits;
use crate::controls::*;
use crate::intercept::ExecutionControls;
use serde::{Deserialize, Serialize};

/// Offsets of the virtual-APIC page.
pub mod register {
    /// Local APIC id.
    pub const ID: u16 = 0x020;
    /// Version.
    pub const VERSION: u16 = 0x030;
    /// Task priority.
    pub const TPR: u16 = 0x080;
    /// Processor priority.
    pub const PPR: u16 = 0x0A0;
    /// End of interrupt.
    pub const EOI: u16 = 0x0B0;
    /// Logical destination.
    pub const LDR: u16 = 0x0D0;
    /// Destination format.
    pub const DFR: u16 = 0x0E0;
    /// Spurious-interrupt vector.
    pub const SVR: u16 = 0x0F0;
    /// In-service bits 31:0; seven more follow, 10h apart.
    pub const ISR: u16 = 0x100;
    /// Interrupt-request bits 31:0; seven more follow, 10h apart.
    pub const IRR: u16 = 0x200;
    /// Error status.
    pub const ESR: u16 = 0x280;
    /// Interrupt command, low.
    pub const ICR_LOW: u16 = 0x300;
    /// Interrupt command, high.
    pub const ICR_HIGH: u16 = 0x310;
    /// First LVT register (timer).
    pub const LVT_TIMER: u16 = 0x320;
    /// Last LVT register (error).
    pub const LVT_ERROR: u16 = 0x370;
    /// Timer initial count.
    pub const INITIAL_COUNT: u16 = 0x380;
    /// Timer divide configuration.
    pub const DIVIDE: u16 = 0x3E0;
}

/// The virtual-APIC page, wherever it lies.
pub trait VirtualApicPage {
    /// Reads the dword at `offset` (a multiple of 4 below 1000h).
    fn read(&mut self, offset: u16) -> u32;
    /// Writes the dword at `offset`.
    fn write(&mut self, offset: u16, value: u32);
}

/// Guest interrupt status (SDM Vol. 3C 25.4.2): RVI and SVI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct GuestInterruptStatus(pub u16);

impl GuestInterruptStatus {
    /// Requesting virtual interrupt.
    pub const fn rvi(self) -> u8 {
        self.0 as u8
    }
    /// Servicing virtual interrupt.
    pub const fn svi(self) -> u8 {
        (self.0 >> 8) as u8
    }
    /// With another RVI.
    pub const fn with_rvi(self, rvi: u8) -> Self {
        Self(self.0 & 0xFF00 | rvi as u16)
    }
    /// With another SVI.
    pub const fn with_svi(self, svi: u8) -> Self {
        Self(self.0 & 0x00FF | (svi as u16) << 8)
    }
}

/// What the processor must do after a virtualization step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Nothing more.
    Nothing,
    /// Trap-like VM exit 43.
    TprBelowThreshold,
    /// Trap-like VM exit 45; the vector is the exit qualification.
    VirtualizedEoi(u8),
    /// Trap-like VM exit 56; the page offset is the exit qualification.
    ApicWrite(u16),
    /// Evaluate pending virtual interrupts ([`recognized`]).
    Evaluate,
    /// IPI virtualization: send `vector` to the virtual processor with this virtual APIC id ([`ipi_target`]).
    SendIpi {
        /// Vector.
        vector: u8,
        /// Virtual APIC id (index into the PID-pointer table).
        destination: u32,
    },
}

fn bit_offset(base: u16, vector: u8) -> (u16, u32) {
    (base + u16::from(vector >> 5) * 0x10, 1 << (vector & 31))
}
fn set(page: &mut impl VirtualApicPage, base: u16, vector: u8) {
    let (offset, bit) = bit_offset(base, vector);
    let value = page.read(offset) | bit;
    page.write(offset, value);
}
fn clear(page: &mut impl VirtualApicPage, base: u16, vector: u8) {
    let (offset, bit) = bit_offset(base, vector);
    let value = page.read(offset) & !bit;
    page.write(offset, value);
}
/// Highest vector set in VISR or VIRR, 0 when none.
fn highest(page: &mut impl VirtualApicPage, base: u16) -> u8 {
    for word in (0..8u16).rev() {
        let value = page.read(base + word * 0x10);
        if value != 0 {
            return (word * 32 + (31 - value.leading_zeros() as u16)) as u8;
        }
    }
    0
}

/// PPR virtualization (30.1.3). Writes VPPR and returns it.
pub fn ppr_virtualization(page: &mut impl VirtualApicPage, status: GuestInterruptStatus) -> u8 {
    let vtpr = page.read(register::TPR) as u8;
    let svi = status.svi();
    let vppr = if vtpr >> 4 >= svi >> 4 { vtpr } else { svi & 0xF0 };
    page.write(register::PPR, vppr.into());
    vppr
}

/// Evaluation of pending virtual interrupts (30.2.1): whether one is recognized. Not while “interrupt-window exiting”
/// is 1.
pub fn recognized(page: &mut impl VirtualApicPage, status: GuestInterruptStatus, controls: &ExecutionControls) -> bool {
    let window = controls.primary.contains(PrimaryProcessorControls::INTERRUPT_WINDOW_EXITING);
    !window && status.rvi() >> 4 > page.read(register::PPR) as u8 >> 4
}

/// TPR virtualization (30.1.2), after VTPR has been written.
pub fn tpr_virtualization(
    page: &mut impl VirtualApicPage,
    status: GuestInterruptStatus,
    controls: &ExecutionControls,
) -> After {
    if controls.secondary.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY) {
        ppr_virtualization(page, status);
        return After::Evaluate;
    }
    match (page.read(register::TPR) as u8) >> 4 < controls.tpr_threshold {
        true => After::TprBelowThreshold,
        false => After::Nothing,
    }
}

/// EOI virtualization (30.1.4).
pub fn eoi_virtualization(
    page: &mut impl VirtualApicPage,
    status: &mut GuestInterruptStatus,
    controls: &ExecutionControls,
) -> After {
    let vector = status.svi();
    clear(page, register::ISR, vector);
    let next = highest(page, register::ISR);
    *status = status.with_svi(next);
    ppr_virtualization(page, *status);
    if eoi_exits(&controls.eoi_exit, vector) { After::VirtualizedEoi(vector) } else { After::Evaluate }
}

/// Self-IPI virtualization (30.1.5).
pub fn self_ipi_virtualization(
    page: &mut impl VirtualApicPage,
    status: &mut GuestInterruptStatus,
    vector: u8,
) -> After {
    set(page, register::IRR, vector);
    *status = status.with_rvi(status.rvi().max(vector));
    After::Evaluate
}

/// Virtual-interrupt delivery (30.2.2): the vector to deliver through the IDT.
pub fn deliver(page: &mut impl VirtualApicPage, status: &mut GuestInterruptStatus) -> u8 {
    let vector = status.rvi();
    set(page, register::ISR, vector);
    *status = status.with_svi(vector);
    page.write(register::PPR, u32::from(vector & 0xF0));
    clear(page, register::IRR, vector);
    let next = highest(page, register::IRR);
    *status = status.with_rvi(next);
    vector
}

/// Posted-interrupt processing (30.6), from the step that copies PIR on: `requests` is PIR, which the caller has read
/// and cleared in one locked exchange per quadword after clearing “outstanding notification”.
pub fn posted_interrupts(
    page: &mut impl VirtualApicPage,
    status: &mut GuestInterruptStatus,
    requests: &[u64; 4],
) -> After {
    for (n, &quadword) in requests.iter().enumerate() {
        for half in 0..2 {
            let bits = (quadword >> (32 * half)) as u32;
            let offset = register::IRR + 0x10 * (2 * n as u16 + half);
            let value = page.read(offset) | bits;
            page.write(offset, value);
        }
    }
    let top = requests.iter().enumerate().rev().find(|(_, quadword)| **quadword != 0);
    if let Some((n, quadword)) = top {
        let vector = (64 * n as u32 + 63 - quadword.leading_zeros()) as u8;
        *status = status.with_rvi(status.rvi().max(vector));
    }
    After::Evaluate
}

/// An access to the APIC-access page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageAccess {
    /// Data read, by an instruction or by the delivery of an event.
    Read,
    /// Data write, likewise.
    Write,
    /// Read-modify-write: virtualized if its read and its write both are.
    ReadWrite,
    /// Instruction fetch.
    Fetch,
    /// By a guest-physical address that is not the translation of a linear one: guest paging structures, PDPTEs
    /// (30.4.6.1 "Guest-Physical Accesses to the APIC-Access Page").
    GuestPhysical,
}

/// A write that has been virtualized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageWrite {
    /// Page offset.
    pub offset: u16,
    /// Bytes, 1 to 4.
    pub size: u8,
}

fn read_virtualized(controls: &ExecutionControls, offset: u16) -> bool {
    use register::*;
    if !controls.secondary.contains(SecondaryProcessorControls::APIC_REGISTER_VIRTUALIZATION) {
        // “IPI virtualization” is of writes alone.
        let delivery = controls.secondary.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY);
        return offset == TPR || delivery && matches!(offset, EOI | ICR_LOW);
    }
    matches!(offset & 0xFF0,
        ID | VERSION | TPR | EOI | LDR | DFR | SVR | ISR..=0x270 | ESR | ICR_LOW | ICR_HIGH
        | LVT_TIMER..=LVT_ERROR | INITIAL_COUNT | DIVIDE)
}

fn write_virtualized(controls: &ExecutionControls, offset: u16) -> bool {
    use register::*;
    if !controls.secondary.contains(SecondaryProcessorControls::APIC_REGISTER_VIRTUALIZATION) {
        let delivery = controls.secondary.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY);
        let ipi = controls.tertiary.contains(TertiaryProcessorControls::IPI_VIRTUALIZATION);
        return match offset {
            TPR => true,
            EOI => delivery,
            ICR_LOW => delivery || ipi,
            _ => false,
        };
    }
    matches!(
        offset & 0xFF0,
        ID | TPR | EOI | LDR | DFR | SVR | ESR | ICR_LOW | ICR_HIGH | LVT_TIMER..=LVT_ERROR | INITIAL_COUNT | DIVIDE
    )
}

/// Whether an access of `size` bytes at `offset` of the APIC-access page is redirected to the virtual-APIC page
/// (30.4.2 "Virtualizing Reads from the APIC-Access Page", 30.4.3.1 "Determining Whether a Write Access is
/// Virtualized"); otherwise it causes VM exit 44. `earlier` is a write of the same operation that has been virtualized.
pub fn page_access_virtualized(
    controls: &ExecutionControls,
    access: PageAccess,
    offset: u16,
    size: u8,
    earlier: Option<PageWrite>,
) -> bool {
    // Entirely within the low four bytes of 16.
    let narrow = size <= 4 && (offset & 0xF) + u16::from(size) <= 4;
    if !narrow || !controls.primary.contains(PrimaryProcessorControls::USE_TPR_SHADOW) {
        return false;
    }
    let reads = || earlier.is_none() && read_virtualized(controls, offset);
    let writes =
        || earlier.is_none_or(|write| write == PageWrite { offset, size }) && write_virtualized(controls, offset);
    match access {
        PageAccess::Read => reads(),
        PageAccess::Write => writes(),
        PageAccess::ReadWrite => reads() && writes(),
        PageAccess::Fetch | PageAccess::GuestPhysical => false,
    }
}

/// Bits of an x2APIC's ICR that WRMSR must leave 0, virtualized or not: 31:20, 17:16 and 13. Bit 12 is not one of them:
/// it is the delivery status of xAPIC mode, and processors ignore it in a written value.
/// SDM Vol. 3A 11.12.9 (ICR Operation in x2APIC Mode), Vol. 3C 30.5 (Virtualizing MSR-Based APIC Accesses).
pub const X2APIC_ICR_RESERVED: u64 = 0xFFF3_2000;

/// Whether an ICR value may be virtualized: fixed, edge, vector of at least 16, no reserved bit.
fn ordinary_ipi(icr_low: u32) -> bool {
    // Reserved bits 31:20, 17:16, 13; trigger mode 15; delivery status 12; delivery mode 10:8.
    icr_low & 0xFFF3_B700 == 0 && icr_low & 0xF0 != 0
}

const NO_SHORTHAND: u32 = 0;
const SELF: u32 = 1;

/// The destination shorthand of an ICR value.
fn shorthand(icr_low: u32) -> u32 {
    (icr_low >> 18) & 3
}

/// A write to the ICR's low half on the APIC-access page (32.4.3.2, "APIC-Write Emulation").
fn icr_virtualization(
    page: &mut impl VirtualApicPage,
    status: &mut GuestInterruptStatus,
    controls: &ExecutionControls,
    icr_low: u32,
    destination: u32,
) -> After {
    let delivery = controls.secondary.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY);
    let ipi = controls.tertiary.contains(TertiaryProcessorControls::IPI_VIRTUALIZATION);
    // Bit 11 (destination mode) does not matter for the shorthand "self".
    if delivery && shorthand(icr_low) == SELF && ordinary_ipi(icr_low) {
        return self_ipi_virtualization(page, status, icr_low as u8);
    }
    if ipi { send_ipi(icr_low, destination) } else { After::ApicWrite(register::ICR_LOW) }
}

/// IPI virtualization of what it is for: an ordinary IPI to a physical destination without a shorthand.
fn send_ipi(icr_low: u32, destination: u32) -> After {
    match ordinary_ipi(icr_low) && shorthand(icr_low) == NO_SHORTHAND && icr_low & (1 << 11) == 0 {
        true => After::SendIpi { vector: icr_low as u8, destination },
        false => After::ApicWrite(register::ICR_LOW),
    }
}

/// APIC-write emulation (30.4.3.2): after a virtualized write at `offset` has reached the virtual-APIC page. It is the
/// exact offset that decides, and that an APIC-write VM exit reports.
pub fn apic_write(
    page: &mut impl VirtualApicPage,
    status: &mut GuestInterruptStatus,
    controls: &ExecutionControls,
    offset: u16,
) -> After {
    const ICR_HIGH_END: u16 = register::ICR_HIGH + 3;
    let delivery = controls.secondary.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY);
    match offset {
        register::TPR => {
            let value = page.read(register::TPR) & 0xFF;
            page.write(register::TPR, value);
            tpr_virtualization(page, *status, controls)
        }
        register::EOI if delivery => {
            page.write(register::EOI, 0);
            eoi_virtualization(page, status, controls)
        }
        register::ICR_LOW => {
            let low = page.read(register::ICR_LOW);
            let destination = page.read(register::ICR_HIGH) >> 24;
            icr_virtualization(page, status, controls, low, destination)
        }
        register::ICR_HIGH..=ICR_HIGH_END => {
            let value = page.read(register::ICR_HIGH) & 0xFF00_0000;
            page.write(register::ICR_HIGH, value);
            After::Nothing
        }
        _ => After::ApicWrite(offset),
    }
}

/// What RDMSR or WRMSR of an x2APIC MSR does when the MSR bitmaps do not make it exit (30.5 "Virtualizing MSR-Based
/// APIC Accesses").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MsrAccess {
    /// Not virtualized: the physical local APIC answers.
    Physical,
    /// #GP(0).
    GeneralProtection,
    /// RDMSR gives this value.
    Read(u64),
    /// WRMSR has been virtualized.
    Written(After),
}

/// RDMSR of `index`, which is in 800h–8FFh.
pub fn read_x2apic(page: &mut impl VirtualApicPage, controls: &ExecutionControls, index: u32) -> MsrAccess {
    let secondary = controls.secondary;
    if !secondary.contains(SecondaryProcessorControls::VIRTUALIZE_X2APIC_MODE) || index & !0xFF != 0x800 {
        return MsrAccess::Physical;
    }
    let offset = (index as u16 & 0xFF) << 4;
    if offset != register::TPR && !secondary.contains(SecondaryProcessorControls::APIC_REGISTER_VIRTUALIZATION) {
        return MsrAccess::Physical;
    }
    MsrAccess::Read(u64::from(page.read(offset)) | u64::from(page.read(offset + 4)) << 32)
}

/// WRMSR of `value` to `index`, which is in 800h–8FFh.
pub fn write_x2apic(
    page: &mut impl VirtualApicPage,
    status: &mut GuestInterruptStatus,
    controls: &ExecutionControls,
    index: u32,
    value: u64,
) -> MsrAccess {
    use crate::arch::msr;
    let secondary = controls.secondary;
    if !secondary.contains(SecondaryProcessorControls::VIRTUALIZE_X2APIC_MODE) {
        return MsrAccess::Physical;
    }
    let delivery = secondary.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY);
    let ipi = controls.tertiary.contains(TertiaryProcessorControls::IPI_VIRTUALIZATION);
    let mut store = |offset: u16, value: u64| {
        page.write(offset, value as u32);
        page.write(offset + 4, (value >> 32) as u32);
    };
    match index {
        msr::IA32_X2APIC_TPR => {
            if value >> 8 != 0 {
                return MsrAccess::GeneralProtection;
            }
            store(register::TPR, value);
            MsrAccess::Written(tpr_virtualization(page, *status, controls))
        }
        msr::IA32_X2APIC_EOI if delivery => {
            if value != 0 {
                return MsrAccess::GeneralProtection;
            }
            store(register::EOI, 0);
            MsrAccess::Written(eoi_virtualization(page, status, controls))
        }
        msr::IA32_X2APIC_SELF_IPI if delivery => {
            if value >> 8 != 0 {
                return MsrAccess::GeneralProtection;
            }
            store(0x3F0, value);
            let vector = value as u8;
            MsrAccess::Written(match vector >> 4 {
                0 => After::ApicWrite(0x3F0),
                _ => self_ipi_virtualization(page, status, vector),
            })
        }
        msr::IA32_X2APIC_ICR if ipi => {
            if value & X2APIC_ICR_RESERVED != 0 {
                return MsrAccess::GeneralProtection;
            }
            store(register::ICR_LOW, value);
            // Self-IPI virtualization has an MSR of its own.
            MsrAccess::Written(send_ipi(value as u32, (value >> 32) as u32))
        }
        _ => MsrAccess::Physical,
    }
}

/// IPI virtualization (30.1.6): the address of the posted-interrupt descriptor of a destination, from the PID-pointer
/// table; `None`: APIC-write VM exit.
pub fn ipi_target(
    table: u64,
    last_index: u16,
    destination: u32,
    maxphyaddr: u8,
    read_u64: impl FnOnce(u64) -> u64,
) -> Option<u64> {
    if destination > u32::from(last_index) {
        return None;
    }
    let pointer = read_u64((table & !7).wrapping_add(8 * u64::from(destination)));
    // Bit 0: valid; bits 5:1 and those beyond the physical-address width are reserved.
    (pointer & (0x3F | !physical_mask(maxphyaddr)) == 1).then_some(pointer & !0x3F)
}

/// MOV to CR8 of `value` (0–15) with “use TPR shadow” (30.3): VTPR takes it in bits 7:4.
pub fn mov_to_cr8(
    page: &mut impl VirtualApicPage,
    status: GuestInterruptStatus,
    controls: &ExecutionControls,
    value: u8,
) -> After {
    page.write(register::TPR, u32::from(value & 0xF) << 4);
    tpr_virtualization(page, status, controls)
}

/// MOV from CR8 with “use TPR shadow” (30.3).
pub fn mov_from_cr8(page: &mut impl VirtualApicPage) -> u8 {
    (page.read(register::TPR) >> 4) as u8 & 0xF
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Page([u32; 1024]);
    impl VirtualApicPage for Page {
        fn read(&mut self, offset: u16) -> u32 {
            self.0[usize::from(offset / 4)]
        }
        fn write(&mut self, offset: u16, value: u32) {
            self.0[usize::from(offset / 4)] = value;
        }
    }
    fn page() -> Page {
        Page([0; 1024])
    }
    fn shadow() -> ExecutionControls {
        ExecutionControls { primary: PrimaryProcessorControls::USE_TPR_SHADOW, ..ExecutionControls::default() }
    }
    fn delivery() -> ExecutionControls {
        ExecutionControls { secondary: SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY, ..shadow() }
    }

    #[test]
    fn tpr_below_threshold_exits_after_mov_to_cr8() {
        let c = ExecutionControls { tpr_threshold: 2, ..shadow() };
        let mut p = page();
        assert_eq!(mov_to_cr8(&mut p, GuestInterruptStatus(0), &c, 2), After::Nothing);
        assert_eq!(mov_to_cr8(&mut p, GuestInterruptStatus(0), &c, 1), After::TprBelowThreshold);
        assert_eq!((p.read(register::TPR), mov_from_cr8(&mut p)), (0x10, 1));
    }

    #[test]
    fn virtual_interrupt_goes_from_irr_to_isr_and_eoi_takes_it_out() {
        let (mut p, mut status, c) = (page(), GuestInterruptStatus(0), delivery());
        self_ipi_virtualization(&mut p, &mut status, 0x51);
        self_ipi_virtualization(&mut p, &mut status, 0x62);
        assert!(recognized(&mut p, status, &c));
        assert_eq!(deliver(&mut p, &mut status), 0x62);
        assert_eq!((status.svi(), status.rvi(), p.read(register::PPR)), (0x62, 0x51, 0x60));
        assert!(!recognized(&mut p, status, &c), "5xh is not above the priority class in service");
        assert_eq!(eoi_virtualization(&mut p, &mut status, &c), After::Evaluate);
        assert_eq!((status.svi(), p.read(register::PPR)), (0, 0));
        assert!(recognized(&mut p, status, &c));
        let window = ExecutionControls { primary: PrimaryProcessorControls::INTERRUPT_WINDOW_EXITING, ..delivery() };
        assert!(!recognized(&mut p, status, &window));
    }

    #[test]
    fn eoi_with_its_bit_in_the_eoi_exit_bitmap_exits() {
        let (mut p, mut status) = (page(), GuestInterruptStatus(0x8000));
        let c = ExecutionControls { eoi_exit: [0, 0, 1, 0], ..delivery() };
        set(&mut p, register::ISR, 0x80);
        set(&mut p, register::ISR, 0x31);
        assert_eq!(eoi_virtualization(&mut p, &mut status, &c), After::VirtualizedEoi(0x80));
        assert_eq!(status.svi(), 0x31);
    }

    /// Offsets at which accesses of `size` bytes are virtualized.
    fn offsets(controls: &ExecutionControls, access: PageAccess, size: u8) -> alloc::vec::Vec<u16> {
        (0..0x1000).filter(|&at| page_access_virtualized(controls, access, at, size, None)).collect()
    }

    // 32.4.2 "Virtualizing Reads from the APIC-Access Page", 32.4.3.1 "Determining Whether a Write Access is
    // Virtualized".
    #[test]
    fn apic_page_without_register_virtualization_redirects_exact_offsets_only() {
        use PageAccess::*;
        let ipi = ExecutionControls { tertiary: TertiaryProcessorControls::IPI_VIRTUALIZATION, ..shadow() };
        for size in [1, 2, 3, 4] {
            for (controls, read) in [(shadow(), &[0x80][..]), (delivery(), &[0x80, 0xB0, 0x300]), (ipi, &[0x80])] {
                assert_eq!(offsets(&controls, Read, size), read);
                assert_eq!(offsets(&controls, ReadWrite, size), read);
                assert_eq!(offsets(&controls, Fetch, size), []);
                assert_eq!(offsets(&controls, GuestPhysical, size), []);
            }
            assert_eq!(offsets(&shadow(), Write, size), [0x80]);
            assert_eq!(offsets(&delivery(), Write, size), [0x80, 0xB0, 0x300]);
            assert_eq!(offsets(&ipi, Write, size), [0x80, 0x300]);
        }
        assert_eq!(offsets(&shadow(), Read, 8), []);
        assert_eq!(offsets(&ExecutionControls::default(), Read, 4), []);
    }

    #[test]
    fn apic_page_with_register_virtualization_redirects_whatever_lies_within_a_register() {
        use PageAccess::*;
        let all = ExecutionControls { secondary: SecondaryProcessorControls::APIC_REGISTER_VIRTUALIZATION, ..shadow() };
        for access in [Read, Write, ReadWrite] {
            let dwords = offsets(&all, access, 4);
            let bytes = offsets(&all, access, 1);
            assert_eq!(bytes.len(), 4 * dwords.len(), "{access:?}");
            assert!(bytes.iter().all(|byte| dwords.contains(&(byte & !3))), "{access:?}");
            assert_eq!(dwords.contains(&0x30), access == Read, "the version is read-only");
            assert!(!dwords.contains(&0x390) && dwords.contains(&0x310));
        }
    }

    #[test]
    fn apic_page_after_a_virtualized_write_takes_but_the_same_write_from_its_operation() {
        let c = delivery();
        let earlier = |size| Some(PageWrite { offset: 0x80, size });
        assert!(page_access_virtualized(&c, PageAccess::Write, 0x80, 4, earlier(4)));
        assert!(!page_access_virtualized(&c, PageAccess::Write, 0x80, 4, earlier(1)));
        assert!(!page_access_virtualized(&c, PageAccess::Write, 0xB0, 4, earlier(4)));
        assert!(!page_access_virtualized(&c, PageAccess::Read, 0x80, 4, earlier(4)));
        assert!(!page_access_virtualized(&c, PageAccess::ReadWrite, 0x80, 4, earlier(4)));
    }

    // 30.4.3.2 "APIC-Write Emulation", 30.4.3.3 "APIC-Write VM Exits".
    #[test]
    fn apic_write_emulation_goes_by_the_exact_offset() {
        let mut p = page();
        let mut status = GuestInterruptStatus(0);
        for offset in [0x81, 0xB1, 0x301, 0x323, 0x20] {
            assert_eq!(apic_write(&mut p, &mut status, &delivery(), offset), After::ApicWrite(offset), "{offset:x}");
        }
        for offset in 0x310..0x314 {
            p.write(register::ICR_HIGH, 0xAB12_3456);
            assert_eq!(apic_write(&mut p, &mut status, &delivery(), offset), After::Nothing);
            assert_eq!(p.read(register::ICR_HIGH), 0xAB00_0000);
        }
        p.write(register::TPR, 0x1234_5678);
        assert_eq!(apic_write(&mut p, &mut status, &shadow(), 0x80), After::Nothing);
        assert_eq!(p.read(register::TPR), 0x78);
        assert_eq!(apic_write(&mut p, &mut status, &shadow(), 0xB0), After::ApicWrite(0xB0));
    }

    #[test]
    fn icr_write_of_a_fixed_self_ipi_is_virtualized_others_exit() {
        let (mut p, mut status, c) = (page(), GuestInterruptStatus(0), delivery());
        p.write(register::ICR_LOW, 0x4_0051);
        assert_eq!(apic_write(&mut p, &mut status, &c, 0x300), After::Evaluate);
        assert_eq!(status.rvi(), 0x51);
        for icr in [0x51, 0x4_000F, 0x4_0451, 0x4_8051, 0xC_0051] {
            p.write(register::ICR_LOW, icr);
            assert_eq!(apic_write(&mut p, &mut status, &c, 0x300), After::ApicWrite(0x300), "{icr:x}");
        }
    }

    #[test]
    fn x2apic_msr_reserved_bits_fault_and_self_ipi_below_16_exits() {
        let c = ExecutionControls {
            secondary: SecondaryProcessorControls::VIRTUALIZE_X2APIC_MODE
                | SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY,
            ..shadow()
        };
        let (mut p, mut status) = (page(), GuestInterruptStatus(0));
        assert_eq!(write_x2apic(&mut p, &mut status, &c, 0x808, 0x100), MsrAccess::GeneralProtection);
        assert_eq!(write_x2apic(&mut p, &mut status, &c, 0x80B, 1), MsrAccess::GeneralProtection);
        assert_eq!(write_x2apic(&mut p, &mut status, &c, 0x83F, 5), MsrAccess::Written(After::ApicWrite(0x3F0)));
        assert_eq!(write_x2apic(&mut p, &mut status, &c, 0x83F, 0x45), MsrAccess::Written(After::Evaluate));
        assert_eq!(status.rvi(), 0x45);
        assert_eq!(write_x2apic(&mut p, &mut status, &c, 0x830, 0), MsrAccess::Physical);
        write_x2apic(&mut p, &mut status, &c, 0x808, 0x37);
        assert_eq!(read_x2apic(&mut p, &c, 0x808), MsrAccess::Read(0x37));
        assert_eq!(read_x2apic(&mut p, &c, 0x80A), MsrAccess::Physical);
    }

    #[test]
    fn x2apic_icr_with_reserved_bits_faults_and_with_delivery_status_exits() {
        let mut c = delivery();
        c.secondary |= SecondaryProcessorControls::VIRTUALIZE_X2APIC_MODE;
        c.tertiary |= TertiaryProcessorControls::IPI_VIRTUALIZATION;
        let (mut p, mut status) = (page(), GuestInterruptStatus(0));
        for bit in 0..32 {
            let value = 0x7_0000_0051 ^ 1 << bit;
            let reserved = matches!(bit, 13 | 16 | 17 | 20..=31);
            p.write(register::ICR_LOW, 0);
            let access = write_x2apic(&mut p, &mut status, &c, 0x830, value);
            assert_eq!(access == MsrAccess::GeneralProtection, reserved, "bit {bit}");
            assert_eq!(p.read(register::ICR_LOW), if reserved { 0 } else { value as u32 }, "bit {bit}");
        }
        // Bit 12 and shorthands: no fault, and no interrupt without the hypervisor, even to itself.
        status = GuestInterruptStatus(0);
        for value in [0x1051, 0x4_1051, 0x4_0051, 0x8_0051, 0xC_0051] {
            let access = write_x2apic(&mut p, &mut status, &c, 0x830, value);
            assert_eq!(access, MsrAccess::Written(After::ApicWrite(0x300)), "{value:x}");
        }
        assert_eq!(status.rvi(), 0);
        let access = write_x2apic(&mut p, &mut status, &c, 0x830, 0x7_0000_0051);
        assert_eq!(access, MsrAccess::Written(After::SendIpi { vector: 0x51, destination: 7 }));
    }

    #[test]
    fn posted_interrupts_raise_rvi_to_the_highest_request() {
        let (mut p, mut status) = (page(), GuestInterruptStatus(0x30));
        posted_interrupts(&mut p, &mut status, &[0, 1 << 6, 0, 1 << 63]);
        assert_eq!(status.rvi(), 0xFF);
        assert_eq!((p.read(0x220), p.read(0x270)), (1 << 6, 1 << 31));
    }

    #[test]
    fn ipi_target_needs_a_valid_pointer_within_the_table() {
        assert_eq!(ipi_target(0x1000, 3, 2, 36, |a| if a == 0x1010 { 0x5001 } else { 0 }), Some(0x5000));
        assert_eq!(ipi_target(0x1000, 3, 4, 36, |_| 0x5001), None);
        assert_eq!(ipi_target(0x1000, 3, 1, 36, |_| 0x5000), None);
        for bit in (1..=5).chain(36..=63) {
            assert_eq!(ipi_target(0x1000, 3, 1, 36, |_| 0x5001 | 1 << bit), None, "bit {bit}");
        }
        assert_eq!(ipi_target(0x1000, 3, 1, 36, |_| 0x5001 | 1 << 35), Some(0x8_0000_5000));
    }
}

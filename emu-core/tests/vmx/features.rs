//! Features of VMX non-root operation that the model `max` offers.

use crate::guest::*;
use emu_vmx::arch::vector;
use emu_vmx::controls::*;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;

const VMFUNC: [u8; 3] = [0x0F, 0x01, 0xD4];

/// MOV ECX, `ecx`; VMFUNC; HLT.
fn vmfunc(ecx: u32) -> Vec<u8> {
    let [a, b, c, d] = ecx.to_le_bytes();
    [&[0xB9, a, b, c, d][..], &VMFUNC, &[0xF4]].concat()
}

/// A guest with EPTP switching whose list has the present EPTP as entry 0 and other structures as entry 1.
fn switching(code: &[u8]) -> Guest {
    let mut guest = Guest::with_ept(code);
    guest.secondary(SecondaryProcessorControls::ENABLE_VM_FUNCTIONS);
    guest.set(Field::VmFunctionControls, 1);
    guest.set(Field::EptpListAddress, PAGES);
    guest.make_ept(EPT + 0x8000);
    guest.write(PAGES, EPT | 0x5E);
    guest.write(PAGES + 8, (EPT + 0x8000) | 0x5E);
    guest
}

#[test]
fn vmfunc_eptp_switching_uses_the_list_entry_and_writes_the_eptp_field() {
    let mut guest = switching(&[&vmfunc(1)[..8], &[0x48, 0xA1], &DATA.to_le_bytes(), &[0xF4]].concat());
    // The other structures map the data page elsewhere.
    guest.write(EPT + 0x8000 + 0x3000 + (DATA >> 12) * 8, (DATA + 0x1000) | 0x37);
    guest.write(DATA, 1);
    guest.write(DATA + 0x1000, 2);
    guest.expect(ExitReason::Hlt);
    assert_eq!((guest.bench.cpu.gpr[0], guest.get(Field::EptPointer)), (2, (EPT + 0x8000) | 0x5E));
}

#[test]
fn vmfunc_with_ecx_of_512_or_an_invalid_entry_exits_59() {
    for ecx in [512, 2] {
        let mut guest = switching(&vmfunc(ecx));
        guest.write(PAGES + 16, 0x1234_5678_9ABC_DEF0);
        guest.expect(ExitReason::Vmfunc);
        assert_eq!((guest.get(Field::VmExitInstructionLength), guest.get(Field::EptPointer)), (3, EPT | 0x5E));
    }
}

#[test]
fn vmfunc_of_a_function_that_is_not_enabled_exits_above_63_or_without_the_control_is_ud() {
    let code = |eax: u8| [&[0xB8, eax, 0, 0, 0][..], &VMFUNC, &[0xF4]].concat();
    let mut guest = switching(&code(5));
    guest.expect(ExitReason::Vmfunc);
    let mut guest = switching(&code(64));
    guest.expect_vector(vector::UD);
    let mut guest = Guest::new(&code(0));
    guest.expect_vector(vector::UD);
}

/// MOV [DATA], RAX; HLT.
fn store() -> Vec<u8> {
    [&[0x48, 0xA3][..], &DATA.to_le_bytes(), &[0xF4]].concat()
}

fn with_pml(index: u64) -> Guest {
    let mut guest = Guest::with_ept(&store());
    guest.secondary(SecondaryProcessorControls::ENABLE_PML);
    guest.set(Field::PmlAddress, PAGES);
    guest.set(Field::PmlIndex, index);
    guest
}

#[test]
fn pml_logs_each_page_whose_dirty_flag_is_set_and_counts_the_index_down() {
    let mut guest = with_pml(511);
    guest.expect(ExitReason::Hlt);
    let first = guest.get(Field::PmlIndex) + 1;
    let logged: Vec<u64> = (first..512).map(|n| guest.read(PAGES + 8 * n)).collect();
    assert!(logged.contains(&DATA), "{logged:x?}");
    assert!(logged.iter().all(|page| page & 0xFFF == 0));
    assert_eq!(guest.read(Guest::ept_entry(DATA)) & 0x300, 0x300);
}

#[test]
fn pml_index_out_of_range_exits_62_before_a_flag_is_set() {
    let mut guest = with_pml(512);
    guest.expect(ExitReason::PageModificationLogFull);
    assert_eq!(guest.get(Field::PmlIndex), 512);
    assert_eq!(guest.read(Guest::ept_entry(DATA)) & 0x300, 0);
}

#[test]
fn pml_index_goes_from_0_to_ffff_and_the_next_log_exits() {
    let mut guest = with_pml(0);
    guest.expect(ExitReason::PageModificationLogFull);
    assert_eq!(guest.get(Field::PmlIndex), 0xFFFF);
}

fn with_ve(entry: u64) -> Guest {
    let mut guest = Guest::with_ept(&store());
    guest.secondary(SecondaryProcessorControls::EPT_VIOLATION_VE);
    guest.set(Field::VirtualizationExceptionInformationAddress, PAGES);
    guest.set(Field::EptpIndex, 0x123);
    guest.write(Guest::ept_entry(DATA), entry);
    guest
}

#[test]
fn ept_violation_ve_is_vector_20_and_fills_the_information_area() {
    let mut guest = with_ve(0);
    guest.expect_vector(vector::VE);
    assert_eq!(guest.read(PAGES), 0xFFFF_FFFF_0000_0030);
    assert_eq!(guest.read(PAGES + 8) & 0x187, 0x182, "a write, linear address valid, final address");
    assert_eq!((guest.read(PAGES + 16), guest.read(PAGES + 24)), (DATA, DATA));
    assert_eq!(guest.read(PAGES + 32), 0x123);
}

#[test]
fn ept_violation_exits_when_the_entry_suppresses_ve_or_the_area_is_in_use() {
    let mut guest = with_ve(1 << 63);
    guest.expect(ExitReason::EptViolation);
    let mut guest = with_ve(0);
    guest.write(PAGES, 1 << 32);
    guest.expect(ExitReason::EptViolation);
    assert_eq!(guest.get(Field::GuestPhysicalAddress), DATA);
}

#[test]
fn ept_violation_reports_the_length_of_the_instruction_and_the_page() {
    let mut guest = Guest::with_ept(&store());
    guest.write(Guest::ept_entry(DATA), DATA | 0x35);
    guest.expect(ExitReason::EptViolation);
    assert_eq!(guest.get(Field::VmExitInstructionLength), 10);
    // A write to a readable and executable page; the guest's page is user-mode and read/write.
    assert_eq!(guest.get(Field::ExitQualification), 0x7AA);
}

/// XSAVES [RDI]; HLT with RDI at DATA.
fn xsaves() -> Vec<u8> {
    [&[0x48, 0xBF][..], &DATA.to_le_bytes(), &[0x0F, 0xC7, 0x2F, 0xF4]].concat()
}

#[test]
fn xsaves_without_its_control_is_ud() {
    let mut guest = Guest::new(&xsaves());
    guest.expect_vector(vector::UD);
}

#[test]
fn xsaves_exits_63_by_the_xss_exiting_bitmap() {
    let mut guest = Guest::new(&xsaves());
    guest.secondary(SecondaryProcessorControls::ENABLE_XSAVES_XRSTORS);
    guest.set(Field::XssExitingBitmap, 0x100);
    guest.bench.cpu.gpr[0] = 0x100;
    guest.expect(ExitReason::Hlt);
    let mut guest = Guest::new(&xsaves());
    guest.secondary(SecondaryProcessorControls::ENABLE_XSAVES_XRSTORS);
    guest.set(Field::XssExitingBitmap, 0x100);
    guest.bench.cpu.sys.xss = 0x100;
    guest.bench.cpu.gpr[0] = 0x100;
    guest.expect(ExitReason::Xsaves);
    assert_eq!(guest.get(Field::VmExitInstructionLength), 3);
    // Base register RDI, address size 64, segment DS, no index.
    assert_eq!(guest.get(Field::VmExitInstructionInformation), 7 << 23 | 1 << 22 | 3 << 15 | 2 << 7);
}

/// PID-pointer table and posted-interrupt descriptor of IPI virtualization.
const PID_TABLE: u64 = PAGES + 0x3000;
const DESCRIPTOR: u64 = PAGES + 0x4000;

/// A guest whose IPIs to destination 1 are posted: notification vector F2h to `destination` as the descriptor has it.
fn virtual_ipis(code: &[u8], mode: SecondaryProcessorControls, destination: u64, valid: bool) -> Guest {
    let mut guest = Guest::new(code);
    guest.primary(PrimaryProcessorControls::USE_MSR_BITMAPS | PrimaryProcessorControls::USE_TPR_SHADOW);
    guest.secondary(
        mode | SecondaryProcessorControls::APIC_REGISTER_VIRTUALIZATION
            | SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY,
    );
    guest.pin(PinBasedControls::EXTERNAL_INTERRUPT_EXITING);
    guest.or(Field::VmExitControls, VmExitControls::ACKNOWLEDGE_INTERRUPT_ON_EXIT.bits().into());
    guest.tertiary(TertiaryProcessorControls::IPI_VIRTUALIZATION);
    guest.set(Field::MsrBitmaps, PAGES);
    guest.set(Field::VirtualApicAddress, PAGES + 0x1000);
    guest.set(Field::PidPointerTableAddress, PID_TABLE);
    guest.set(Field::LastPidPointerIndex, 1);
    guest.write(PID_TABLE + 8, DESCRIPTOR | u64::from(valid));
    guest.write(DESCRIPTOR + 32, destination << 32 | 0xF2 << 16);
    guest
}

#[test]
fn ipi_virtualization_posts_the_vector_and_notifies_the_processor_of_the_descriptor() {
    // MOV ECX, 830h; MOV EDX, 1; MOV EAX, 61h; WRMSR; HLT
    let code = [0xB9, 0x30, 8, 0, 0, 0xBA, 1, 0, 0, 0, 0xB8, 0x61, 0, 0, 0, 0x0F, 0x30, 0xF4];
    for valid in [true, false] {
        let mut guest = virtual_ipis(&code, SecondaryProcessorControls::VIRTUALIZE_X2APIC_MODE, 7, valid);
        if !valid {
            guest.expect(ExitReason::ApicWrite);
            assert_eq!(guest.get(Field::ExitQualification), 0x300);
            continue;
        }
        guest.run_until_ipi();
        assert_eq!(guest.read(DESCRIPTOR + 8), 1 << (0x61 - 64));
        assert_eq!(guest.read(DESCRIPTOR + 32), 7 << 32 | 0xF2 << 16 | 1, "outstanding notification");
        let sent = &guest.bench.outbox[0];
        assert_eq!((sent.vector, sent.logical), (0xF2, false));
    }
}

#[test]
fn notification_of_a_write_to_the_apic_page_leaves_before_the_next_instruction() {
    // MOV DWORD [RBX + 310h], 1 << 24; MOV DWORD [RBX + 300h], 61h; INC ESI; HLT
    let code = [
        &[0xC7, 0x83, 0x10, 3, 0, 0, 0, 0, 0, 1][..],
        &[0xC7, 0x83, 0x00, 3, 0, 0, 0x61, 0, 0, 0],
        &[0xFF, 0xC6, 0xF4],
    ];
    let mut guest = virtual_ipis(&code.concat(), SecondaryProcessorControls::VIRTUALIZE_APIC_ACCESSES, 7 << 8, true);
    guest.set(Field::ApicAccessAddress, DATA);
    guest.bench.cpu.gpr[3] = DATA;
    guest.bench.cpu.gpr[6] = 0;
    guest.run_until_ipi();
    assert_eq!(guest.read(DESCRIPTOR + 8), 1 << (0x61 - 64));
    assert_eq!(guest.bench.outbox[0].vector, 0xF2);
    assert_eq!(guest.bench.cpu.gpr[6], 0, "the instruction behind it has run");
}

#[test]
fn vmread_without_exit_reads_the_shadow_vmcs_and_without_link_pointer_fails_invalid() {
    // MOV EAX, 681Eh (guest RIP); VMREAD RBX, RAX; HLT
    let code = [0xB8, 0x1E, 0x68, 0, 0, 0x0F, 0x78, 0xC3, 0xF4];
    let shadow = PAGES + 0x2000;
    for linked in [true, false] {
        let mut guest = Guest::new(&code);
        guest.secondary(SecondaryProcessorControls::VMCS_SHADOWING);
        guest.set(Field::VmreadBitmapAddress, PAGES);
        guest.set(Field::VmwriteBitmapAddress, PAGES + 0x1000);
        let mut vmcs = emu_vmx::vmcs::Vmcs::new(guest.vmcs().revision_id);
        vmcs.shadow = true;
        vmcs.set(Field::GuestRip, 0x1234_5678);
        let layout = guest.bench.cpu.config.model.vmx().expect("VMX").layout.clone();
        let mut region = vec![0; layout.size()];
        layout.store(&vmcs, &mut region);
        guest.bench.ram.dma_write(shadow, &region);
        if linked {
            guest.set(Field::VmcsLinkPointer, shadow);
        }
        guest.expect(ExitReason::Hlt);
        let flags = guest.get(Field::GuestRflags);
        if linked {
            assert_eq!((guest.bench.cpu.gpr[3], flags & 0x8D5), (0x1234_5678, 0));
        } else {
            assert_eq!(flags & 0x8D5, 1, "VMfailInvalid");
        }
    }
}

#[test]
fn msr_load_list_longer_than_the_recommended_maximum_fails_at_the_first_beyond() {
    let mut guest = Guest::new(&[0xF4]);
    for n in 0..520 {
        guest.write(PAGES + 16 * n, 0x10);
    }
    guest.set(Field::VmEntryMsrLoadAddress, PAGES);
    guest.set(Field::VmEntryMsrLoadCount, 520);
    guest.expect(ExitReason::EntryFailureMsrLoading);
    assert_eq!(guest.get(Field::ExitQualification), 513);
}

/// RDTSC; ADD EAX, `ticks`; XOR ECX, ECX; TPAUSE ECX; HLT
fn tpause(ticks: u32) -> Vec<u8> {
    let [a, b, c, d] = ticks.to_le_bytes();
    vec![0x0F, 0x31, 0x05, a, b, c, d, 0x31, 0xC9, 0x66, 0x0F, 0xAE, 0xF1, 0xF4]
}

/// RFLAGS.CF and the cycles that the guest took.
fn wait(guest: &mut Guest) -> (u64, u64) {
    guest.secondary(SecondaryProcessorControls::ENABLE_USER_WAIT_AND_PAUSE);
    let start = guest.bench.cpu.cycles;
    guest.expect(ExitReason::Hlt);
    (guest.get(Field::GuestRflags) & 1, guest.bench.cpu.cycles - start)
}

#[test]
fn user_wait_instructions_without_their_control_are_ud() {
    // UMONITOR RAX; UMWAIT ECX; TPAUSE ECX
    for code in [[0xF3, 0x0F, 0xAE, 0xF0], [0xF2, 0x0F, 0xAE, 0xF1], [0x66, 0x0F, 0xAE, 0xF1]] {
        let mut guest = Guest::new(&[&code[..], &[0xF4]].concat());
        guest.expect_vector(vector::UD);
        let mut guest = Guest::new(&[&[0x31, 0xC9][..], &code, &[0xF4]].concat());
        guest.secondary(SecondaryProcessorControls::ENABLE_USER_WAIT_AND_PAUSE);
        // A time that has passed.
        guest.bench.cpu.gpr[2] = 0;
        guest.expect(ExitReason::Hlt);
        assert_ne!(guest.get(Field::GuestRip), HANDLERS + u64::from(vector::UD));
    }
}

#[test]
fn tpause_waits_until_the_tsc_has_its_operand_s_value_and_clears_cf() {
    let (carry, cycles) = wait(&mut Guest::new(&tpause(5000)));
    assert_eq!(carry, 0);
    assert!((5000..5100).contains(&cycles), "{cycles}");
    // The guest's TSC at half the speed.
    let mut guest = Guest::new(&tpause(5000));
    guest.primary(PrimaryProcessorControls::USE_TSC_OFFSETTING);
    guest.secondary(SecondaryProcessorControls::USE_TSC_SCALING);
    guest.set(Field::TscMultiplier, 1 << 47);
    let (carry, cycles) = wait(&mut guest);
    assert_eq!(carry, 0);
    assert!((10_000..10_100).contains(&cycles), "{cycles}");
}

#[test]
fn tpause_ends_with_cf_when_the_time_of_umwait_control_is_up() {
    let mut guest = Guest::new(&tpause(5000));
    guest.bench.cpu.sys.plain_msrs.insert(0xE1, 400);
    let (carry, cycles) = wait(&mut guest);
    assert_eq!(carry, 1);
    assert!((400..500).contains(&cycles), "{cycles}");
    // The time is of the guest's TSC (SDM Vol. 3C 28.3 "Changes to Instruction Behavior in VMX Non-Root Operation",
    // TPAUSE): half as fast, it takes twice as long, and what ends before it is not cut short.
    for (ticks, carried, least) in [(5000, 1, 800), (300, 0, 600)] {
        let mut guest = Guest::new(&tpause(ticks));
        guest.bench.cpu.sys.plain_msrs.insert(0xE1, 400);
        guest.primary(PrimaryProcessorControls::USE_TSC_OFFSETTING);
        guest.secondary(SecondaryProcessorControls::USE_TSC_SCALING);
        guest.set(Field::TscMultiplier, 1 << 47);
        let (carry, cycles) = wait(&mut guest);
        assert_eq!(carry, carried);
        assert!((least..least + 100).contains(&cycles), "{cycles}");
    }
}

// 30.2.1 "Basic VM-Exit Information".
#[test]
fn wbinvd_exits_with_qualification_0_and_wbnoinvd_with_1() {
    for (code, qualification) in [(&[0x0F, 0x09][..], 0), (&[0xF3, 0x0F, 0x09], 1)] {
        let mut guest = Guest::new(code);
        guest.secondary(SecondaryProcessorControls::WBINVD_EXITING);
        guest.expect(ExitReason::Wbinvd);
        assert_eq!(guest.get(Field::ExitQualification), qualification);
        assert_eq!(guest.get(Field::VmExitInstructionLength), code.len() as u64);
    }
}

// The same section: the address reported for LMSW m16 is the one after linear-address masking.
#[test]
fn lmsw_exit_reports_its_address_without_metadata() {
    // LMSW [RBX]
    let mut guest = Guest::new(&[0x0F, 0x01, 0x33]);
    guest.or(Field::GuestCr3, 1 << 61);
    guest.set(Field::Cr0GuestHostMask, 0xF);
    guest.set(Field::Cr0ReadShadow, 1);
    guest.write(DATA, 3);
    guest.bench.cpu.gpr[3] = DATA | 0x2A << 57;
    guest.expect(ExitReason::ControlRegisterAccess);
    assert_eq!(guest.get(Field::ExitQualification), 3 << 16 | 1 << 6 | 3 << 4);
    assert_eq!(guest.get(Field::GuestLinearAddress), DATA);
}

#[test]
fn umwait_and_tpause_exit_67_and_68_with_rdtsc_exiting() {
    for (prefix, reason) in [(0xF2, ExitReason::Umwait), (0x66, ExitReason::Tpause)] {
        let mut guest = Guest::new(&[prefix, 0x0F, 0xAE, 0xF1, 0xF4]);
        guest.secondary(SecondaryProcessorControls::ENABLE_USER_WAIT_AND_PAUSE);
        guest.primary(PrimaryProcessorControls::RDTSC_EXITING);
        // The exit comes before #GP of the operand's reserved bits.
        guest.bench.cpu.gpr[1] = 2;
        guest.expect(reason);
        assert_eq!((guest.get(Field::VmExitInstructionLength), guest.get(Field::ExitQualification)), (4, 0));
        // Register ECX, operand size 32.
        assert_eq!(guest.get(Field::VmExitInstructionInformation), 1 << 3 | 1 << 11);
    }
}

#[test]
fn tpause_with_a_reserved_bit_in_its_operand_is_gp() {
    let mut guest = Guest::new(&[0x66, 0x0F, 0xAE, 0xF1, 0xF4]);
    guest.secondary(SecondaryProcessorControls::ENABLE_USER_WAIT_AND_PAUSE);
    guest.bench.cpu.gpr[1] = 2;
    guest.expect_vector(vector::GP);
}

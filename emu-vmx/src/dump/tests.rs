use super::*;
use Field as F;

fn one(text: &str) -> Dump {
    let mut dumps = parse(text).unwrap_or_else(|error| panic!("{}: {error}", error.line()));
    assert_eq!(dumps.len(), 1, "{dumps:?}");
    dumps.remove(0)
}

fn given(dump: &Dump) -> Vec<(Field, u64)> {
    dump.fields.iter().map(|(field, value)| (*field, value.0)).collect()
}

#[test]
fn dump_text_takes_hexadecimal_in_several_spellings() {
    let text = "# a dump\nGuest CR0 = 0x80000031\n\nVMCS link pointer: FFFFFFFF_FFFFFFFF # none\n4000 = 1Fh\n\
        VMX_VMCS_GUEST_RIP   0xfffff800`12345678\nGUEST_CR3=0x1000 GUEST_CR4=0x2000 (PAE)\n";
    let dump = one(text);
    assert_eq!(dump.get(F::GuestCr0), Some(0x8000_0031));
    assert_eq!(dump.get(F::VmcsLinkPointer), Some(u64::MAX));
    assert_eq!(dump.get(F::PinBasedControls), Some(0x1F));
    assert_eq!(dump.get(F::GuestRip), Some(0xFFFF_F800_1234_5678));
    assert_eq!((dump.get(F::GuestCr3), dump.get(F::GuestCr4)), (Some(0x1000), Some(0x2000)));
    assert_eq!((dump.get(F::GuestRsp), dump.fields.len()), (None, 6));
}

#[test]
fn dump_json_takes_decimal_numbers_and_hexadecimal_strings() {
    let dump = one("{ \"Guest CR0\": 49,\n \"GuestRip\": \"0x1000\" }\n");
    assert_eq!(given(&dump), [(F::GuestCr0, 49), (F::GuestRip, 0x1000)]);
    assert_eq!(parse("{}"), Ok(Vec::new()));
}

#[test]
fn dump_error_names_the_line() {
    assert_eq!(parse("Guest CR0 = 1\nbad"), Err(DumpError::NoValue { line: 2, text: "bad".into() }));
    for bad in ["Guest CR0 = ", "Guest CR0 = +1", "Guest CR0 = 1_0000_0000_0000_0000_0", "Guest CR0 = 1 2"] {
        assert!(matches!(parse(bad), Err(DumpError::BadValue { line: 1, .. })), "{bad}");
    }
    for bad in ["{\"Guest CR0\": -1}", "{\"Guest CR0\": }", "{\"Guest CR0\": 1.5}"] {
        assert!(matches!(parse(bad), Err(DumpError::BadValue { line: 1, .. })), "{bad}");
    }
    for bad in [
        "{\"a\" 1}",
        "{\"Guest CR0\": 1,}",
        "{\"Guest CR0\": 1",
        "{a: 1}",
        "{\"Guest CR0\": 1} x",
        "{\"a",
        "{\"a\\n\": 1}",
    ] {
        assert!(matches!(parse(bad), Err(DumpError::Json { line: 1, .. })), "{bad}");
    }
    assert!(matches!(parse("{\n\"Guest CR0\": 1\n\n2}"), Err(DumpError::Json { line: 4, .. })));
}

#[test]
fn dump_with_a_misspelled_wide_or_double_field_is_refused() {
    let error = parse("\nGuest activty state = 0").unwrap_err();
    assert_eq!(
        (error.line(), error.to_string().as_str()),
        (2, "no field of a VMCS is called \"Guest activty state\"; the nearest name is \"Guest activity state\"")
    );
    assert!(matches!(parse("Guest CS selector = 10000"), Err(DumpError::TooWide { line: 1, bits: 16, .. })));
    assert!(matches!(parse("Guest CR0 = 1\nGUEST_CR0 = 2"), Err(DumpError::Twice { line: 2, first: 1, .. })));
    assert!(parse("Guest CR0 = 1\nGUEST_CR0 = 1").is_ok());
    let log = "*** Guest State ***\nCR0: actual=0x1, shdow=0x2, gh_mask=3\n";
    let error = parse(log).unwrap_err();
    assert!(error.line() == 2 && error.to_string().contains("\"cr0.shadow\""), "{error}");
}

#[test]
fn dump_of_a_64_bit_field_in_halves_is_put_together() {
    let dump = one("VMCS_LINK_POINTER = 0x1000\nVMCS_LINK_POINTER_HIGH = 0x2\n2811 = 1\n");
    assert_eq!(given(&dump), [(F::VmcsLinkPointer, 0x2_0000_1000), (F::GuestPdpte3, 0x1_0000_0000)]);
}

#[test]
fn dump_lines_of_logs_lose_what_stands_before_them() {
    for line in [
        "[  123.456789] kvm_intel: CR3 = 0x1",
        "[  123.456789][ T1234] CR3 = 0x1",
        "(XEN) [2024-01-31 12:00:00.123] CR3 = 0x1",
        "<3>[    1.000000] CR3 = 0x1",
        "Jan 31 12:00:00 host kernel: [  1.0] CR3 = 0x1",
        "00:00:05.123456 CR3 = 0x1",
        "00012345678e[CPU0  ] CR3 = 0x1",
        "00012345e[CPU0  ] CR3 = 0x1",
    ] {
        assert_eq!(bare(line), "CR3 = 0x1", "{line}");
    }
}

#[test]
fn written_vmcs_is_read_back_with_all_its_fields() {
    let mut vmcs = Vmcs::new(1);
    for (n, &field) in Field::ALL.iter().enumerate() {
        vmcs.set(field, 0x0123_4567_89AB_CDEF_u64.rotate_left(n as u32) & field.width().mask());
    }
    vmcs.launch_state = LaunchState::Launched;
    let caps = crate::caps::VmxCapabilities::CORE_I5_M520;
    let fields = FieldSet::supported(&caps);
    let text = write(&vmcs, &fields, "VMLAUNCH", Some(0x1000), Some(false)) + &write(&vmcs, &fields, "b", None, None);
    let dumps = parse(&text).unwrap();
    assert_eq!((dumps.len(), dumps[0].title.as_str(), dumps[1].title.as_str()), (2, "VMLAUNCH", "b"));
    assert_eq!((dumps[0].address, dumps[0].ia32e_mode, dumps[0].launched), (Some(0x1000), Some(false), Some(true)));
    for dump in dumps {
        assert_eq!(dump.fields.len(), fields.iter().count());
        assert!(dump.fields.iter().all(|(field, value)| value.0 == vmcs.get(*field)));
    }
}

#[test]
fn lines_of_a_log_that_are_about_no_field_are_passed_over() {
    let log = "00012345678i[      ] set SIGINT handler to bx_debug_ctrlc_handler\n\
        00012345678i[CPU0  ] VMCS_16BIT_GUEST_CS_SELECTOR = 0x0008\n\
        00012345e[CPU0  ] VMENTER FAIL: VMCS guest invalid CR0\n\
        VMFAIL: VMCS EXEC CTRL: CR3 target count too large: 5\n\
        i[VMX   ] some other line\n\
        00012345678i[BIOS  ] int13_harddisk: function 15, unmapped device for ELDL=81\n\
        00012345678i[CPU0  ] | EAX=00000000  EBX=00000001\n\
        00012345678i[CPU0  ] |  CS:0008( 0001| 0|  0) 00000000 ffffffff 1 1\n\
        00012345678i[CPU0  ] CPU is in protected mode (active)\n\
        00012345678p[CPU0  ] >>PANIC<< exit: not at 0x12\n\
        00012345678i[CPU0  ] VMCS_CONTROL_PIN_BASED_VM_EXEC_CONTROLS: 0x00000016\n\
        00:00:05.123456 HM: VT-x w/ nested paging: 1 of 2\n\
        00012345678i[CPU0  ] VMCS_32BIT_GUEST_CS_ACCESS_RIGHTS 0xc093\n";
    let dump = one(log);
    let wanted = [(F::GuestCsSelector, 8), (F::PinBasedControls, 0x16), (F::GuestCsAccessRights, 0xC093)];
    assert!(dump.fields.len() == 3 && wanted.iter().all(|(field, value)| dump.get(*field) == Some(*value)), "{dump:?}");
}

#[test]
fn misspelled_fields_and_bad_values_in_lines_of_a_log_are_errors() {
    let error = |line: &str| parse(&format!("00012345678i[CPU0  ] {line}\n")).unwrap_err();
    for line in [
        "VMCS_GUEST_RFLAGGS = 0x2",
        "VMCS_16BIT_GUEST_SC_SELECTOR 0x8",
        "Guest RSPP: 1",
        "VMX-preemption timer valu = 5",
    ] {
        assert!(matches!(error(line), DumpError::Unknown { line: 1, .. }), "{line}: {}", error(line));
    }
    assert!(matches!(error("VMCS_GUEST_RFLAGS = zz"), DumpError::BadValue { .. }));
    // Without what a log puts before a line, all is meant.
    assert!(matches!(parse("Guest CR0 = 1\nfoo = 1"), Err(DumpError::Unknown { line: 2, .. })));
}

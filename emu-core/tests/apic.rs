//! The local APIC as programs use it: IPIs between processors, start-up, enabling again after a global disable.

use emu_core::bus::{ApicMessage, BROADCAST, DeliveryMode, Shorthand};
use emu_core::lapic::route;
use emu_core::model::CpuModel;
use emu_core::state::carried::Carried;
use emu_core::state::cpu::Cpu;
use emu_core::state::system::Activity;
use emu_core::testing::Bench;
use std::sync::Arc;

fn processors(count: u32) -> Vec<Cpu> {
    let model = Arc::new(CpuModel::named("max").expect("the model is built in"));
    let mut cpus: Vec<Cpu> = (0..count).map(|n| Cpu::new(model.clone(), n, n)).collect();
    for cpu in &mut cpus {
        cpu.lapic.svr = 0x1FF;
    }
    cpus
}

fn message(delivery: DeliveryMode, vector: u8, destination: u32) -> ApicMessage {
    ApicMessage {
        destination,
        logical: false,
        delivery,
        vector,
        level_triggered: false,
        assert: true,
        shorthand: Shorthand::None,
    }
}

#[test]
fn a_fixed_ipi_reaches_the_processor_it_names_and_no_other() {
    let mut cpus = processors(3);
    route::deliver(&mut cpus, Some(0), &message(DeliveryMode::Fixed, 0x40, 2));
    assert_eq!([0, 1, 2].map(|n| cpus[n].lapic.deliverable()), [None, None, Some(0x40)]);
}

#[test]
fn a_logical_destination_in_the_flat_model_reaches_every_processor_whose_bit_is_set() {
    let mut cpus = processors(3);
    for (n, cpu) in cpus.iter_mut().enumerate() {
        cpu.lapic.ldr = 1 << (24 + n);
    }
    route::deliver(&mut cpus, Some(0), &ApicMessage { logical: true, ..message(DeliveryMode::Fixed, 0x41, 0b101) });
    assert_eq!([0, 1, 2].map(|n| cpus[n].lapic.deliverable()), [Some(0x41), None, Some(0x41)]);
}

#[test]
fn lowest_priority_goes_to_the_processor_with_the_lowest_ppr() {
    let mut cpus = processors(2);
    cpus[0].lapic.tpr = 0x30;
    route::deliver(&mut cpus, None, &message(DeliveryMode::LowestPriority, 0x51, BROADCAST));
    assert_eq!([0, 1].map(|n| cpus[n].lapic.deliverable()), [None, Some(0x51)]);
}

#[test]
fn all_but_self_leaves_the_sender_out() {
    let mut cpus = processors(3);
    let broadcast = ApicMessage { shorthand: Shorthand::AllExcludingSelf, ..message(DeliveryMode::Nmi, 0, 0) };
    route::deliver(&mut cpus, Some(1), &broadcast);
    assert_eq!([0, 1, 2].map(|n| cpus[n].sys.nmi_pending), [true, false, true]);
}

#[test]
fn a_startup_ipi_means_nothing_to_a_processor_that_does_not_wait_for_one() {
    let mut cpus = processors(2);
    cpus[1].sys.activity = Activity::Active;
    route::deliver(&mut cpus, Some(0), &message(DeliveryMode::StartUp, 0x9A, 1));
    assert!(!cpus[1].sys.sipi_pending);
    cpus[1].sys.activity = Activity::WaitForSipi;
    route::deliver(&mut cpus, Some(0), &message(DeliveryMode::StartUp, 0x9A, 1));
    assert!(cpus[1].sys.sipi_pending);
    assert_eq!(cpus[1].lapic.sipi_vector, 0x9A);
}

#[test]
fn a_startup_ipi_to_all_others_is_remembered_where_there_are_none() {
    let startup = |(count, place): (u32, u64)| {
        let mut cpus = processors(count);
        // Behind the base of CS after a reset.
        cpus[0].set_rip(place + 0x1_0000);
        let all = ApicMessage { shorthand: Shorthand::AllExcludingSelf, ..message(DeliveryMode::StartUp, 0x9A, 0) };
        route::deliver(&mut cpus, Some(0), &all);
        cpus[0].looks_for_others()
    };
    // The BIOS does so to count them.
    assert_eq!([(1, 0x7C00), (2, 0x7C00), (1, 0xF_0000)].map(startup), [true, false, false]);
}

#[test]
fn the_local_apic_works_again_after_a_global_disable() {
    let mut cpus = processors(1);
    let base = cpus[0].sys.apic_base;
    cpus[0].write_apic_base(base & !0x800).expect("disabling is allowed");
    assert_eq!(cpus[0].lapic_page(), u64::MAX);
    assert!(!cpus[0].lapic.software_enabled());
    cpus[0].write_apic_base(base).expect("enabling again is allowed");
    assert_eq!(cpus[0].lapic_page(), 0xFEE0_0000);
    cpus[0].lapic.svr = 0x1FF;
    route::deliver(&mut cpus, None, &message(DeliveryMode::Fixed, 0x60, 0));
    assert_eq!(cpus[0].lapic.deliverable(), Some(0x60));
}

#[test]
fn x2apic_mode_is_entered_from_xapic_mode_only_and_left_by_a_disable_only() {
    let mut cpus = processors(1);
    let base = cpus[0].sys.apic_base;
    cpus[0].write_apic_base(base | 0x400).expect("xAPIC to x2APIC is allowed");
    assert!(cpus[0].write_apic_base(base).is_err(), "x2APIC to xAPIC is #GP");
    cpus[0].write_apic_base(base & !0xC00).expect("x2APIC to disabled is allowed");
    assert!(cpus[0].write_apic_base(base | 0x400).is_err(), "disabled to x2APIC is #GP");
}

#[test]
fn pic_reaches_the_boot_processor_alone_until_lint0_is_written() {
    let mut cpus = processors(2);
    assert_eq!([0, 1].map(|n| cpus[n].accepts_pic()), [true, false]);
    for (value, accepted) in [(0x1_0700, false), (0x0_0700, true), (0x0_0000, false)] {
        assert!(cpus[0].lapic.write_register(0x350, value, 0, 0).is_ok());
        assert_eq!(cpus[0].accepts_pic(), accepted, "{value:#x}");
    }
}

/// Processors in x2APIC mode.
fn x2apics(count: u32) -> Vec<Cpu> {
    let mut cpus = processors(count);
    for cpu in &mut cpus {
        let base = cpu.sys.apic_base;
        cpu.write_apic_base(base | 0x400).expect("xAPIC to x2APIC is allowed");
    }
    cpus
}

fn reached(cpus: &[Cpu]) -> Vec<bool> {
    cpus.iter().map(|cpu| cpu.lapic.deliverable().is_some()).collect()
}

// SDM Vol. 3A 11.12.9 "ICR Operation in x2APIC Mode": FFFFFFFFH is the broadcast, physical and logical.
#[test]
fn x2apic_destination_ffh_is_no_broadcast_and_ffffffffh_is() {
    for logical in [0, 1 << 11] {
        for (destination, all) in [(0xFF, false), (0xFFFF_FFFF_u64, true)] {
            let mut cpus = x2apics(3);
            // The processors lie in logical cluster 0; another cluster's mask reaches none.
            let destination = if logical != 0 && !all { 0x1_00FF } else { destination };
            let ipi = cpus[0].lapic.write_icr(destination << 32 | 0x4041 | logical).expect("the value is legal");
            route::deliver(&mut cpus, Some(0), &ipi.expect("an IPI"));
            assert_eq!(reached(&cpus), [all; 3], "{destination:x}, {logical:x}");
        }
    }
    // As a logical destination FFh is eight processors of cluster 0.
    let mut cpus = x2apics(10);
    let ipi = cpus[0].lapic.write_icr(0xFF << 32 | 0x4841).expect("the value is legal");
    route::deliver(&mut cpus, Some(0), &ipi.expect("an IPI"));
    assert_eq!(reached(&cpus), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|n| n < 8));
}

// SDM Vol. 3A 11.6.2.1 "Physical Destination Mode", 11.6.2.2 "Logical Destination Mode".
#[test]
fn ffh_of_an_8_bit_sender_is_the_broadcast_to_xapics_and_x2apics() {
    let mut cpus = processors(3);
    let ipi = cpus[0].lapic.write_icr(0xFF << 56 | 0x4041).expect("the value is legal").expect("an IPI");
    route::deliver(&mut cpus, Some(0), &ipi);
    assert_eq!(reached(&cpus), [true; 3]);
    let mut cpus = x2apics(3);
    let destination = ApicMessage::destination_of_8_bits(0xFF);
    route::deliver(&mut cpus, None, &message(DeliveryMode::Fixed, 0x41, destination));
    assert_eq!(reached(&cpus), [true; 3]);
}

// SDM Vol. 3A 11.5.3 "Error Handling": bits 5 and 6.
#[test]
fn self_ipi_with_a_vector_below_16_sets_both_illegal_vector_bits_and_another_ipi_the_first() {
    for (value, expected) in [(0x4_4005, 0x60), (0x0_4005, 0x20), (0x8_4005, 0x20), (0xC_4005, 0x20), (0x4_4405, 0)] {
        let mut cpus = processors(1);
        let ipi = cpus[0].lapic.write_icr(value).expect("the value is legal");
        assert_eq!((cpus[0].lapic.errors, ipi.is_some()), (expected, expected == 0), "{value:x}");
    }
    let mut cpus = x2apics(1);
    for (vector, expected) in [(15, 0x60), (16, 0)] {
        cpus[0].lapic.errors = 0;
        let effects = cpus[0].lapic.write_register(0x3F0, vector, 0, 0).expect("SELF IPI takes any vector");
        assert_eq!((cpus[0].lapic.errors, effects.message.is_some()), (expected, expected == 0));
    }
}

#[test]
fn error_interrupt_with_a_vector_below_16_is_an_error_itself() {
    let mut cpus = processors(1);
    assert!(cpus[0].lapic.write_register(0x370, 0x0F, 0, 0).is_ok());
    cpus[0].lapic.note_error(emu_core::lapic::error::ILLEGAL_REGISTER_ADDRESS);
    assert_eq!((cpus[0].lapic.errors, cpus[0].lapic.deliverable()), (0xC0, None));
}

// SDM Vol. 3A 11.5.3 "Error Handling", bit 7; Table 11-1 "Local APIC Register Address Map"; Table 11-6.
#[test]
fn illegal_register_address_is_that_of_reserved_registers_and_not_of_read_only_ones() {
    let reserved = |register: u32| match register {
        0x00 | 0x10 | 0x40..=0x70 | 0x290..=0x2F0 | 0x3A0..=0x3D0 | 0x3F0.. => true,
        0x20..=0x3E0 => false,
        _ => unreachable!("a multiple of 16"),
    };
    let read_only = [0x30, 0x90, 0xA0, 0xC0, 0x390].into_iter().chain((0x100..=0x270).step_by(16));
    let read_only: Vec<u32> = read_only.collect();
    for register in (0..0x1000).step_by(16) {
        let mut cpus = processors(1);
        assert_eq!(cpus[0].lapic.read_register(register, 0).is_err(), reserved(register), "read of {register:x}");
        let before = format!("{:?}", cpus[0].lapic);
        assert_eq!(
            cpus[0].lapic.write_register(register, 0x55, 0, 0).is_err(),
            reserved(register),
            "write of {register:x}"
        );
        if reserved(register) || read_only.contains(&register) {
            assert_eq!(format!("{:?}", cpus[0].lapic), before, "{register:x}");
        }
        // In x2APIC mode WRMSR of either is #GP.
        let mut cpus = x2apics(1);
        if read_only.contains(&register) {
            assert!(cpus[0].lapic.write_register(register, 0, 0, 0).is_err(), "WRMSR of {register:x}");
        }
    }
}

// SDM Vol. 3A 11.5.1 "Local Vector Table", 11.5.4.1 "TSC-Deadline Mode".
#[test]
fn lvt_timer_bit_18_is_reserved_without_tsc_deadline_mode() {
    for (name, present) in [("max", true), ("corei5_arrandale_m520", false)] {
        let model = Arc::new(CpuModel::named(name).expect("the model is built in"));
        let mut cpu = Cpu::new(model, 0, 0);
        for init in [false, true] {
            if init {
                cpu.lapic_init();
            }
            assert!(cpu.lapic.write_register(0x320, 0x4_0040, 0, 0).is_ok());
            assert_eq!(cpu.lapic.lvt[0] >> 18 & 1 != 0, present, "{name}");
        }
    }
}

// SDM Vol. 3A 11.5.1 and 11.6.1: ExtINT; MP specification 3.6.2.2, virtual wire mode via I/O APIC.
#[test]
fn ext_int_message_reaches_a_processor_whose_lint0_is_masked() {
    let mut bench = Bench::real_mode(&[0x90, 0xEB, 0xFD]);
    bench.ram.dma_write(0, &0x9000_u32.to_le_bytes());
    bench.ram.dma_write(0x9000, &[0xF4]);
    bench.cpu.lapic.svr = 0x1FF;
    assert!(bench.cpu.lapic.write_register(0x350, 0x1_0700, 0, 0).is_ok());
    bench.cpu.accept(&message(DeliveryMode::ExtInt, 0, 0));
    bench.cpu.set_intr(false, false);
    bench.run(10);
    assert_ne!(bench.cpu.rip(), 0x9001, "interrupts are off");
    bench.cpu.put_flags(emu_core::flags::IF, true);
    bench.cpu.refresh();
    // The bench's PIC gives vector 0.
    bench.run(10);
    assert_eq!(bench.cpu.rip(), 0x9001);
    assert!(!bench.cpu.sys.ext_int);
}

#[test]
fn a_reset_leaves_nothing_of_interrupts_and_instructions_that_were_under_way() {
    let mut cpus = processors(1);
    route::deliver(&mut cpus, None, &message(DeliveryMode::Fixed, 0x40, 0));
    let cpu = &mut cpus[0];
    (cpu.carried.repeating, cpu.carried.single_step, cpu.carried.gives_way) = (true, true, true);
    cpu.reset();
    assert_eq!(cpu.attention, Cpu::new(cpu.config.model.clone(), 0, 0).attention);
    assert_eq!(cpu.carried, Carried::default());
}

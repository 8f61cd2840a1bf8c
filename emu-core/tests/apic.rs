//! The local APIC as programs use it: IPIs between processors, start-up, enabling again after a global disable.

use emu_core::bus::{ApicMessage, DeliveryMode, Shorthand};
use emu_core::lapic::route;
use emu_core::model::CpuModel;
use emu_core::state::cpu::Cpu;
use emu_core::state::system::Activity;
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
    route::deliver(&mut cpus, None, &message(DeliveryMode::LowestPriority, 0x51, 0xFF));
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

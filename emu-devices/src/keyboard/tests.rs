use super::*;
use crate::device::DeviceId;
use crate::testing::Bench;

const IRQ1: Line = Line(1);
const IRQ12: Line = Line(12);
const MS: u64 = 1_000_000;

fn controller() -> (Bench, KeyboardController) {
    let mut bench = Bench::new(DeviceId::Keyboard, 1_000_000_000);
    let mut controller = KeyboardController::new(IRQ1, IRQ12);
    command(&mut bench, &mut controller, 0x60);
    bench.outb(&mut controller, 0x60, 0x47);
    (bench, controller)
}

fn command(bench: &mut Bench, controller: &mut KeyboardController, command: u8) {
    bench.outb(controller, 0x64, command);
}

fn key(bench: &mut Bench, controller: &mut KeyboardController, key: Key, pressed: bool) {
    controller.key_event(&mut bench.ctx(), key, pressed);
}

/// What a guest that polls reads within `ms`.
fn poll(bench: &mut Bench, controller: &mut KeyboardController, ms: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..ms * 10 {
        bench.run_ns(controller, MS / 10);
        if bench.inb(controller, 0x64) & 1 != 0 {
            bytes.push(bench.inb(controller, 0x60));
        }
    }
    bytes
}

#[test]
fn key_press_arrives_translated_after_a_millisecond_with_irq1() {
    let (mut bench, mut controller) = controller();
    key(&mut bench, &mut controller, Key::A, true);
    bench.run_ns(&mut controller, MS - 1);
    assert_eq!(bench.inb(&mut controller, 0x64) & 1, 0);
    bench.run_ns(&mut controller, 1);
    assert!(bench.lines.level(IRQ1));
    assert_eq!(bench.inb(&mut controller, 0x60), 0x1E);
    assert!(!bench.lines.level(IRQ1));
}

#[test]
fn break_code_waits_until_the_make_code_was_read_and_comes_milliseconds_later() {
    let (mut bench, mut controller) = controller();
    key(&mut bench, &mut controller, Key::A, true);
    key(&mut bench, &mut controller, Key::A, false);
    bench.run_ns(&mut controller, 10 * MS);
    assert_eq!(bench.inb(&mut controller, 0x60), 0x1E);
    assert_eq!(bench.inb(&mut controller, 0x60), 0x1E, "the data register keeps its byte");
    bench.run_ns(&mut controller, 2 * MS - 1);
    assert_eq!(bench.inb(&mut controller, 0x64) & 1, 0, "F0h and the code are two bytes on the wire");
    bench.run_ns(&mut controller, 1);
    assert_eq!(bench.inb(&mut controller, 0x60), 0x9E);
}

#[test]
fn controller_self_test_interface_tests_and_command_byte_answer() {
    let (mut bench, mut controller) = controller();
    for (code, answer) in [(0xAA, 0x55), (0xAB, 0x00), (0xA9, 0x00), (0x20, 0x47), (0xC0, 0xB0), (0xE0, 0x03)] {
        command(&mut bench, &mut controller, code);
        assert_eq!(poll(&mut bench, &mut controller, 1), [answer], "{code:02X}");
    }
    assert_eq!(bench.inb(&mut controller, 0x64) & 0x1C, 0x1C);
}

/// IBM PS/2 Hardware Interface Technical Reference: a host waits for the output buffer to be full.
#[test]
fn answer_read_without_a_look_at_the_status_is_there() {
    let (mut bench, mut controller) = controller();
    for (code, answer) in [(0xAA, 0x55), (0xAB, 0x00), (0x20, 0x47)] {
        command(&mut bench, &mut controller, code);
        assert_eq!(bench.inb(&mut controller, 0x60), answer, "{code:02X}");
    }
    for (byte, answers) in [(0xEE, &[0xEE][..]), (0xED, &[0xFA]), (0x02, &[0xFA]), (0xF2, &[0xFA, 0xAB, 0x41])] {
        bench.outb(&mut controller, 0x60, byte);
        for answer in answers {
            assert_eq!(bench.inb(&mut controller, 0x60), *answer, "{byte:02X}");
        }
    }
    assert_eq!((controller.leds(), bench.inb(&mut controller, 0x64) & 3), (2, 0));
    assert_eq!(bench.deadlines.next(), u64::MAX);
}

#[test]
fn scan_code_read_before_it_has_come_over_the_wire_is_not_there() {
    let (mut bench, mut controller) = controller();
    bench.outb(&mut controller, 0x60, 0xEE);
    assert_eq!(bench.inb(&mut controller, 0x60), 0xEE);
    key(&mut bench, &mut controller, Key::A, true);
    assert_eq!(bench.inb(&mut controller, 0x60), 0xEE);
    assert_eq!(poll(&mut bench, &mut controller, 3), [0x1E]);
}

#[test]
fn look_at_the_controllers_status_is_worth_a_microsecond() {
    let (mut bench, mut controller) = controller();
    bench.outb(&mut controller, 0x60, 0xEE);
    let looks = (0..).take_while(|_| {
        let until = bench.now + 1;
        bench.run_until(&mut controller, until);
        bench.inb(&mut controller, 0x64) & 1 == 0
    });
    assert!((999..=1001).contains(&looks.count()), "a byte takes a millisecond");
}

#[test]
fn disabled_keyboard_holds_its_codes_until_enabled() {
    let (mut bench, mut controller) = controller();
    command(&mut bench, &mut controller, 0xAD);
    key(&mut bench, &mut controller, Key::B, true);
    assert_eq!(poll(&mut bench, &mut controller, 5), []);
    command(&mut bench, &mut controller, 0xAE);
    assert_eq!(poll(&mut bench, &mut controller, 5), [0x30]);
}

#[test]
fn keyboard_reset_gives_ack_then_aa() {
    let (mut bench, mut controller) = controller();
    bench.outb(&mut controller, 0x60, 0xFF);
    assert_eq!(poll(&mut bench, &mut controller, 10), [0xFA]);
    assert_eq!(poll(&mut bench, &mut controller, 20), [0xAA]);
}

#[test]
fn keys_pressed_while_a_command_is_answered_are_not_lost() {
    let (mut bench, mut controller) = controller();
    key(&mut bench, &mut controller, Key::CapsLock, true);
    key(&mut bench, &mut controller, Key::CapsLock, false);
    bench.outb(&mut controller, 0x60, 0xED);
    assert_eq!(poll(&mut bench, &mut controller, 5), [0xFA]);
    bench.outb(&mut controller, 0x60, 0x04);
    assert_eq!(poll(&mut bench, &mut controller, 10), [0xFA, 0x3A, 0xBA]);
    assert_eq!(controller.leds(), 4);
}

#[test]
fn held_key_repeats_after_its_delay_at_its_rate() {
    let (mut bench, mut controller) = controller();
    key(&mut bench, &mut controller, Key::Down, true);
    assert_eq!(poll(&mut bench, &mut controller, 490), [0xE0, 0x50]);
    assert_eq!(poll(&mut bench, &mut controller, 100), [0xE0, 0x50]);
    assert_eq!(poll(&mut bench, &mut controller, 917).len(), 20);
    key(&mut bench, &mut controller, Key::Down, false);
    assert_eq!(poll(&mut bench, &mut controller, 1000), [0xE0, 0xD0]);
}

#[test]
fn output_port_moves_a20_and_resets_the_processor() {
    let (mut bench, mut controller) = controller();
    command(&mut bench, &mut controller, 0xD1);
    bench.outb(&mut controller, 0x60, 0xDD);
    assert_eq!(bench.requests.a20, Some(false));
    command(&mut bench, &mut controller, 0xD0);
    assert_eq!(poll(&mut bench, &mut controller, 1)[0] & 0x03, 0x01);
    command(&mut bench, &mut controller, 0xDF);
    assert_eq!(bench.requests.a20, Some(true));
    assert!(!bench.requests.init);
    command(&mut bench, &mut controller, 0xFF);
    assert!(!bench.requests.init, "FFh pulses nothing");
    command(&mut bench, &mut controller, 0xFE);
    assert!(bench.requests.init);
}

#[test]
fn mouse_report_arrives_with_irq12_and_the_mouse_flag() {
    let (mut bench, mut controller) = controller();
    command(&mut bench, &mut controller, 0xD4);
    bench.outb(&mut controller, 0x60, 0xF4);
    assert_eq!(poll(&mut bench, &mut controller, 3), [0xFA]);
    controller.mouse_event(&mut bench.ctx(), 3, -2, 0, 1);
    bench.run_ns(&mut controller, 11 * MS);
    assert!(bench.lines.level(IRQ12) && !bench.lines.level(IRQ1));
    assert_eq!(bench.inb(&mut controller, 0x64) & 0x21, 0x21);
    assert_eq!(poll(&mut bench, &mut controller, 5), [0x29, 3, 0xFE]);
}

#[test]
fn d2_and_d3_put_their_byte_in_the_output_buffer() {
    let (mut bench, mut controller) = controller();
    command(&mut bench, &mut controller, 0xD3);
    bench.outb(&mut controller, 0x60, 0x5A);
    bench.run_ns(&mut controller, MS);
    assert!(bench.lines.level(IRQ12));
    assert_eq!(bench.inb(&mut controller, 0x60), 0x5A);
    command(&mut bench, &mut controller, 0xD2);
    bench.outb(&mut controller, 0x60, 0x1C);
    bench.run_ns(&mut controller, MS);
    assert!(bench.lines.level(IRQ1));
    assert_eq!(bench.inb(&mut controller, 0x60), 0x1C, "not translated");
}

use super::*;
use crate::device::DeviceId;
use crate::testing::Bench;

const LINE: Line = Line(4);
/// 115,200 baud, 8N1: 86.8 us a character.
const CHARACTER_NS: u64 = 87_000;

/// Divisor 1, 8N1, OUT2.
fn uart() -> (Bench, Serial) {
    let mut bench = Bench::new(DeviceId::Serial, 1_000_000_000);
    let mut uart = Serial::new(COM1, LINE);
    for (register, value) in [(3, 0x83), (0, 1), (1, 0), (3, 0x03), (4, 0x0B)] {
        bench.outb(&mut uart, COM1 + register, value);
    }
    (bench, uart)
}

#[test]
fn uart_character_is_the_hosts_at_once_and_takes_its_time_on_the_line() {
    let (mut bench, mut uart) = uart();
    bench.outb(&mut uart, COM1, b'a');
    assert_eq!(bench.inb(&mut uart, COM1 + 5), 0x20, "holding register empty, shift register busy");
    bench.outb(&mut uart, COM1, b'b');
    assert_eq!(uart.take_output(), b"ab");
    assert_eq!(bench.inb(&mut uart, COM1 + 5), 0x00);
    bench.run_ns(&mut uart, 84_000);
    assert_eq!(bench.inb(&mut uart, COM1 + 5), 0x00);
    bench.run_ns(&mut uart, 1_000);
    assert_eq!(bench.inb(&mut uart, COM1 + 5), 0x20);
    bench.run_ns(&mut uart, CHARACTER_NS);
    assert_eq!(uart.take_output(), b"");
    assert_eq!(bench.inb(&mut uart, COM1 + 5), 0x60);
}

#[test]
fn uart_transmitter_that_is_not_waited_for_loses_nothing() {
    for fifo in [0, 1] {
        let (mut bench, mut uart) = uart();
        bench.outb(&mut uart, COM1 + 2, fifo);
        let text: Vec<u8> = (0..100).collect();
        text.iter().for_each(|byte| bench.outb(&mut uart, COM1, *byte));
        assert_eq!(uart.take_output(), text);
        assert_eq!(bench.inb(&mut uart, COM1 + 5), 0x00);
        bench.run_ns(&mut uart, 17 * CHARACTER_NS);
        assert_eq!(bench.inb(&mut uart, COM1 + 5), 0x60);
        assert_eq!(bench.deadlines.next(), u64::MAX);
    }
}

#[test]
fn uart_look_at_the_line_status_is_worth_a_microsecond() {
    let (mut bench, mut uart) = uart();
    bench.outb(&mut uart, COM1, b'a');
    let looks = (0..).take_while(|_| {
        let until = bench.now + 1;
        bench.run_until(&mut uart, until);
        bench.inb(&mut uart, COM1 + 5) != 0x60
    });
    assert!((86..=87).contains(&looks.count()), "a character takes 86.8 us");
}

#[test]
fn uart_loopback_that_is_not_waited_for_returns_its_character() {
    let (mut bench, mut uart) = uart();
    bench.outb(&mut uart, COM1 + 4, 0x1E);
    for byte in [0xAE, 0x55] {
        bench.outb(&mut uart, COM1, byte);
        assert_eq!(bench.inb(&mut uart, COM1), byte);
    }
    assert_eq!((bench.inb(&mut uart, COM1 + 5), bench.deadlines.next()), (0x60, u64::MAX));
    assert_eq!(uart.take_output(), b"");
}

#[test]
fn uart_switched_to_loopback_and_back_sends_each_character_where_it_was_meant() {
    let (mut bench, mut uart) = uart();
    bench.outb(&mut uart, COM1, b'a');
    bench.outb(&mut uart, COM1 + 4, 0x1B);
    assert_eq!(bench.inb(&mut uart, COM1 + 5), 0x60, "it is on the line");
    bench.outb(&mut uart, COM1, b'b');
    bench.outb(&mut uart, COM1 + 4, 0x0B);
    bench.run_ns(&mut uart, 2 * CHARACTER_NS);
    assert_eq!((uart.take_output(), bench.inb(&mut uart, COM1)), (b"a".to_vec(), b'b'));
}

#[test]
fn uart_transmitter_interrupt_comes_on_enabling_and_goes_by_reading_iir() {
    let (mut bench, mut uart) = uart();
    bench.outb(&mut uart, COM1 + 1, 0x02);
    assert!(bench.lines.level(LINE));
    assert_eq!(bench.inb(&mut uart, COM1 + 2), 0x02);
    assert!(!bench.lines.level(LINE));
    assert_eq!(bench.inb(&mut uart, COM1 + 2), 0x01);
}

#[test]
fn uart_without_out2_does_not_drive_the_irq_line() {
    let (mut bench, mut uart) = uart();
    bench.outb(&mut uart, COM1 + 4, 0x03);
    bench.outb(&mut uart, COM1 + 1, 0x02);
    assert!(!bench.lines.level(LINE));
    assert_eq!(bench.inb(&mut uart, COM1 + 2), 0x02);
}

#[test]
fn uart_input_longer_than_the_fifo_waits_and_nothing_is_lost() {
    let (mut bench, mut uart) = uart();
    bench.outb(&mut uart, COM1 + 2, 0x01);
    let text: Vec<u8> = (0..100).collect();
    uart.push_input(&mut bench.ctx(), &text);
    let mut read = Vec::new();
    while read.len() < text.len() {
        bench.run_ns(&mut uart, 5 * CHARACTER_NS);
        while bench.inb(&mut uart, COM1 + 5) & 1 != 0 {
            read.push(bench.inb(&mut uart, COM1));
        }
        assert_eq!(bench.inb(&mut uart, COM1 + 5) & lsr::OVERRUN, 0);
    }
    assert_eq!(read, text);
}

#[test]
fn uart_fifo_interrupts_at_its_trigger_level_and_by_timeout_below() {
    let (mut bench, mut uart) = uart();
    bench.outb(&mut uart, COM1 + 2, 0x41);
    bench.outb(&mut uart, COM1 + 1, 0x01);
    uart.push_input(&mut bench.ctx(), b"abcde");
    bench.run_ns(&mut uart, 3 * CHARACTER_NS);
    assert!(!bench.lines.level(LINE));
    bench.run_ns(&mut uart, CHARACTER_NS);
    assert_eq!(bench.inb(&mut uart, COM1 + 2), 0xC4);
    bench.run_ns(&mut uart, CHARACTER_NS);
    for _ in 0..4 {
        bench.inb(&mut uart, COM1);
    }
    assert!(!bench.lines.level(LINE), "one character is below the level");
    bench.run_ns(&mut uart, 4 * CHARACTER_NS);
    assert_eq!(bench.inb(&mut uart, COM1 + 2), 0xCC);
    assert_eq!(bench.inb(&mut uart, COM1), b'e');
    assert!(!bench.lines.level(LINE));
}

#[test]
fn uart_loopback_returns_characters_and_modem_control() {
    let (mut bench, mut uart) = uart();
    bench.outb(&mut uart, COM1 + 4, 0x1F);
    assert_eq!(bench.inb(&mut uart, COM1 + 6) & 0xF0, 0xF0);
    bench.outb(&mut uart, COM1, 0x5A);
    bench.run_ns(&mut uart, CHARACTER_NS);
    assert_eq!(bench.inb(&mut uart, COM1), 0x5A);
    assert_eq!(uart.take_output(), b"");
    bench.inb(&mut uart, COM1 + 6);
    bench.outb(&mut uart, COM1 + 4, 0x1B);
    assert_eq!(bench.inb(&mut uart, COM1 + 6), 0xB4, "the ring indicator's trailing edge");
}

#[test]
fn uart_loopback_overrun_is_a_line_status_interrupt() {
    let (mut bench, mut uart) = uart();
    bench.outb(&mut uart, COM1 + 4, 0x1B);
    bench.outb(&mut uart, COM1 + 1, 0x05);
    for byte in [1, 2] {
        bench.outb(&mut uart, COM1, byte);
        bench.run_ns(&mut uart, CHARACTER_NS);
    }
    assert_eq!(bench.inb(&mut uart, COM1 + 2), 0x06);
    assert_eq!(bench.inb(&mut uart, COM1 + 5) & 0x03, 0x03);
    assert_eq!(bench.inb(&mut uart, COM1 + 2), 0x04);
    assert_eq!(bench.inb(&mut uart, COM1), 2);
}

#[test]
fn uart_scratch_and_iir_tell_a_16550a() {
    let (mut bench, mut uart) = uart();
    bench.outb(&mut uart, COM1 + 7, 0xA5);
    bench.outb(&mut uart, COM1 + 2, 0x07);
    assert_eq!((bench.inb(&mut uart, COM1 + 7), bench.inb(&mut uart, COM1 + 2)), (0xA5, 0xC1));
}

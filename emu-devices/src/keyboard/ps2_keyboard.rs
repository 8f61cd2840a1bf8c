//! The keyboard at the other end of the wire: commands, scan codes, typematic repeat
//! (IBM PS/2 Hardware Interface Technical Reference, keyboards).

use super::keys::{Key, Kind, TABLE};
use crate::state::{StateError, check};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Bytes the keyboard keeps while it cannot send.
const BUFFER: usize = 16;
/// A key with its make code, its break code and its repeat.
const DEFAULT_KEY_TYPE: KeyType = KeyType { makes_break: true, repeats: true };

pub(super) const ACK: u8 = 0xFA;
pub(super) const RESEND: u8 = 0xFE;
pub(super) const SELF_TEST_PASSED: u8 = 0xAA;

/// What the controller has to do about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// Nothing changes.
    Keep,
    /// No repeat any more.
    Stop,
    /// The repeat's first code comes after this many nanoseconds.
    Start(u64),
    /// The self-test ends after this many nanoseconds.
    SelfTest(u64),
}

/// Set 3 lets each key be told whether it sends break codes and repeats; the other sets ignore this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct KeyType {
    makes_break: bool,
    repeats: bool,
}

/// Guest-visible state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Keyboard {
    enabled: bool,
    /// 1 to 3.
    scan_code_set: u8,
    /// Bits: 0 Scroll Lock, 1 Num Lock, 2 Caps Lock.
    leds: u8,
    /// Typematic byte: delay (6:5), rate (4:0).
    typematic: u8,
    /// The command whose parameter comes next.
    pending: Option<u8>,
    /// Answers to commands; they go out before scan codes.
    replies: VecDeque<u8>,
    /// Scan codes.
    queue: VecDeque<u8>,
    last_sent: u8,
    pressed: Vec<Key>,
    /// The key that repeats.
    repeating: Option<Key>,
    /// Set 3: differences from what the table says, by key.
    key_types: Vec<KeyType>,
    testing: bool,
}

impl Keyboard {
    pub fn new() -> Self {
        Self {
            enabled: true,
            scan_code_set: 2,
            leds: 0,
            typematic: 0x2B,
            pending: None,
            replies: VecDeque::new(),
            queue: VecDeque::new(),
            last_sent: 0,
            pressed: Vec::new(),
            repeating: None,
            key_types: vec![DEFAULT_KEY_TYPE; TABLE.len()],
            testing: false,
        }
    }

    /// Whether the tables fit the keys.
    pub fn check(&self) -> Result<(), StateError> {
        check(self.key_types.len() == TABLE.len(), "keyboard", "it has another number of keys")
    }

    pub fn leds(&self) -> u8 {
        self.leds
    }

    /// Whether bytes wait to be sent. Scan codes wait while a parameter is due.
    pub fn has_output(&self) -> bool {
        !self.replies.is_empty() || !self.queue.is_empty() && self.pending.is_none()
    }

    /// Whether the next byte answers a command.
    pub fn answers(&self) -> bool {
        !self.replies.is_empty()
    }

    pub fn queued(&self) -> usize {
        self.replies.len() + self.queue.len()
    }

    /// The next byte on the wire.
    pub fn send(&mut self) -> Option<u8> {
        if !self.has_output() {
            return None;
        }
        let byte = self.replies.pop_front().or_else(|| self.queue.pop_front())?;
        if byte != RESEND {
            self.last_sent = byte;
        }
        Some(byte)
    }

    fn set_defaults(&mut self) -> Timer {
        self.typematic = 0x2B;
        self.scan_code_set = 2;
        self.key_types.fill(DEFAULT_KEY_TYPE);
        self.pending = None;
        self.repeating = None;
        self.queue.clear();
        Timer::Stop
    }

    /// Typematic delay: 250 ms to 1 s.
    fn delay_ns(&self) -> u64 {
        (u64::from(self.typematic >> 5 & 3) + 1) * 250_000_000
    }

    /// Typematic period: (8 + A) * 2^B * 4.17 ms, with A in bits 2:0 and B in bits 4:3.
    pub fn period_ns(&self) -> u64 {
        (8 + u64::from(self.typematic & 7)) * (1 << (self.typematic >> 3 & 3)) * 4_170_000
    }

    /// The end of the self-test.
    pub fn self_test_done(&mut self) {
        if std::mem::take(&mut self.testing) {
            self.replies.push_back(SELF_TEST_PASSED);
            self.enabled = true;
        }
    }

    /// A byte from the controller.
    pub fn receive(&mut self, byte: u8) -> Timer {
        if byte != RESEND {
            self.replies.clear();
        }
        if let Some(command) = self.pending.take()
            && byte < 0xED
        {
            return self.parameter(command, byte);
        }
        self.command(byte)
    }

    fn parameter(&mut self, command: u8, byte: u8) -> Timer {
        match command {
            0xED => self.leds = byte & 7,
            0xF0 if byte == 0 => {
                self.replies.extend([ACK, self.scan_code_set]);
                return Timer::Keep;
            }
            0xF0 if byte <= 3 => {
                self.scan_code_set = byte;
                self.repeating = None;
                self.replies.push_back(ACK);
                return Timer::Stop;
            }
            0xF3 if byte & 0x80 == 0 => self.typematic = byte,
            // Set key types: keys by their set 3 codes, until the next command.
            0xFB..=0xFD => {
                let Some(index) = TABLE.iter().position(|row| row.set3 == byte) else {
                    self.replies.push_back(RESEND);
                    return Timer::Keep;
                };
                self.key_types[index] = Self::key_type(command);
                self.pending = Some(command);
            }
            _ => {
                self.replies.push_back(RESEND);
                return Timer::Keep;
            }
        }
        self.replies.push_back(ACK);
        Timer::Keep
    }

    /// The type that F7h to FAh give all keys and FBh to FDh one.
    fn key_type(command: u8) -> KeyType {
        match command {
            0xF7 | 0xFB => KeyType { makes_break: false, repeats: true },
            0xF8 | 0xFC => KeyType { makes_break: true, repeats: false },
            0xF9 | 0xFD => KeyType { makes_break: false, repeats: false },
            _ => DEFAULT_KEY_TYPE,
        }
    }

    fn command(&mut self, command: u8) -> Timer {
        let mut timer = Timer::Keep;
        match command {
            0xEE => {
                self.replies.push_back(0xEE);
                return timer;
            }
            0xED | 0xF0 | 0xF3 | 0xFB..=0xFD => self.pending = Some(command),
            0xF2 => {
                self.replies.extend([ACK, 0xAB, 0x83]);
                return timer;
            }
            0xF4 => {
                self.queue.clear();
                self.enabled = true;
            }
            0xF5 => {
                timer = self.set_defaults();
                self.enabled = false;
            }
            0xF6 => timer = self.set_defaults(),
            0xF7..=0xFA => self.key_types.fill(Self::key_type(command)),
            RESEND => {
                self.replies.push_front(self.last_sent);
                return timer;
            }
            0xFF => {
                self.set_defaults();
                self.leds = 0;
                self.enabled = false;
                self.testing = true;
                // The basic assurance test of a real keyboard takes 300 ms and more; guests wait for its end, not for its length.
                timer = Timer::SelfTest(20_000_000);
            }
            _ => {
                self.replies.push_back(RESEND);
                return timer;
            }
        }
        self.replies.push_back(ACK);
        timer
    }

    /// Queues a whole code; a full buffer ends in an overrun code instead.
    fn queue_code(&mut self, code: &[u8]) {
        if self.queue.len() + code.len() <= BUFFER {
            self.queue.extend(code);
        } else if self.queue.len() < BUFFER + 1 {
            self.queue.push_back(if self.scan_code_set == 1 { 0xFF } else { 0x00 });
        }
    }

    fn is_pressed(&self, key: Key) -> bool {
        self.pressed.contains(&key)
    }

    /// A key goes down or comes up.
    pub fn key(&mut self, key: Key, pressed: bool) -> Timer {
        let was_pressed = self.is_pressed(key);
        if pressed == was_pressed {
            return Timer::Keep;
        }
        let mut timer = Timer::Keep;
        if pressed {
            self.pressed.push(key);
            if self.repeats(key) {
                self.repeating = Some(key);
                timer = Timer::Start(self.delay_ns());
            } else {
                self.repeating = None;
                timer = Timer::Stop;
            }
        } else {
            self.pressed.retain(|other| *other != key);
            if self.repeating == Some(key) {
                self.repeating = None;
                timer = Timer::Stop;
            }
        }
        if !self.enabled || self.testing {
            self.repeating = None;
            return Timer::Stop;
        }
        let code = self.code(key, pressed);
        self.queue_code(&code);
        timer
    }

    /// The repeat's next code; false when nothing repeats any more.
    pub fn repeat(&mut self) -> bool {
        let Some(key) = self.repeating.filter(|_| self.enabled) else { return false };
        // A repeat that finds its predecessor unsent waits for its turn rather than fill the buffer.
        if self.queue.is_empty() {
            let code = self.code(key, true);
            self.queue_code(&code);
        }
        true
    }

    fn repeats(&self, key: Key) -> bool {
        key.row().kind != Kind::Pause && (self.scan_code_set != 3 || self.key_types[key as usize].repeats)
    }

    fn code(&self, key: Key, pressed: bool) -> Vec<u8> {
        let row = key.row();
        if self.scan_code_set == 3 {
            return match (pressed, self.key_types[key as usize].makes_break) {
                (true, _) => vec![row.set3],
                (false, true) => vec![0xF0, row.set3],
                (false, false) => vec![],
            };
        }
        let shift = self.is_pressed(Key::LeftShift) || self.is_pressed(Key::RightShift);
        let control = self.is_pressed(Key::LeftCtrl) || self.is_pressed(Key::RightCtrl);
        let alt = self.is_pressed(Key::LeftAlt) || self.is_pressed(Key::RightAlt);
        match row.kind {
            Kind::Plain => self.plain(row.set1, row.set2, pressed),
            Kind::Extended => self.extended(row.set1, row.set2, pressed),
            Kind::Navigation => {
                let num_lock = self.leds & 2 != 0;
                let wrap = if num_lock && !shift {
                    vec![(Key::LeftShift, true)]
                } else if !num_lock && shift {
                    self.held_shifts()
                } else {
                    vec![]
                };
                self.wrapped(row.set1, row.set2, pressed, &wrap)
            }
            Kind::KeypadDivide => self.wrapped(row.set1, row.set2, pressed, &self.held_shifts()),
            Kind::PrintScreen if alt => self.plain(0x54, 0x84, pressed),
            Kind::PrintScreen if control || shift => self.extended(row.set1, row.set2, pressed),
            Kind::PrintScreen => self.wrapped(row.set1, row.set2, pressed, &[(Key::LeftShift, true)]),
            Kind::Pause if !pressed => vec![],
            Kind::Pause if control => [true, false].map(|down| self.extended(0x46, 0x7E, down)).concat(),
            Kind::Pause if self.scan_code_set == 1 => vec![0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5],
            Kind::Pause => vec![0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77],
        }
    }

    fn plain(&self, set1: u8, set2: u8, pressed: bool) -> Vec<u8> {
        match (self.scan_code_set, pressed) {
            (1, true) => vec![set1],
            (1, false) => vec![set1 | 0x80],
            (_, true) => vec![set2],
            (_, false) => vec![0xF0, set2],
        }
    }

    fn extended(&self, set1: u8, set2: u8, pressed: bool) -> Vec<u8> {
        let mut code = vec![0xE0];
        code.extend(self.plain(set1, set2, pressed));
        code
    }

    /// The shift keys held, to be released around a code.
    fn held_shifts(&self) -> Vec<(Key, bool)> {
        let shifts = [Key::LeftShift, Key::RightShift];
        shifts.into_iter().filter(|key| self.is_pressed(*key)).map(|key| (key, false)).collect()
    }

    /// An extended code between shift codes: before the make code each of `shifts` goes to its state, after the
    /// break code back.
    fn wrapped(&self, set1: u8, set2: u8, pressed: bool, shifts: &[(Key, bool)]) -> Vec<u8> {
        let shift_codes = |undo: bool| {
            let of = |(key, down): &(Key, bool)| self.extended(key.row().set1, key.row().set2, *down != undo);
            shifts.iter().flat_map(of).collect::<Vec<_>>()
        };
        let code = self.extended(set1, set2, pressed);
        if pressed { [shift_codes(false), code].concat() } else { [code, shift_codes(true)].concat() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(keyboard: &mut Keyboard) -> Vec<u8> {
        std::iter::from_fn(|| keyboard.send()).collect()
    }

    fn press_and_release(keyboard: &mut Keyboard, key: Key) -> (Vec<u8>, Vec<u8>) {
        keyboard.key(key, true);
        let make = sent(keyboard);
        keyboard.key(key, false);
        (make, sent(keyboard))
    }

    fn in_set(set: u8) -> Keyboard {
        let mut keyboard = Keyboard::new();
        keyboard.receive(0xF0);
        keyboard.receive(set);
        sent(&mut keyboard);
        keyboard
    }

    #[test]
    fn keyboard_letter_has_its_codes_in_each_set() {
        let codes = [1, 2, 3].map(|set| press_and_release(&mut in_set(set), Key::A));
        assert_eq!(codes[0], (vec![0x1E], vec![0x9E]));
        assert_eq!(codes[1], (vec![0x1C], vec![0xF0, 0x1C]));
        assert_eq!(codes[2], (vec![0x1C], vec![0xF0, 0x1C]));
    }

    #[test]
    fn keyboard_cursor_key_undoes_num_lock_and_shift() {
        let mut keyboard = Keyboard::new();
        assert_eq!(press_and_release(&mut keyboard, Key::Up), (vec![0xE0, 0x75], vec![0xE0, 0xF0, 0x75]));
        keyboard.receive(0xED);
        keyboard.receive(0x02);
        sent(&mut keyboard);
        let wrapped = (vec![0xE0, 0x12, 0xE0, 0x75], vec![0xE0, 0xF0, 0x75, 0xE0, 0xF0, 0x12]);
        assert_eq!(press_and_release(&mut keyboard, Key::Up), wrapped);
        keyboard.receive(0xED);
        keyboard.receive(0x00);
        keyboard.key(Key::RightShift, true);
        sent(&mut keyboard);
        let wrapped = (vec![0xE0, 0xF0, 0x59, 0xE0, 0x75], vec![0xE0, 0xF0, 0x75, 0xE0, 0x59]);
        assert_eq!(press_and_release(&mut keyboard, Key::Up), wrapped);
    }

    #[test]
    fn keyboard_print_screen_and_pause_have_their_sequences() {
        let mut keyboard = Keyboard::new();
        let (make, release) = press_and_release(&mut keyboard, Key::PrintScreen);
        assert_eq!(make, [0xE0, 0x12, 0xE0, 0x7C]);
        assert_eq!(release, [0xE0, 0xF0, 0x7C, 0xE0, 0xF0, 0x12]);
        let pause = (vec![0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77], vec![]);
        assert_eq!(press_and_release(&mut keyboard, Key::Pause), pause);
        keyboard.key(Key::LeftAlt, true);
        sent(&mut keyboard);
        assert_eq!(press_and_release(&mut keyboard, Key::PrintScreen), (vec![0x84], vec![0xF0, 0x84]));
    }

    #[test]
    fn keyboard_commands_answer() {
        let mut keyboard = Keyboard::new();
        let mut reply = |bytes: &[u8]| {
            bytes
                .iter()
                .flat_map(|byte| {
                    keyboard.receive(*byte);
                    sent(&mut keyboard)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(reply(&[0xEE]), [0xEE]);
        assert_eq!(reply(&[0xF2]), [0xFA, 0xAB, 0x83]);
        assert_eq!(reply(&[0xED, 0x07]), [0xFA, 0xFA]);
        assert_eq!(reply(&[0xF0, 0x00]), [0xFA, 0xFA, 0x02]);
        assert_eq!(reply(&[0xF0, 0x04]), [0xFA, 0xFE]);
        assert_eq!(reply(&[0xF3, 0x00, 0xF4, 0xF5, 0xF6]), [0xFA; 5]);
        assert_eq!(reply(&[0xFE]), [0xFA]);
        assert_eq!(reply(&[0xF1]), [0xFE]);
        assert_eq!(reply(&[0xED, 0xF4]), [0xFA, 0xFA], "a command in place of a parameter is a command");
    }

    #[test]
    fn keyboard_reset_acknowledges_then_passes_its_test() {
        let mut keyboard = Keyboard::new();
        assert_eq!(keyboard.receive(0xFF), Timer::SelfTest(20_000_000));
        keyboard.key(Key::A, true);
        assert_eq!(sent(&mut keyboard), [0xFA]);
        keyboard.self_test_done();
        assert_eq!(sent(&mut keyboard), [0xAA]);
    }

    #[test]
    fn keyboard_disabled_sends_no_scan_codes() {
        let mut keyboard = Keyboard::new();
        keyboard.receive(0xF5);
        sent(&mut keyboard);
        assert_eq!(press_and_release(&mut keyboard, Key::A), (vec![], vec![]));
    }

    #[test]
    fn keyboard_full_buffer_ends_in_one_overrun_code() {
        let mut keyboard = Keyboard::new();
        for key in Key::all().take(30) {
            keyboard.key(key, true);
        }
        let bytes = sent(&mut keyboard);
        assert_eq!(bytes.len(), BUFFER + 1);
        assert_eq!(bytes[BUFFER], 0x00);
    }

    #[test]
    fn keyboard_typematic_byte_gives_delay_and_rate() {
        let mut keyboard = Keyboard::new();
        assert_eq!(keyboard.key(Key::A, true), Timer::Start(500_000_000));
        assert_eq!(keyboard.period_ns(), 91_740_000, "10.9 characters a second");
        keyboard.receive(0xF3);
        keyboard.receive(0x00);
        assert_eq!(keyboard.period_ns(), 33_360_000, "30 characters a second");
    }

    #[test]
    fn keyboard_set_3_key_types_switch_break_and_repeat_off() {
        let mut keyboard = in_set(3);
        for byte in [0xFC, 0x1C, 0xF4] {
            keyboard.receive(byte);
        }
        sent(&mut keyboard);
        assert_eq!(keyboard.key(Key::A, true), Timer::Stop);
        keyboard.receive(0xF9);
        sent(&mut keyboard);
        keyboard.key(Key::A, false);
        assert_eq!(sent(&mut keyboard), []);
    }
}

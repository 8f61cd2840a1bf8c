//! The keys of a 104-key (and 105-key) PC keyboard: names, and scan codes in the three sets, as data
//! (IBM PS/2 keyboard reference; set 1 and 2 codes of [`Kind::Extended`] and later kinds follow E0h).

use serde::{Deserialize, Serialize};

/// What a key sends besides its code in sets 1 and 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its code alone.
    Plain,
    /// E0h and its code.
    Extended,
    /// E0h and its code, in shift codes that undo Shift or Num Lock.
    Navigation,
    /// E0h and its code, in codes that undo Shift.
    KeypadDivide,
    /// Depends on Shift, Ctrl and Alt.
    PrintScreen,
    /// One sequence when pressed, nothing when released.
    Pause,
}

/// One key's row of the table.
pub(super) struct Row {
    pub key: Key,
    /// The one name, and other spellings that people try.
    pub names: &'static [&'static str],
    pub set1: u8,
    pub set2: u8,
    pub set3: u8,
    pub kind: Kind,
}

macro_rules! keys {
    ($($key:ident, [$($name:literal),+], $set1:literal, $set2:literal, $set3:literal, $kind:ident;)*) => {
        /// A key, by what is printed on it on a US keyboard.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum Key {
            $($key,)*
        }

        /// Every key, in the order of [`Key`].
        pub(super) const TABLE: &[Row] = &[
            $(Row {
                key: Key::$key,
                names: &[$($name),+],
                set1: $set1,
                set2: $set2,
                set3: $set3,
                kind: Kind::$kind,
            },)*
        ];
    };
}

#[rustfmt::skip]
keys! {
    Escape, ["Esc", "Escape"], 0x01, 0x76, 0x08, Plain;
    Digit1, ["1"], 0x02, 0x16, 0x16, Plain;
    Digit2, ["2"], 0x03, 0x1E, 0x1E, Plain;
    Digit3, ["3"], 0x04, 0x26, 0x26, Plain;
    Digit4, ["4"], 0x05, 0x25, 0x25, Plain;
    Digit5, ["5"], 0x06, 0x2E, 0x2E, Plain;
    Digit6, ["6"], 0x07, 0x36, 0x36, Plain;
    Digit7, ["7"], 0x08, 0x3D, 0x3D, Plain;
    Digit8, ["8"], 0x09, 0x3E, 0x3E, Plain;
    Digit9, ["9"], 0x0A, 0x46, 0x46, Plain;
    Digit0, ["0"], 0x0B, 0x45, 0x45, Plain;
    Minus, ["-", "Minus"], 0x0C, 0x4E, 0x4E, Plain;
    Equal, ["=", "Equal"], 0x0D, 0x55, 0x55, Plain;
    Backspace, ["Backspace", "Bksp"], 0x0E, 0x66, 0x66, Plain;
    Tab, ["Tab"], 0x0F, 0x0D, 0x0D, Plain;
    Q, ["q"], 0x10, 0x15, 0x15, Plain;
    W, ["w"], 0x11, 0x1D, 0x1D, Plain;
    E, ["e"], 0x12, 0x24, 0x24, Plain;
    R, ["r"], 0x13, 0x2D, 0x2D, Plain;
    T, ["t"], 0x14, 0x2C, 0x2C, Plain;
    Y, ["y"], 0x15, 0x35, 0x35, Plain;
    U, ["u"], 0x16, 0x3C, 0x3C, Plain;
    I, ["i"], 0x17, 0x43, 0x43, Plain;
    O, ["o"], 0x18, 0x44, 0x44, Plain;
    P, ["p"], 0x19, 0x4D, 0x4D, Plain;
    A, ["a"], 0x1E, 0x1C, 0x1C, Plain;
    S, ["s"], 0x1F, 0x1B, 0x1B, Plain;
    D, ["d"], 0x20, 0x23, 0x23, Plain;
    F, ["f"], 0x21, 0x2B, 0x2B, Plain;
    G, ["g"], 0x22, 0x34, 0x34, Plain;
    H, ["h"], 0x23, 0x33, 0x33, Plain;
    J, ["j"], 0x24, 0x3B, 0x3B, Plain;
    K, ["k"], 0x25, 0x42, 0x42, Plain;
    L, ["l"], 0x26, 0x4B, 0x4B, Plain;
    Z, ["z"], 0x2C, 0x1A, 0x1A, Plain;
    X, ["x"], 0x2D, 0x22, 0x22, Plain;
    C, ["c"], 0x2E, 0x21, 0x21, Plain;
    V, ["v"], 0x2F, 0x2A, 0x2A, Plain;
    B, ["b"], 0x30, 0x32, 0x32, Plain;
    N, ["n"], 0x31, 0x31, 0x31, Plain;
    M, ["m"], 0x32, 0x3A, 0x3A, Plain;
    LeftBracket, ["[", "LeftBracket"], 0x1A, 0x54, 0x54, Plain;
    RightBracket, ["]", "RightBracket"], 0x1B, 0x5B, 0x5B, Plain;
    Enter, ["Enter", "Return", "Ret"], 0x1C, 0x5A, 0x5A, Plain;
    LeftCtrl, ["LeftCtrl", "Ctrl", "LCtrl", "Control", "LeftControl"], 0x1D, 0x14, 0x11, Plain;
    Semicolon, [";", "Semicolon"], 0x27, 0x4C, 0x4C, Plain;
    Quote, ["'", "Quote", "Apostrophe"], 0x28, 0x52, 0x52, Plain;
    Backquote, ["`", "Backquote", "Grave"], 0x29, 0x0E, 0x0E, Plain;
    LeftShift, ["LeftShift", "Shift", "LShift"], 0x2A, 0x12, 0x12, Plain;
    Backslash, ["\\", "Backslash"], 0x2B, 0x5D, 0x5C, Plain;
    Comma, [",", "Comma"], 0x33, 0x41, 0x41, Plain;
    Period, [".", "Period", "Dot"], 0x34, 0x49, 0x49, Plain;
    Slash, ["/", "Slash"], 0x35, 0x4A, 0x4A, Plain;
    RightShift, ["RightShift", "RShift"], 0x36, 0x59, 0x59, Plain;
    KeypadMultiply, ["Kp*", "Keypad*", "KeypadMultiply"], 0x37, 0x7C, 0x7E, Plain;
    LeftAlt, ["LeftAlt", "Alt", "LAlt"], 0x38, 0x11, 0x19, Plain;
    Space, ["Space"], 0x39, 0x29, 0x29, Plain;
    CapsLock, ["CapsLock"], 0x3A, 0x58, 0x14, Plain;
    F1, ["F1"], 0x3B, 0x05, 0x07, Plain;
    F2, ["F2"], 0x3C, 0x06, 0x0F, Plain;
    F3, ["F3"], 0x3D, 0x04, 0x17, Plain;
    F4, ["F4"], 0x3E, 0x0C, 0x1F, Plain;
    F5, ["F5"], 0x3F, 0x03, 0x27, Plain;
    F6, ["F6"], 0x40, 0x0B, 0x2F, Plain;
    F7, ["F7"], 0x41, 0x83, 0x37, Plain;
    F8, ["F8"], 0x42, 0x0A, 0x3F, Plain;
    F9, ["F9"], 0x43, 0x01, 0x47, Plain;
    F10, ["F10"], 0x44, 0x09, 0x4F, Plain;
    NumLock, ["NumLock"], 0x45, 0x77, 0x76, Plain;
    ScrollLock, ["ScrollLock"], 0x46, 0x7E, 0x5F, Plain;
    Keypad7, ["Kp7", "Keypad7"], 0x47, 0x6C, 0x6C, Plain;
    Keypad8, ["Kp8", "Keypad8"], 0x48, 0x75, 0x75, Plain;
    Keypad9, ["Kp9", "Keypad9"], 0x49, 0x7D, 0x7D, Plain;
    KeypadMinus, ["Kp-", "Keypad-", "KeypadMinus"], 0x4A, 0x7B, 0x84, Plain;
    Keypad4, ["Kp4", "Keypad4"], 0x4B, 0x6B, 0x6B, Plain;
    Keypad5, ["Kp5", "Keypad5"], 0x4C, 0x73, 0x73, Plain;
    Keypad6, ["Kp6", "Keypad6"], 0x4D, 0x74, 0x74, Plain;
    KeypadPlus, ["Kp+", "Keypad+", "KeypadPlus", "Plus"], 0x4E, 0x79, 0x7C, Plain;
    Keypad1, ["Kp1", "Keypad1"], 0x4F, 0x69, 0x69, Plain;
    Keypad2, ["Kp2", "Keypad2"], 0x50, 0x72, 0x72, Plain;
    Keypad3, ["Kp3", "Keypad3"], 0x51, 0x7A, 0x7A, Plain;
    Keypad0, ["Kp0", "Keypad0"], 0x52, 0x70, 0x70, Plain;
    KeypadPeriod, ["Kp.", "Keypad.", "KeypadPeriod"], 0x53, 0x71, 0x71, Plain;
    IntlBackslash, ["<", "IntlBackslash"], 0x56, 0x61, 0x13, Plain;
    F11, ["F11"], 0x57, 0x78, 0x56, Plain;
    F12, ["F12"], 0x58, 0x07, 0x5E, Plain;
    KeypadEnter, ["KpEnter", "KeypadEnter"], 0x1C, 0x5A, 0x79, Extended;
    RightCtrl, ["RightCtrl", "RCtrl", "RightControl"], 0x1D, 0x14, 0x58, Extended;
    RightAlt, ["RightAlt", "RAlt", "AltGr"], 0x38, 0x11, 0x39, Extended;
    LeftMeta, ["LeftWin", "Win", "LeftMeta"], 0x5B, 0x1F, 0x8B, Extended;
    RightMeta, ["RightWin", "RightMeta"], 0x5C, 0x27, 0x8C, Extended;
    Menu, ["Menu"], 0x5D, 0x2F, 0x8D, Extended;
    Insert, ["Ins", "Insert"], 0x52, 0x70, 0x67, Navigation;
    Delete, ["Del", "Delete"], 0x53, 0x71, 0x64, Navigation;
    Home, ["Home"], 0x47, 0x6C, 0x6E, Navigation;
    End, ["End"], 0x4F, 0x69, 0x65, Navigation;
    PageUp, ["PgUp", "PageUp"], 0x49, 0x7D, 0x6F, Navigation;
    PageDown, ["PgDn", "PageDown", "PgDown", "PgDwn"], 0x51, 0x7A, 0x6D, Navigation;
    Up, ["Up"], 0x48, 0x75, 0x63, Navigation;
    Left, ["Left"], 0x4B, 0x6B, 0x61, Navigation;
    Down, ["Down"], 0x50, 0x72, 0x60, Navigation;
    Right, ["Right"], 0x4D, 0x74, 0x6A, Navigation;
    KeypadDivide, ["Kp/", "Keypad/", "KeypadDivide"], 0x35, 0x4A, 0x77, KeypadDivide;
    PrintScreen, ["PrintScreen", "Print", "PrtSc", "SysRq"], 0x37, 0x7C, 0x57, PrintScreen;
    Pause, ["Pause", "Break"], 0x45, 0x77, 0x62, Pause;
}

impl Key {
    /// The key of a name: `a` to `z`, `0` to `9`, `F1` to `F12`, `Esc`, `Enter`, `Space`, `Up`, `PgDn`, `LeftCtrl`,
    /// `Kp5`, `;` ... or another spelling that people try; upper and lower case are the same.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.names.iter().any(|other| other.eq_ignore_ascii_case(name))).map(|row| row.key)
    }

    /// The keys of a combination such as `LeftCtrl+LeftAlt+Del`, in the order of pressing; the part that is no key
    /// as an error.
    pub fn combination(text: &str) -> Result<Vec<Self>, String> {
        let mut keys = Vec::new();
        let mut rest = text;
        loop {
            let end = rest.find('+').unwrap_or(rest.len());
            // `Kp+` holds the separator; what follows it is the next separator, or nothing.
            let with_plus = rest.get(..=end).filter(|_| matches!(rest.as_bytes().get(end + 1), None | Some(b'+')));
            let (key, end) = match with_plus.and_then(|part| Self::from_name(part.trim_start())) {
                Some(key) => (key, end + 1),
                None => {
                    let part = rest[..end].trim();
                    (Self::from_name(part).ok_or_else(|| part.to_owned())?, end)
                }
            };
            keys.push(key);
            match rest[end..].strip_prefix('+') {
                Some(more) => rest = more,
                None => return Ok(keys),
            }
        }
    }

    /// The key's one name.
    pub fn name(self) -> &'static str {
        self.row().names[0]
    }

    /// All keys.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.key)
    }

    /// The key that types `character` on a US keyboard, and whether Shift is held for it.
    pub fn from_char(character: char) -> Option<(Self, bool)> {
        let shifted = "~!@#$%^&*()_+{}|:\"<>?";
        let plain = "`1234567890-=[]\\;',./";
        let name = match character {
            '\n' | '\r' => return Some((Self::Enter, false)),
            '\t' => return Some((Self::Tab, false)),
            '\u{8}' | '\u{7F}' => return Some((Self::Backspace, false)),
            '\u{1B}' => return Some((Self::Escape, false)),
            ' ' => return Some((Self::Space, false)),
            'A'..='Z' | 'a'..='z' => {
                return Self::from_name(character.encode_utf8(&mut [0; 4]))
                    .map(|key| (key, character.is_ascii_uppercase()));
            }
            _ => character,
        };
        let base = shifted.chars().position(|other| other == name).and_then(|place| plain.chars().nth(place));
        let key = Self::from_name(base.unwrap_or(name).encode_utf8(&mut [0; 4]))?;
        Some((key, base.is_some()))
    }

    /// The keys that type `character` on a US keyboard, in the order of pressing.
    pub fn typing(character: char) -> Option<Vec<Self>> {
        let (key, shift) = Self::from_char(character)?;
        Some(if shift { vec![Self::LeftShift, key] } else { vec![key] })
    }

    pub(super) fn row(self) -> &'static Row {
        // The table is in the order of the enumeration.
        &TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn key_table_rows_stand_at_their_keys_and_names_are_unique() {
        let mut names = HashSet::new();
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.key as usize, index);
            for name in row.names {
                assert!(names.insert(name.to_ascii_lowercase()), "{name}");
                assert_eq!(Key::from_name(name), Some(row.key));
            }
        }
        assert!(TABLE.len() >= 104);
    }

    #[test]
    fn key_codes_are_unique_in_each_set() {
        let extended = |row: &Row| row.kind != Kind::Plain;
        let set1: HashSet<_> = TABLE.iter().map(|row| (extended(row) && row.kind != Kind::Pause, row.set1)).collect();
        let set3: HashSet<_> = TABLE.iter().map(|row| row.set3).collect();
        // Num Lock and Pause share 45h in set 1.
        assert_eq!((set1.len(), set3.len()), (TABLE.len() - 1, TABLE.len()));
    }

    #[test]
    fn key_from_char_covers_printable_ascii_with_shift() {
        for character in ' '..='~' {
            assert!(Key::from_char(character).is_some(), "{character}");
        }
        assert_eq!(Key::from_char('a'), Some((Key::A, false)));
        assert_eq!(Key::from_char('A'), Some((Key::A, true)));
        assert_eq!(Key::from_char('"'), Some((Key::Quote, true)));
        assert_eq!(Key::from_char('|'), Some((Key::Backslash, true)));
        assert_eq!(Key::from_char('\n'), Some((Key::Enter, false)));
        assert_eq!(Key::from_char('é'), None);
    }

    #[test]
    fn key_combination_splits_at_plus_and_names_the_part_that_is_no_key() {
        assert_eq!(Key::combination("LeftShift+a"), Ok(vec![Key::LeftShift, Key::A]));
        assert_eq!(Key::combination("ctrl + alt+del"), Ok(vec![Key::LeftCtrl, Key::LeftAlt, Key::Delete]));
        assert_eq!(Key::combination("Ctrl+Kp+"), Ok(vec![Key::LeftCtrl, Key::KeypadPlus]));
        assert_eq!(Key::combination("kp++a"), Ok(vec![Key::KeypadPlus, Key::A]));
        for (text, part) in [("Ctrl+Foo", "Foo"), ("", ""), ("a+", ""), ("Kp+a", "Kp"), ("F13", "F13"), ("é+a", "é")]
        {
            assert_eq!(Key::combination(text), Err(part.to_owned()), "{text}");
        }
    }

    #[test]
    fn key_names_in_the_documentation_are_the_tables() {
        let docs = include_str!("../../../docs/scripting.md");
        let keys = docs.split("**Keys:**").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
        for name in keys.split('`').skip(1).step_by(2) {
            assert!(Key::from_name(name).is_some(), "{name}");
        }
        for name in Key::all().map(Key::name).filter(|name| name.len() > 1) {
            let in_a_range = name.starts_with('F') || name.strip_prefix("Kp").is_some_and(|n| n.parse::<u8>().is_ok());
            assert!(in_a_range || keys.contains(&format!("`{name}`")), "{name}");
        }
    }
}

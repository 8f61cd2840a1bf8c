//! The names of the PC's keys, and which keys type a character on a US keyboard.

/// Every key of the 102-key keyboard by its one name here, in rows from the top left.
pub const NAMES: &[&str] = &[
    "Esc",
    "F1",
    "F2",
    "F3",
    "F4",
    "F5",
    "F6",
    "F7",
    "F8",
    "F9",
    "F10",
    "F11",
    "F12",
    "PrintScreen",
    "ScrollLock",
    "Pause", //
    "`",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "0",
    "-",
    "=",
    "Backspace", //
    "Tab",
    "q",
    "w",
    "e",
    "r",
    "t",
    "y",
    "u",
    "i",
    "o",
    "p",
    "[",
    "]",
    "\\", //
    "CapsLock",
    "a",
    "s",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    ";",
    "'",
    "Enter", //
    "LeftShift",
    "<",
    "z",
    "x",
    "c",
    "v",
    "b",
    "n",
    "m",
    ",",
    ".",
    "/",
    "RightShift", //
    "LeftCtrl",
    "LeftWin",
    "LeftAlt",
    "Space",
    "RightAlt",
    "RightWin",
    "Menu",
    "RightCtrl", //
    "Ins",
    "Home",
    "PgUp",
    "Del",
    "End",
    "PgDn",
    "Up",
    "Left",
    "Down",
    "Right", //
    "NumLock",
    "Kp/",
    "Kp*",
    "Kp-",
    "Kp+",
    "KpEnter",
    "Kp.",
    "Kp0",
    "Kp1",
    "Kp2",
    "Kp3",
    "Kp4",
    "Kp5",
    "Kp6",
    "Kp7",
    "Kp8",
    "Kp9",
];

/// Other spellings that people try, in lower case, and the name they mean.
const ALIASES: &[(&str, &str)] = &[
    ("escape", "Esc"),
    ("return", "Enter"),
    ("ret", "Enter"),
    ("bksp", "Backspace"),
    ("minus", "-"),
    ("equal", "="),
    ("plus", "Kp+"),
    ("comma", ","),
    ("period", "."),
    ("dot", "."),
    ("slash", "/"),
    ("backslash", "\\"),
    ("semicolon", ";"),
    ("quote", "'"),
    ("apostrophe", "'"),
    ("backquote", "`"),
    ("grave", "`"),
    ("leftbracket", "["),
    ("rightbracket", "]"),
    ("insert", "Ins"),
    ("delete", "Del"),
    ("pageup", "PgUp"),
    ("pagedown", "PgDn"),
    ("pgdown", "PgDn"),
    ("pgdwn", "PgDn"),
    ("shift", "LeftShift"),
    ("lshift", "LeftShift"),
    ("rshift", "RightShift"),
    ("ctrl", "LeftCtrl"),
    ("lctrl", "LeftCtrl"),
    ("rctrl", "RightCtrl"),
    ("control", "LeftCtrl"),
    ("leftcontrol", "LeftCtrl"),
    ("rightcontrol", "RightCtrl"),
    ("alt", "LeftAlt"),
    ("lalt", "LeftAlt"),
    ("ralt", "RightAlt"),
    ("altgr", "RightAlt"),
    ("win", "LeftWin"),
    ("print", "PrintScreen"),
    ("sysrq", "PrintScreen"),
    ("break", "Pause"),
];

/// The key's one name for any spelling of it: its name in any case, or an alias.
pub fn canonical(name: &str) -> Option<&'static str> {
    let exact = NAMES.iter().find(|known| known.eq_ignore_ascii_case(name));
    let alias = || {
        ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name)).map(|(_, key)| key).and_then(|key| {
            NAMES.iter().find(|known| *known == key) // keeps an alias from naming a key that is not there
        })
    };
    exact.or_else(alias).copied()
}

/// The keys of a combination such as `LeftCtrl+LeftAlt+Del`, in the order of pressing; the part that is no key
/// as an error.
pub fn combination(text: &str) -> Result<Vec<&'static str>, String> {
    text.split('+')
        // "Kp+" is the one name that holds the separator.
        .collect::<Vec<_>>()
        .join("\u{0}")
        .replace("Kp\u{0}", "Kp+")
        .split('\u{0}')
        .map(|part| canonical(part.trim()).ok_or_else(|| part.trim().to_owned()))
        .collect()
}

/// Characters above the shift level, with the key below them.
const SHIFTED: &[(char, &str)] = &[
    ('~', "`"),
    ('!', "1"),
    ('@', "2"),
    ('#', "3"),
    ('$', "4"),
    ('%', "5"),
    ('^', "6"),
    ('&', "7"),
    ('*', "8"),
    ('(', "9"),
    (')', "0"),
    ('_', "-"),
    ('+', "="),
    ('{', "["),
    ('}', "]"),
    ('|', "\\"),
    (':', ";"),
    ('"', "'"),
    ('<', ","),
    ('>', "."),
    ('?', "/"),
];

/// The keys that type `c` on a US keyboard, in the order of pressing.
pub fn for_character(c: char) -> Option<Vec<&'static str>> {
    let plain = match c {
        '\n' | '\r' => "Enter",
        '\t' => "Tab",
        ' ' => "Space",
        '\u{8}' => "Backspace",
        '\u{1b}' => "Esc",
        _ => "",
    };
    if !plain.is_empty() {
        return Some(vec![plain]);
    }
    if let Some((_, key)) = SHIFTED.iter().find(|(shifted, _)| *shifted == c) {
        return Some(vec!["LeftShift", key]);
    }
    let name = c.to_ascii_lowercase().to_string();
    let key = NAMES.iter().find(|known| **known == name)?;
    Some(if c.is_ascii_uppercase() { vec!["LeftShift", key] } else { vec![key] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_names_are_unique_and_every_alias_names_one() {
        let mut names = NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
        for (alias, key) in ALIASES {
            assert_eq!(canonical(alias), Some(*key), "{alias}");
        }
    }

    #[test]
    fn key_name_in_any_case_gives_the_one_name() {
        assert_eq!(canonical("f12"), Some("F12"));
        assert_eq!(canonical("PGDN"), Some("PgDn"));
        assert_eq!(canonical("Q"), Some("q"));
        assert_eq!(canonical("F13"), None);
        assert_eq!(canonical(""), None);
    }

    #[test]
    fn combination_splits_at_plus_and_names_the_part_that_is_no_key() {
        assert_eq!(combination("LeftShift+a").unwrap(), ["LeftShift", "a"]);
        assert_eq!(combination("ctrl+alt+del").unwrap(), ["LeftCtrl", "LeftAlt", "Del"]);
        assert_eq!(combination("Ctrl+Kp+").unwrap(), ["LeftCtrl", "Kp+"]);
        assert_eq!(combination("Ctrl+Foo").unwrap_err(), "Foo");
        assert_eq!(combination("").unwrap_err(), "");
    }

    #[test]
    fn every_printable_ascii_character_can_be_typed() {
        for c in (0x20..0x7fu8).map(char::from).chain(['\n', '\t']) {
            let keys = for_character(c).unwrap_or_else(|| panic!("{c:?}"));
            assert!(keys.iter().all(|key| canonical(key) == Some(*key)), "{c:?}: {keys:?}");
        }
        assert_eq!(for_character('A').unwrap(), ["LeftShift", "a"]);
        assert_eq!(for_character('"').unwrap(), ["LeftShift", "'"]);
        assert_eq!(for_character('<').unwrap(), ["LeftShift", ","]);
        assert_eq!(for_character('é'), None);
    }
}

//! Keys pressed together: combinations in scripts, and what types a character. The keys are the keyboard's own
//! ([`Key`]).

pub use emu_devices::keyboard::Key;

/// The keys of a combination such as `LeftCtrl+LeftAlt+Del`, in the order of pressing; the part that is no key
/// as an error.
pub fn combination(text: &str) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    let mut rest = text;
    loop {
        // A separator follows at least one character; "Keypad+" is the one name that ends in it.
        let keypad = rest.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("Keypad+"));
        let from = if keypad { 7 } else { 0 };
        let separator = rest.get(from..).and_then(|tail| tail.find('+')).map(|at| at + from);
        let part = separator.and_then(|at| rest.get(..at)).unwrap_or(rest).trim();
        keys.push(Key::from_name(part).ok_or_else(|| part.to_owned())?);
        match separator {
            Some(at) => rest = rest.get(at + 1..).unwrap_or(""),
            None => return Ok(keys),
        }
    }
}

/// The keys that type `c` on a US keyboard, in the order of pressing.
pub fn for_character(c: char) -> Option<Vec<Key>> {
    let (key, shift) = Key::from_char(c)?;
    Some(if shift { vec![Key::LeftShift, key] } else { vec![key] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combination_splits_at_plus_and_names_the_part_that_is_no_key() {
        assert_eq!(combination("LeftShift+a"), Ok(vec![Key::LeftShift, Key::A]));
        assert_eq!(combination("ctrl + alt+del"), Ok(vec![Key::LeftCtrl, Key::LeftAlt, Key::Delete]));
        assert_eq!(combination("Keypad+"), Ok(vec![Key::KeypadPlus]));
        assert_eq!(combination("Ctrl+Keypad++a"), Ok(vec![Key::LeftCtrl, Key::KeypadPlus, Key::A]));
        assert_eq!(combination("Ctrl+Foo"), Err("Foo".to_owned()));
        assert_eq!(combination("Ctrl+"), Err(String::new()));
        assert_eq!(combination(""), Err(String::new()));
    }

    #[test]
    fn every_key_name_of_the_contract_is_a_key() {
        let letters = ('a'..='z').chain('0'..='9').map(String::from);
        let functions = (1..=12).map(|n| format!("F{n}"));
        let named = ["Esc", "Enter", "Space", "Up", "PgDn", "LeftCtrl"].map(String::from);
        for name in letters.chain(functions).chain(named) {
            assert_eq!(combination(&name).map(|keys| keys.len()), Ok(1), "{name}");
        }
    }

    #[test]
    fn every_printable_ascii_character_can_be_typed() {
        for c in (0x20..0x7fu8).map(char::from).chain(['\n', '\t']) {
            assert!(for_character(c).is_some(), "{c:?}");
        }
        assert_eq!(for_character('"'), Some(vec![Key::LeftShift, Key::Quote]));
        assert_eq!(for_character('é'), None);
    }
}

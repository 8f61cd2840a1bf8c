//! What a terminal tells of keys, as keys of a PC.

use crate::display::Input;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use emu_devices::keyboard::Key;

/// What ends the run: Ctrl and this.
const QUIT_KEY: char = ']';

/// What a terminal's key event means on the PC's keyboard.
pub fn translate(event: &KeyEvent) -> Option<Input> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    let (mut keys, plain): (Vec<Key>, _) = match event.code {
        // Terminals send Ctrl-] as Ctrl-5 or as itself.
        KeyCode::Char(c) if control && (c == QUIT_KEY || c == '5') => return Some(Input::Quit),
        KeyCode::Char(c) => (Key::typing(c)?, true),
        KeyCode::F(n) => (vec![Key::from_name(&format!("F{n}"))?], false),
        KeyCode::BackTab => (vec![Key::LeftShift, Key::Tab], true),
        code => {
            let key = match code {
                KeyCode::Backspace => Key::Backspace,
                KeyCode::Enter => Key::Enter,
                KeyCode::Left => Key::Left,
                KeyCode::Right => Key::Right,
                KeyCode::Up => Key::Up,
                KeyCode::Down => Key::Down,
                KeyCode::Home => Key::Home,
                KeyCode::End => Key::End,
                KeyCode::PageUp => Key::PageUp,
                KeyCode::PageDown => Key::PageDown,
                KeyCode::Tab => Key::Tab,
                KeyCode::Delete => Key::Delete,
                KeyCode::Insert => Key::Insert,
                KeyCode::Esc => Key::Escape,
                KeyCode::CapsLock => Key::CapsLock,
                KeyCode::ScrollLock => Key::ScrollLock,
                KeyCode::NumLock => Key::NumLock,
                KeyCode::PrintScreen => Key::PrintScreen,
                KeyCode::Pause => Key::Pause,
                KeyCode::Menu => Key::Menu,
                _ => return None,
            };
            (vec![key], false)
        }
    };
    // A character brings its own shift.
    if event.modifiers.contains(KeyModifiers::SHIFT) && !plain {
        keys.insert(0, Key::LeftShift);
    }
    if event.modifiers.contains(KeyModifiers::ALT) {
        keys.insert(0, Key::LeftAlt);
    }
    if control {
        keys.insert(0, Key::LeftCtrl);
    }
    Some(Input::Keys(keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_keys_become_the_pcs_keys() {
        let key = |code, modifiers| translate(&KeyEvent::new(code, modifiers));
        let none = KeyModifiers::NONE;
        assert_eq!(key(KeyCode::Char('a'), none), Some(Input::Keys(vec![Key::A])));
        assert_eq!(key(KeyCode::Char('A'), KeyModifiers::SHIFT), Some(Input::Keys(vec![Key::LeftShift, Key::A])));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Input::Keys(vec![Key::LeftCtrl, Key::C])));
        assert_eq!(key(KeyCode::F(12), none), Some(Input::Keys(vec![Key::F12])));
        assert_eq!(key(KeyCode::F(24), none), None);
        assert_eq!(key(KeyCode::Up, KeyModifiers::SHIFT), Some(Input::Keys(vec![Key::LeftShift, Key::Up])));
        assert_eq!(key(KeyCode::PageDown, none), Some(Input::Keys(vec![Key::PageDown])));
        assert_eq!(key(KeyCode::Char(']'), KeyModifiers::CONTROL), Some(Input::Quit));
        assert_eq!(key(KeyCode::Char('5'), KeyModifiers::CONTROL), Some(Input::Quit));
    }
}

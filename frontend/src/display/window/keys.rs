//! Places on the host's keyboard as keys of a PC's: what is printed on them, and which layout the host has, does not
//! matter.

use emu_devices::keyboard::Key;
use winit::keyboard::KeyCode;

macro_rules! same_names {
    ($($name:ident)*; $($code:ident => $key:ident),* $(,)?) => {
        /// The PC's key in that place, if there is one.
        pub fn key(code: KeyCode) -> Option<Key> {
            Some(match code {
                $(KeyCode::$name => Key::$name,)*
                $(KeyCode::$code => Key::$key,)*
                _ => return None,
            })
        }

        #[cfg(test)]
        const ALL: &[KeyCode] = &[$(KeyCode::$name,)* $(KeyCode::$code,)*];
    };
}

same_names! {
    Escape Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal Backspace Tab Enter Semicolon
    Quote Backquote Backslash Comma Period Slash Space CapsLock F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 F12 NumLock ScrollLock
    IntlBackslash Insert Delete Home End PageUp PageDown PrintScreen Pause;
    KeyA => A, KeyB => B, KeyC => C, KeyD => D, KeyE => E, KeyF => F, KeyG => G, KeyH => H, KeyI => I, KeyJ => J,
    KeyK => K, KeyL => L, KeyM => M, KeyN => N, KeyO => O, KeyP => P, KeyQ => Q, KeyR => R, KeyS => S, KeyT => T,
    KeyU => U, KeyV => V, KeyW => W, KeyX => X, KeyY => Y, KeyZ => Z,
    BracketLeft => LeftBracket, BracketRight => RightBracket,
    ControlLeft => LeftCtrl, ControlRight => RightCtrl, ShiftLeft => LeftShift, ShiftRight => RightShift,
    AltLeft => LeftAlt, AltRight => RightAlt, SuperLeft => LeftMeta, SuperRight => RightMeta, ContextMenu => Menu,
    ArrowUp => Up, ArrowDown => Down, ArrowLeft => Left, ArrowRight => Right,
    Numpad0 => Keypad0, Numpad1 => Keypad1, Numpad2 => Keypad2, Numpad3 => Keypad3, Numpad4 => Keypad4,
    Numpad5 => Keypad5, Numpad6 => Keypad6, Numpad7 => Keypad7, Numpad8 => Keypad8, Numpad9 => Keypad9,
    NumpadAdd => KeypadPlus, NumpadSubtract => KeypadMinus, NumpadMultiply => KeypadMultiply,
    NumpadDivide => KeypadDivide, NumpadDecimal => KeypadPeriod, NumpadEnter => KeypadEnter,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_of_the_pc_has_one_place() {
        let keys: Vec<Key> = ALL.iter().filter_map(|code| key(*code)).collect();
        let different: BTreeSet<Key> = keys.iter().copied().collect();
        assert_eq!((keys.len(), different), (ALL.len(), Key::all().collect()));
    }
}

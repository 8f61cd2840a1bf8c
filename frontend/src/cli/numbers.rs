//! Values of options that are numbers: what was given, and what would be right.

use emu_vmx::dump::names::shown;
use std::ops::RangeInclusive;

/// A whole number of `what`, decimal, within `range`.
fn whole(text: &str, range: RangeInclusive<u64>, what: &str) -> Result<u64, String> {
    let (low, high) = (range.start(), range.end());
    let give = if *high == u64::MAX { format!("{low} or more") } else { format!("{low} to {high}") };
    let give = format!("give {give}{}{what}", if what.is_empty() { "" } else { " " });
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{:?} is no whole number; {give}", shown(text)));
    }
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("{} is out of range; {give}", shown(text)))
}

/// clap's parser of a whole number of `what` within `range`.
pub fn number(
    range: RangeInclusive<u64>,
    what: &'static str,
) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync {
    move |text| whole(text, range.clone(), what)
}

/// [`number`] of 32 bits.
pub fn number32(
    range: RangeInclusive<u32>,
    what: &'static str,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync {
    let wide = u64::from(*range.start())..=u64::from(*range.end());
    move |text| Ok(whole(text, wide.clone(), what)? as u32)
}

/// A number, decimal or 0x-hexadecimal, up to `most`.
fn hexadecimal(text: &str, most: u64) -> Option<u64> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let sound = |digits: &str, radix| digits.chars().all(|c| c.is_digit(radix));
    let parsed = match hex {
        Some(digits) => u64::from_str_radix(digits, 16).ok().filter(|_| sound(digits, 16)),
        None => text.parse().ok().filter(|_| sound(text, 10)),
    };
    parsed.filter(|number| *number <= most)
}

/// A port of the guest's.
pub fn port(text: &str) -> Result<u16, String> {
    let number = hexadecimal(text, u16::MAX.into()).and_then(|number| u16::try_from(number).ok());
    number.ok_or_else(|| format!("{:?} is no port; give 0 to 65535, or 0x0 to 0xffff", shown(text)))
}

/// A value of 32 bits.
pub fn word(text: &str) -> Result<u32, String> {
    let number = hexadecimal(text, u32::MAX.into()).and_then(|number| u32::try_from(number).ok());
    number
        .ok_or_else(|| format!("{:?} is no value of 32 bits; give 0 to 4294967295, or 0x0 to 0xffffffff", shown(text)))
}

/// A TCP port of the host's; 0 stands for a free one.
pub fn tcp_port(text: &str) -> Result<u16, String> {
    whole(text, 0..=u16::MAX.into(), "as the port, 0 for a free one").map(|port| port as u16)
}

/// A positive number of seconds.
pub fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| s.is_finite() && *s > 0.0);
    seconds.ok_or_else(|| format!("{:?} is no number of seconds above 0; give seconds, such as 2.5", shown(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_out_of_its_range_is_told_with_the_range_and_the_unit() {
        let cpus = number32(1..=254, "processors");
        assert_eq!((cpus("1"), cpus("254")), (Ok(1), Ok(254)));
        for text in ["0", "255", "-1", "99999999999999999999"] {
            assert_eq!(cpus(text), Err(format!("{text} is out of range; give 1 to 254 processors")));
        }
        for text in ["", "abc", "1x", "-", "+1", "0x2", "1.5", "１"] {
            assert_eq!(cpus(text), Err(format!("{text:?} is no whole number; give 1 to 254 processors")));
        }
        assert_eq!(number(0..=u64::MAX, "")("x"), Err("\"x\" is no whole number; give 0 or more".to_owned()));
        assert!(cpus(&"9".repeat(1000)).is_err_and(|error| error.len() < 200));
    }

    #[test]
    fn port_is_decimal_or_hexadecimal() {
        assert_eq!((port("0xF4"), port("244"), word("0xffffffff")), (Ok(0xF4), Ok(0xF4), Ok(u32::MAX)));
        for text in ["", "0x", "-1", "+1", "0x+1", "65536", "0x10000", "f4"] {
            assert!(port(text).is_err_and(|error| error.contains("0 to 65535")), "{text}");
        }
        for text in ["nan", "inf", "0", "-1", "", "1x"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}

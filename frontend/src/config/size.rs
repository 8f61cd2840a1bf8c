//! Sizes of memory as people write them.

use emu_vmx::dump::names::shown;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serializer};
use std::fmt;

/// MiB from `512`, `512M`, `1G`, `512MiB` (and KiB, if they are whole MiB). The problem as an error.
pub fn mebibytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let bad = || format!("{:?} is no size; write 512, 512M or 1G", shown(text));
    let number: u64 = number.parse().map_err(|_| bad())?;
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    match unit {
        "" | "m" => Ok(number),
        "g" => number.checked_mul(1024).ok_or_else(bad),
        "t" => number.checked_mul(1024 * 1024).ok_or_else(bad),
        "k" if number.is_multiple_of(1024) => Ok(number / 1024),
        _ => Err(bad()),
    }
}

/// A size in MiB, as a number or a text.
struct Size;

impl Visitor<'_> for Size {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a size in MiB such as 512, \"512M\" or \"1G\"")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        Ok(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        u64::try_from(value).map_err(|_| E::custom(format!("{value} is no size")))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<u64, E> {
        mebibytes(value).map_err(E::custom)
    }
}

/// For `#[serde(with)]`: MiB, as a number or a text.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    from.deserialize_any(Size)
}

/// The same of a field that may be missing.
pub fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(transparent)]
    struct Mebibytes(#[serde(deserialize_with = "deserialize")] u64);
    Ok(Option::<Mebibytes>::deserialize(from)?.map(|Mebibytes(size)| size))
}

/// For `#[serde(with)]`: MiB as a number.
pub fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(*value)
}

#[cfg(test)]
mod tests {

    #[test]
    fn size_with_and_without_unit_is_mebibytes_and_anything_else_says_how() {
        for (text, mebibytes) in
            [("512", 512), ("512M", 512), ("512 MiB", 512), ("2g", 2048), ("1GB", 1024), ("2048K", 2), ("1T", 1 << 20)]
        {
            assert_eq!(super::mebibytes(text), Ok(mebibytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5G", "3K", "12X", "99999999999999999999", "99999999999999999G"] {
            assert!(super::mebibytes(text).is_err_and(|e| e.contains("512M")), "{text}");
        }
    }
}

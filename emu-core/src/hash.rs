//! Hashes that are the same on every host and in every run: of a machine's state, of an image, of a test's input.

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3Default;

/// A 64-bit hash (XXH3) of numbers and byte strings, fed one after the other.
///
/// Byte strings are fed with their lengths, so that no two different sequences of pieces are fed the same bytes.
#[derive(Clone)]
pub struct StableHash(Xxh3Default);

impl StableHash {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(Xxh3Default::new())
    }

    /// Feeds a number.
    pub fn number(&mut self, n: u64) {
        self.0.update(&n.to_le_bytes());
    }

    /// Feeds the length of `bytes` and the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    /// Feeds a value in its encoding, then the encoding's length. An error of the encoding leaves the hash useless.
    pub fn value(&mut self, value: &impl Serialize) -> Result<(), postcard::Error> {
        let fed = postcard::serialize_with_flavor(value, Feed { hash: self, length: 0 })?;
        self.number(fed);
        Ok(())
    }

    /// The hash of what was fed until now.
    pub fn get(&self) -> u64 {
        self.0.digest()
    }

    /// The hash of one byte string.
    pub fn of(bytes: &[u8]) -> u64 {
        let mut hash = Self::new();
        hash.bytes(bytes);
        hash.get()
    }
}

/// Where an encoding goes instead of into memory; its output is the length.
struct Feed<'a> {
    hash: &'a mut StableHash,
    length: u64,
}

impl Flavor for Feed<'_> {
    type Output = u64;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.hash.0.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<u64> {
        Ok(self.length)
    }
}

impl Default for StableHash {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_hash_of_known_input_is_the_known_number() {
        // XXH3's own value of the empty input.
        assert_eq!(StableHash::new().get(), 0x2D06_8005_38D3_94C2);
        assert_eq!(StableHash::of(b"rvmx-emu"), StableHash::of(b"rvmx-emu"));
    }

    #[test]
    fn stable_hash_of_a_value_is_that_of_its_encoding_and_an_encoding_error_is_an_error() {
        let (mut one, mut two) = (StableHash::new(), StableHash::new());
        one.value(&(7u8, "text", [1u64, 300])).expect("it has an encoding");
        let bytes = postcard::to_allocvec(&(7u8, "text", [1u64, 300])).expect("it has an encoding");
        two.0.update(&bytes);
        two.number(bytes.len() as u64);
        assert_eq!(one.get(), two.get());
        struct Endless;
        impl Serialize for Endless {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_seq(None).map(|_| unreachable!("no length, no encoding"))
            }
        }
        assert!(one.value(&Endless).is_err());
    }

    #[test]
    fn stable_hash_of_other_pieces_of_the_same_bytes_differs() {
        let (mut one, mut two) = (StableHash::new(), StableHash::new());
        one.bytes(b"ab");
        one.bytes(b"c");
        two.bytes(b"a");
        two.bytes(b"bc");
        assert_ne!(one.get(), two.get());
    }
}

//! Hashes that are the same on every host and in every run: of a machine's state, of an image, of a test's input.

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
    fn stable_hash_of_other_pieces_of_the_same_bytes_differs() {
        let (mut one, mut two) = (StableHash::new(), StableHash::new());
        one.bytes(b"ab");
        one.bytes(b"c");
        two.bytes(b"a");
        two.bytes(b"bc");
        assert_ne!(one.get(), two.get());
    }
}

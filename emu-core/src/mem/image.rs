//! Contents of guest RAM at one moment, in pages that images of the same machine share.

use super::ram::PAGE;
use std::sync::Arc;

/// Bytes in a page, as an index type.
const BYTES: usize = PAGE as usize;
/// Pages in a chunk: what a write after a snapshot makes the next image copy is a chunk of pointers, not all of them.
const CHUNK: usize = 512;

/// A page that holds something other than zeros.
type Page = Arc<[u8; BYTES]>;

/// Contents of guest RAM. A clone shares all pages; zero pages take no room.
#[derive(Debug, Clone)]
pub struct MemoryImage {
    pages: usize,
    chunks: Vec<Option<Arc<Vec<Option<Page>>>>>,
}

impl MemoryImage {
    /// `size` bytes, all zero; a multiple of 4 KiB.
    pub fn zero(size: u64) -> Self {
        let pages = (size / PAGE) as usize;
        Self { pages, chunks: vec![None; pages.div_ceil(CHUNK)] }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.pages as u64 * PAGE
    }

    /// The pages that are not all zero, by number, lowest first.
    pub fn pages(&self) -> impl Iterator<Item = (u32, &[u8; BYTES])> {
        self.chunks.iter().enumerate().flat_map(|(n, chunk)| {
            let pages = chunk.iter().flat_map(|pages| pages.iter().enumerate());
            pages.filter_map(move |(place, page)| Some(((n * CHUNK + place) as u32, &**page.as_ref()?)))
        })
    }

    /// A page's contents; `None` if it is all zero or there is no such page.
    pub fn page(&self, number: u32) -> Option<&[u8; BYTES]> {
        self.entry(number as usize).map(|page| &**page)
    }

    fn entry(&self, number: usize) -> Option<&Page> {
        self.chunks.get(number / CHUNK)?.as_ref()?.get(number % CHUNK)?.as_ref()
    }

    /// Replaces a page; false if there is no such page, or `bytes` is not one.
    pub fn set_page(&mut self, number: u32, bytes: &[u8]) -> bool {
        let number = number as usize;
        let Ok(bytes) = <&[u8; BYTES]>::try_from(bytes) else { return false };
        if number >= self.pages {
            return false;
        }
        if self.entry(number).is_some_and(|old| **old == *bytes) {
            return true;
        }
        let page = (!is_zero(bytes)).then(|| Arc::new(*bytes));
        if page.is_none() && self.entry(number).is_none() {
            return true;
        }
        let chunk = self.chunks[number / CHUNK].get_or_insert_with(|| Arc::new(vec![None; CHUNK]));
        Arc::make_mut(chunk)[number % CHUNK] = page;
        true
    }

    /// Numbers of the pages that `self` and `other`, an image of the same size, do not share: all that differ, and
    /// perhaps some that are equal.
    pub(super) fn unshared<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        debug_assert_eq!(self.pages, other.pages);
        let same_chunk = |n: usize| match (&self.chunks[n], &other.chunks[n]) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        let chunks = (0..self.chunks.len()).filter(move |&n| !same_chunk(n));
        chunks.flat_map(|n| n * CHUNK..((n + 1) * CHUNK).min(self.pages)).filter(|&number| {
            match (self.entry(number), other.entry(number)) {
                (None, None) => false,
                (Some(a), Some(b)) => !Arc::ptr_eq(a, b),
                _ => true,
            }
        })
    }
}

/// Whether all bytes are 0. Without an early end it takes a few host instructions for 16 bytes.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |all, &byte| all | byte) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_of_many_pages_shares_what_did_not_change() {
        let mut one = MemoryImage::zero(1200 * PAGE);
        assert!(one.set_page(3, &[1; BYTES]) && one.set_page(1199, &[2; BYTES]) && one.set_page(7, &[0; BYTES]));
        let mut two = one.clone();
        assert_eq!(two.unshared(&one).count(), 0);
        assert!(two.set_page(3, &[1; BYTES]) && two.set_page(4, &[4; BYTES]) && two.set_page(1199, &[0; BYTES]));
        assert_eq!(two.unshared(&one).collect::<Vec<_>>(), [4, 1199]);
        assert_eq!(two.pages().map(|page| page.0).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(one.pages().map(|page| page.0).collect::<Vec<_>>(), [3, 1199]);
    }

    #[test]
    fn page_that_does_not_exist_or_is_not_whole_is_refused() {
        let mut image = MemoryImage::zero(2 * PAGE);
        assert!(!image.set_page(2, &[1; BYTES]) && !image.set_page(u32::MAX, &[1; BYTES]) && !image.set_page(0, &[1]));
    }
}

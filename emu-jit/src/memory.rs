//! Memory for code, which is never writable and executable at the same address: it is mapped twice.

use crate::host::{see_code, way};
use memmap2::{Mmap, MmapMut, MmapOptions};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::fs::File;
use std::io;

/// Bytes of code that there is room for. What is never touched costs nothing.
pub const SIZE: usize = 64 << 20;

/// The two mappings of the same bytes.
pub struct CodeMemory {
    writable: MmapMut,
    executable: Mmap,
    used: usize,
}

impl CodeMemory {
    /// Empty memory.
    pub fn new() -> io::Result<Self> {
        let file = File::from(memfd_create("compiled code", MemfdFlags::CLOEXEC)?);
        ftruncate(&file, SIZE as u64)?;
        // SAFETY: nobody else has this file, which has no name; so its length and bytes are this struct's alone.
        let writable = unsafe { MmapMut::map_mut(&file)? };
        // SAFETY: as above. Its bytes change only through `writable`, by this struct's methods, which take it mutably:
        // no code runs meanwhile.
        let executable = unsafe { MmapOptions::new().map_exec(&file)? };
        Ok(Self { writable, executable, used: 0 })
    }

    /// The address at which the code that is pushed next will run.
    pub fn next(&self) -> usize {
        self.executable.as_ptr() as usize + self.used
    }

    /// Whether there is room for `bytes` more.
    pub fn has_room(&self, bytes: usize) -> bool {
        SIZE - self.used >= bytes
    }

    /// Puts code at [`CodeMemory::next`]; the next one begins at a multiple of 32.
    pub fn push(&mut self, code: &[u8]) {
        let end = self.used + code.len();
        self.writable[self.used..end].copy_from_slice(code);
        see_code(self.next(), code.len());
        self.used = end.next_multiple_of(32).min(SIZE);
    }

    /// Lets what an exit has at an address of code ([`Exit::site`](crate::made::Exit::site)), 32 bits, lead to another one.
    pub fn patch(&mut self, site: usize, target: usize) {
        let at = site - self.executable.as_ptr() as usize;
        self.writable[at..at + 4].copy_from_slice(&way(site, target).to_le_bytes());
        see_code(site, 4);
    }

    /// How much is used, bytes.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Forgets all code behind the first `used` bytes.
    pub fn truncate(&mut self, used: usize) {
        self.used = used;
    }
}

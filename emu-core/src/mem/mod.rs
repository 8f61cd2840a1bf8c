//! Guest memory: physical RAM, the software TLB, the page walk, and the accesses made of them.

pub mod access;
pub mod cached;
pub mod image;
pub mod known_tables;
pub mod peek;
pub mod ram;
pub mod tlb;
pub mod walk;

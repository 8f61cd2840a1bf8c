//! The rules of Intel VMX as a pure library: fields, capability MSRs, entry checks, exits.
//!
//! Section numbers cite the Intel 64 and IA-32 Architectures Software Developer's Manual,
//! order number 325462-083US (March 2024), unless a comment says otherwise.
#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod apicv;
pub mod arch;
pub mod bitmaps;
pub mod boundary;
pub mod caps;
pub mod checks;
pub mod controls;
pub mod entry;
pub mod ept;
pub mod exit;
pub mod field;
pub mod intercept;
pub mod lint;
pub mod tags;
pub mod vmcs;

//! The rules of Intel VMX as a pure library: it computes and decides, and holds no processor, no memory, no device.
//!
//! Section numbers cite the Intel 64 and IA-32 Architectures Software Developer's Manual,
//! order number 325462-083US (March 2024), unless a comment says otherwise.
//!
//! | step | module |
//! |---|---|
//! | definitions that everybody shares | [`arch`] |
//! | VMXON, VMCLEAR, VMPTRLD: what they check; how VMX instructions report | [`operation`] |
//! | the VMCS: fields, values, VMREAD and VMWRITE | [`field`], [`vmcs`] |
//! | what a processor offers | [`caps`], [`controls`] |
//! | VM entry: checks, then the plan of what to load; the host's part of a VM exit | [`checks`], [`entry`] |
//! | VMX non-root operation: who exits, and in which order | [`intercept`], [`bitmaps`], [`boundary`] |
//! | what an exit reports | [`exit`] |
//! | address translation and its caches | [`ept`], [`tags`] |
//! | APIC virtualization, virtual interrupts | [`apicv`] |
//! | all that is wrong with a VMCS; what it holds in words | [`lint`], [`dump`], [`names`], [`words`] |
#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod abort;
pub mod apicv;
pub mod arch;
pub mod bitmaps;
pub mod boundary;
pub mod caps;
pub mod checks;
pub mod controls;
pub mod dump;
pub mod entry;
pub mod ept;
pub mod exit;
pub mod field;
pub mod intercept;
pub mod lint;
pub mod names;
pub mod operation;
pub mod region;
pub mod tags;
pub mod vmcs;
pub mod words;

//! The bitmaps of the VM-execution controls (SDM Vol. 3C 25.6.3 "Exception Bitmap", 25.6.4 "I/O-Bitmap Addresses",
//! 25.6.9 "MSR-Bitmap Address", 25.6.15 "VMCS Shadowing Bitmap Addresses"). Bitmaps in memory are read through a
//! closure that gives the byte at a physical address.

use crate::arch::vector;

/// Whether an I/O access exits by the I/O bitmaps A and B (physical addresses `a`, `b`): a bit of an accessed port
/// is set, or the access wraps around the I/O-port space.
pub fn io_exits(a: u64, b: u64, port: u16, size: u8, mut read_u8: impl FnMut(u64) -> u8) -> bool {
    (0..u32::from(size)).any(|n| match u16::try_from(u32::from(port) + n) {
        Ok(port) => {
            let bitmap = if port < 0x8000 { a } else { b };
            let byte = read_u8(bitmap.wrapping_add(u64::from((port & 0x7FFF) >> 3)));
            byte & (1 << (port & 7)) != 0
        }
        Err(_) => true,
    })
}

/// Whether RDMSR (or, with `write`, WRMSR) of `index` exits by the MSR bitmaps at `bitmaps`: MSRs outside
/// 00000000h–00001FFFh and C0000000h–C0001FFFh always do.
pub fn msr_exits(bitmaps: u64, index: u32, write: bool, mut read_u8: impl FnMut(u64) -> u8) -> bool {
    let quarter = match index {
        0..=0x1FFF => 0,
        0xC000_0000..=0xC000_1FFF => 1024,
        _ => return true,
    };
    let offset = quarter + if write { 2048 } else { 0 } + u64::from((index & 0x1FFF) >> 3);
    read_u8(bitmaps.wrapping_add(offset)) & (1 << (index & 7)) != 0
}

/// Whether the exception `vector` exits. A page fault exits when its bit in the bitmap equals the outcome of
/// (error code AND mask) = match.
pub const fn exception_exits(bitmap: u32, mask: u32, matched: u32, exception: u8, error_code: u32) -> bool {
    let bit = bitmap & (1 << (exception & 31)) != 0;
    if exception == vector::PF { (error_code & mask == matched) == bit } else { bit }
}

/// Whether VMREAD or VMWRITE of `encoding` exits by its shadowing bitmap at `bitmap`: a bit of 63:15 of the encoding
/// is set, or the bit for bits 14:0 is.
pub fn vmcs_shadow_exits(bitmap: u64, encoding: u64, mut read_u8: impl FnMut(u64) -> u8) -> bool {
    encoding > 0x7FFF || read_u8(bitmap.wrapping_add(encoding >> 3)) & (1 << (encoding & 7)) != 0
}

/// Whether a leaf exits by a 64-bit exiting bitmap (ENCLS, ENCLV, PCONFIG): leaves from 63 up share bit 63.
pub const fn leaf_exits(bitmap: u64, leaf: u32) -> bool {
    let bit = if leaf < 63 { leaf } else { 63 };
    bitmap & (1 << bit) != 0
}

/// Whether XSAVES or XRSTORS exits: a component is in EDX:EAX, in IA32_XSS and in the XSS-exiting bitmap.
pub const fn xss_exits(bitmap: u64, requested: u64, xss: u64) -> bool {
    bitmap & requested & xss != 0
}

/// Whether an EOI of `vector` exits (EOI_EXIT0–EOI_EXIT3).
pub const fn eoi_exits(bitmaps: &[u64; 4], vector: u8) -> bool {
    bitmaps[(vector >> 6) as usize] & (1 << (vector & 63)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_bitmap_any_accessed_port_or_wrap_exits() {
        let read = |address: u64| if address == 0x1000 + 0x70 / 8 { 0x04 } else { 0 };
        assert!(io_exits(0x1000, 0x2000, 0x72, 1, read));
        assert!(io_exits(0x1000, 0x2000, 0x6F, 4, read));
        assert!(!io_exits(0x1000, 0x2000, 0x73, 4, read));
        assert!(io_exits(0x1000, 0x2000, 0xFFFF, 2, |_| 0));
        assert!(!io_exits(0x1000, 0x2000, 0xFFFF, 1, |_| 0));
        assert!(io_exits(0x1000, 0x2000, 0x8000, 1, |address| u8::from(address == 0x2000)));
    }

    #[test]
    fn msr_bitmap_has_four_quarters_and_exits_outside() {
        let at = |offset: u64, bit: u8| move |address: u64| if address == 0x3000 + offset { 1 << bit } else { 0 };
        assert!(msr_exits(0x3000, 0x176, false, at(0x176 / 8, 6)));
        assert!(msr_exits(0x3000, 0xC000_0080, false, at(1024 + 0x10, 0)));
        assert!(msr_exits(0x3000, 0x176, true, at(2048 + 0x176 / 8, 6)));
        assert!(msr_exits(0x3000, 0xC000_0080, true, at(3072 + 0x10, 0)));
        assert!(!msr_exits(0x3000, 0x176, true, at(0x176 / 8, 6)));
        assert!(msr_exits(0x3000, 0x4000_0000, true, |_| 0));
    }

    #[test]
    fn exception_bitmap_page_fault_uses_mask_and_match() {
        assert!(exception_exits(1 << 6, 0, 0, 6, 0) && !exception_exits(0, 0, 0, 6, 0));
        let bitmap = 1 << 14;
        assert!(exception_exits(bitmap, 0, 0, 14, 7), "mask 0, match 0: all page faults exit");
        assert!(!exception_exits(bitmap, 0, 1, 14, 7), "no page fault matches");
        assert!(exception_exits(0, 0, 1, 14, 7), "bit clear reverses it");
        assert!(exception_exits(bitmap, 1, 1, 14, 3) && !exception_exits(bitmap, 1, 1, 14, 2));
    }

    #[test]
    fn shadow_bitmap_encoding_beyond_15_bits_exits() {
        assert!(vmcs_shadow_exits(0, 0x8000, |_| 0) && !vmcs_shadow_exits(0, 0x6800, |_| 0));
        assert!(vmcs_shadow_exits(0, 0x6802, |address| if address == 0xD00 { 4 } else { 0 }));
        assert!(leaf_exits(1 << 63, 100) && !leaf_exits(1 << 63, 5));
    }
}

//! VMCS fields as the debugger shows them.

use emu_vmx::field::{Area, Field};
use emu_vmx::vmcs::width_bits;
pub use emu_vmx::words::{eptp, field as words};

/// The areas with their headings, in the order of dumps.
pub const AREAS: [(Area, &str); 4] = [
    (Area::Control, "controls"),
    (Area::Guest, "guest state"),
    (Area::Host, "host state"),
    (Area::ReadOnly, "VM-exit information"),
];

/// A field's value with as many digits as the field has.
pub fn digits(field: Field, value: u64) -> String {
    let width = width_bits(field) as usize / 4;
    format!("{value:0width$x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_as_many_digits_as_their_fields() {
        assert_eq!(digits(Field::GuestCsSelector, 8), "0008");
        assert_eq!(digits(Field::GuestRip, 8), "0000000000000008");
    }
}

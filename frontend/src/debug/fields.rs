//! VMCS fields as the debugger shows them.

use emu_vmx::dump;
use emu_vmx::field::{Area, Field};
use emu_vmx::vmcs::Vmcs;
use emu_vmx::vmcs::width_bits;
pub use emu_vmx::words::eptp;

/// The areas with their headings, in the order of dumps.
pub const AREAS: [(Area, &str); 4] = [
    (Area::Control, "controls"),
    (Area::Guest, "guest state"),
    (Area::Host, "host state"),
    (Area::ReadOnly, "VM-exit information"),
];

/// What a field's value means; empty where a number says all.
pub fn words(field: Field, value: u64, vmcs: &Vmcs) -> String {
    match (field, value) {
        (Field::EptPointer, 0) => "none".to_owned(),
        _ => emu_vmx::words::field(field, value, vmcs),
    }
}

/// A field's value with as many digits as the field has.
pub fn digits(field: Field, value: u64) -> String {
    let width = width_bits(field) as usize / 4;
    format!("{value:0width$x}")
}

/// A field by the SDM's name, its identifier, its encoding, or the name that hypervisors give it.
pub fn named(name: &str) -> Result<Field, String> {
    let found = Field::from_name(name).or_else(|| dump::names::find(name).map(|(field, _)| field));
    found.ok_or_else(|| {
        let meant = dump::names::nearest_field(name).map_or(String::new(), |name| format!("did you mean {name}? "));
        format!("no VMCS field is called {:?}; {meant}An encoding as 0x681e does, too", dump::names::shown(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_as_many_digits_as_their_fields() {
        assert_eq!(digits(Field::GuestCsSelector, 8), "0008");
        assert_eq!(digits(Field::GuestRip, 8), "0000000000000008");
    }

    #[test]
    fn fields_have_the_names_of_hypervisors_too() {
        assert_eq!(named("GUEST_CS_AR_BYTES"), Ok(Field::GuestCsAccessRights));
        assert_eq!(named("0x681e"), Ok(Field::GuestRip));
        assert!(named("nothing").is_err_and(|error| error.contains("did you mean")));
    }
}

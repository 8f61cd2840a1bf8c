//! The ACPI tables as QEMU hands them to firmware that makes none of its own: the tables of the machine's own BIOS, with
//! the commands that put them into memory (QEMU's `etc/table-loader`).

use emu_devices::fw_cfg::FwCfgFile;

const RSDP_FILE: &str = "etc/acpi/rsdp";
const TABLES_FILE: &str = "etc/acpi/tables";

/// Local APIC and I/O APIC.
const LAPIC: u32 = 0xFEE0_0000;
const IO_APIC: u32 = 0xFEC0_0000;

/// Commands of the loader.
const ALLOCATE: u32 = 1;
const ADD_POINTER: u32 = 2;
const ADD_CHECKSUM: u32 = 3;
/// Bytes of a command.
const COMMAND: usize = 128;

/// A table of the BIOS's, from its signature on; its length is its own.
fn template(signature: &[u8; 4], length: usize) -> Option<Vec<u8>> {
    let start = firmware::BIOS.windows(36).position(|table| {
        let told = table.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        table.starts_with(signature) && told.is_some_and(|told| told as usize >= length)
    })?;
    let told = u32::from_le_bytes(firmware::BIOS.get(start + 4..start + 8)?.try_into().ok()?);
    firmware::BIOS.get(start..start + told as usize).map(<[u8]>::to_vec)
}

/// Makes the sum of the table's bytes 0.
fn seal(table: &mut [u8]) {
    if let Some(sum) = table.get_mut(9) {
        *sum = 0;
    }
    let sum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    if let Some(place) = table.get_mut(9) {
        *place = 0u8.wrapping_sub(sum);
    }
}

fn header(signature: &[u8; 4]) -> Vec<u8> {
    let mut table = signature.to_vec();
    table.extend([0, 0, 0, 0, 1, 0]);
    table.extend(b"RVMXEMRVMXEMUP");
    table.extend([1, 0, 0, 0]);
    table.extend(b"RVMX");
    table.extend([1, 0, 0, 0]);
    table
}

fn with_length(mut table: Vec<u8>) -> Vec<u8> {
    let length = table.len() as u32;
    table[4..8].copy_from_slice(&length.to_le_bytes());
    seal(&mut table);
    table
}

/// Multiple APIC description table (ACPI 3.0, 5.2.11): as the BIOS's, of processors that are all there.
fn madt(processors: u32) -> Vec<u8> {
    let mut table = header(b"APIC");
    table.extend(LAPIC.to_le_bytes());
    table.extend(1u32.to_le_bytes());
    for id in 0..processors as u8 {
        table.extend([0, 8, id, id, 1, 0, 0, 0]);
    }
    table.extend([1, 12, processors as u8, 0]);
    table.extend(IO_APIC.to_le_bytes());
    table.extend(0u32.to_le_bytes());
    // IRQ 0 is at pin 2; SCI and PCI interrupts are level-triggered and active high.
    for (irq, pin, flags) in [(0, 2u32, 0u16), (9, 9, 0xD), (10, 10, 0xD), (11, 11, 0xD)] {
        table.extend([2, 10, 0, irq]);
        table.extend(pin.to_le_bytes());
        table.extend(flags.to_le_bytes());
    }
    table.extend([4, 6, 0xFF, 0, 0, 1]);
    with_length(table)
}

/// The loader's commands.
#[derive(Default)]
struct Loader(Vec<u8>);

impl Loader {
    fn command(&mut self, command: u32, files: &[&str], rest: &[u8]) {
        let end = self.0.len() + COMMAND;
        self.0.extend(command.to_le_bytes());
        for file in files {
            let end = self.0.len() + 56;
            self.0.extend(file.bytes());
            self.0.resize(end, 0);
        }
        self.0.extend(rest);
        self.0.resize(end, 0);
    }

    fn allocate(&mut self, file: &str, align: u32, low: bool) {
        let mut rest = align.to_le_bytes().to_vec();
        rest.push(if low { 2 } else { 1 });
        self.command(ALLOCATE, &[file], &rest);
    }

    fn pointer(&mut self, file: &str, offset: usize, size: u8) {
        let mut rest = (offset as u32).to_le_bytes().to_vec();
        rest.push(size);
        self.command(ADD_POINTER, &[file, TABLES_FILE], &rest);
    }

    fn checksum(&mut self, file: &str, at: usize, start: usize, length: usize) {
        let rest: Vec<u8> = [at, start, length].into_iter().flat_map(|word| (word as u32).to_le_bytes()).collect();
        self.command(ADD_CHECKSUM, &[file], &rest);
    }
}

/// The files that firmware makes the tables from.
pub fn files(processors: u32) -> Vec<FwCfgFile> {
    let (mut tables, mut loader) = (Vec::new(), Loader::default());
    loader.allocate(RSDP_FILE, 16, true);
    loader.allocate(TABLES_FILE, 64, false);
    let add = |tables: &mut Vec<u8>, table: Vec<u8>| {
        tables.resize(tables.len().next_multiple_of(64), 0);
        let at = tables.len();
        tables.extend(table);
        at
    };
    let facs = add(&mut tables, template(b"FACS", 64).unwrap_or_default());
    let dsdt = add(&mut tables, template(b"DSDT", 36).map(with_length).unwrap_or_default());
    let mut fadt = template(b"FACP", 244).unwrap_or_default();
    for (at, target, size) in [(36, facs, 4), (40, dsdt, 4), (132, facs, 8), (140, dsdt, 8)] {
        if let Some(place) = fadt.get_mut(at..at + size) {
            place.copy_from_slice(&(target as u64).to_le_bytes()[..size]);
            loader.pointer(TABLES_FILE, tables.len().next_multiple_of(64) + at, size as u8);
        }
    }
    let length = fadt.len();
    let fadt = add(&mut tables, fadt);
    loader.checksum(TABLES_FILE, fadt + 9, fadt, length);
    let madt = add(&mut tables, madt(processors));
    // The timer block's identifier, as the HPET's own register gives it.
    let mut hpet = template(b"HPET", 56).unwrap_or_default();
    if let Some(place) = hpet.get_mut(36..40) {
        place.copy_from_slice(&emu_devices::hpet::IDENTIFIER.to_le_bytes());
    }
    let hpet = add(&mut tables, with_length(hpet));
    let mut rsdt = header(b"RSDT");
    let start = tables.len().next_multiple_of(64);
    for target in [fadt, madt, hpet] {
        loader.pointer(TABLES_FILE, start + rsdt.len(), 4);
        rsdt.extend((target as u32).to_le_bytes());
    }
    let rsdt = with_length(rsdt);
    let length = rsdt.len();
    let rsdt = add(&mut tables, rsdt);
    loader.checksum(TABLES_FILE, rsdt + 9, rsdt, length);
    let mut rsdp = b"RSD PTR \0RVMXEM\0".to_vec();
    rsdp.extend((rsdt as u32).to_le_bytes());
    loader.pointer(RSDP_FILE, 16, 4);
    loader.checksum(RSDP_FILE, 8, 0, rsdp.len());
    let file = |name: &str, data| FwCfgFile { name: name.to_owned(), data };
    vec![file(RSDP_FILE, rsdp), file(TABLES_FILE, tables), file("etc/table-loader", loader.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What firmware does with the commands, at these addresses: RSDP and tables as they are in memory.
    fn load(files: &[FwCfgFile], rsdp_at: u32, tables_at: u32) -> (Vec<u8>, Vec<u8>) {
        let data = |name: &str| files.iter().find(|file| file.name == name).expect("the file").data.clone();
        let (mut rsdp, mut tables) = (data(RSDP_FILE), data(TABLES_FILE));
        for command in data("etc/table-loader").chunks(COMMAND) {
            let word = |at: usize| u32::from_le_bytes(command[at..at + 4].try_into().expect("4 bytes")) as usize;
            let is_rsdp = command[4..].starts_with(RSDP_FILE.as_bytes());
            let file = if is_rsdp { &mut rsdp } else { &mut tables };
            match word(0) as u32 {
                ALLOCATE => assert!(word(60) == if is_rsdp { 16 } else { 64 }),
                ADD_POINTER => {
                    let (at, size) = (word(116), usize::from(command[120]));
                    assert!(command[60..].starts_with(TABLES_FILE.as_bytes()));
                    let mut value = [0; 8];
                    value[..size].copy_from_slice(&file[at..at + size]);
                    let value = u64::from_le_bytes(value) + u64::from(tables_at);
                    file[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
                }
                ADD_CHECKSUM => {
                    let (at, start, length) = (word(60), word(64), word(68));
                    file[at] = 0;
                    let sum = file[start..start + length].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
                    file[at] = 0u8.wrapping_sub(sum);
                }
                other => panic!("command {other}"),
            }
        }
        assert_ne!(rsdp_at, 0);
        (rsdp, tables)
    }

    #[test]
    fn tables_that_firmware_loads_are_sound_and_lead_to_each_other() {
        let at = 0x7FFE_0000;
        let (rsdp, tables) = load(&files(3), 0xF_5000, at);
        let sound = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0;
        let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        assert!(sound(&rsdp));
        let table = |address: u32| {
            let start = (address - at) as usize;
            &tables[start..start + word(&tables, start + 4) as usize]
        };
        let rsdt = table(word(&rsdp, 16));
        assert!(rsdt.starts_with(b"RSDT") && sound(rsdt));
        let listed: Vec<&[u8]> = rsdt[36..].chunks(4).map(|entry| table(word(entry, 0))).collect();
        let names: Vec<&[u8]> = listed.iter().map(|table| &table[..4]).collect();
        assert_eq!(names, [b"FACP", b"APIC", b"HPET"]);
        assert!(listed.iter().all(|table| sound(table)));
        let fadt = listed[0];
        assert_eq!((fadt.len(), &table(word(fadt, 36))[..4]), (244, &b"FACS"[..]));
        let dsdt = table(word(fadt, 140));
        assert!(dsdt.starts_with(b"DSDT") && sound(dsdt) && dsdt.len() > 1000);
        // Three processors, one I/O APIC, four overrides, one NMI.
        assert_eq!(listed[1].len(), 44 + 3 * 8 + 12 + 4 * 10 + 6);
    }
}

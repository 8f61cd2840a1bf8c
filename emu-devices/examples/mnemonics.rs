//! Boots an image and counts its instructions by mnemonic; an argument `without` runs it without counting.

use emu_core::ir::uop::Uop;
use emu_core::observe::{Instruction, Observer, View, Watch};
use emu_devices::disk::DiskImage;
use emu_devices::pc::Pc;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};

/// Instructions seen last, by the low bits of their addresses: address, micro-op, and the number of the mnemonic.
const SEEN: usize = 1 << 14;

/// Numbers of the mnemonics, and how often each was executed.
struct Counts(Vec<Option<(u64, Uop, usize)>>, BTreeMap<String, usize>, Vec<u64>);

impl Observer for Counts {
    fn watches(&self) -> Watch {
        Watch::INSTRUCTIONS
    }
    fn before_instruction(&mut self, view: View, Instruction { rip, uop }: Instruction) {
        let place = rip as usize % SEEN;
        let number = match &self.0[place] {
            Some((address, same, number)) if *address == rip && same == uop => *number,
            _ => {
                let text = view.cpu.disassemble(view.ram, rip, 1).remove(0).text;
                let mnemonic = text.split(' ').find(|word| !word.starts_with("rep")).unwrap_or(&text);
                let next = self.1.len();
                let number = *self.1.entry(mnemonic.to_owned()).or_insert(next);
                self.2.resize(self.1.len(), 0);
                self.0[place] = Some((rip, *uop, number));
                number
            }
        };
        self.2[number] += 1;
    }
}

/// Writes the most frequent mnemonics of `image`'s first `cycles` to `out`.
pub fn run(out: &mut impl Write, image: &str, cycles: u64, counted: bool) -> Result<(), Box<dyn Error>> {
    let image = test_images::TestImage::find(image).ok_or("no such image")?;
    let disk = DiskImage::from_bytes(image.name, image.bytes.to_vec())?;
    let mut pc = Pc::builder().memory(16 << 20).hard_disk(disk).build()?;
    let mut counts = Counts(vec![None; SEEN], BTreeMap::new(), Vec::new());
    if counted {
        pc.run_observed(cycles, &mut counts)
    } else {
        pc.run_until(cycles)
    };
    let mut list: Vec<_> = counts.1.iter().map(|(mnemonic, &number)| (counts.2[number], mnemonic)).collect();
    list.sort_by(|a, b| b.cmp(a));
    list.iter().take(20).try_for_each(|(count, mnemonic)| writeln!(out, "{count:>10} {mnemonic}"))?;
    Ok(writeln!(out, "{:>10} instructions in all", pc.instructions())?)
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&mut io::stdout(), "disk", 500_000_000, std::env::args().nth(1).as_deref() != Some("without"))
}

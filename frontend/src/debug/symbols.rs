//! Names of addresses: from ELF files, NASM's maps, `nm` and the Linux kernel's System.map.

use crate::error::InputError;
use crate::files;
use object::{Object, ObjectSymbol, SymbolKind};
use std::collections::BTreeMap;
use std::path::Path;

/// How far behind a symbol an address is still named by it, in bytes, when the symbol has no size.
const REACH: u64 = 1 << 20;
/// Most bytes of a file of symbols.
const MAX_BYTES: u64 = 256 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Symbol {
    name: String,
    /// Bytes; 0 if not known.
    size: u64,
}

/// Symbols by name and by address.
#[derive(Debug, Clone, Default)]
pub struct Symbols {
    by_address: BTreeMap<u64, Vec<Symbol>>,
    by_name: BTreeMap<String, u64>,
}

impl Symbols {
    /// How many names there are.
    pub fn count(&self) -> usize {
        self.by_name.len()
    }

    /// Adds the symbols of a file, each moved by `offset`; how many it has.
    pub fn load(&mut self, path: &Path, offset: u64) -> Result<usize, InputError> {
        let data = files::read(path, "file of symbols", MAX_BYTES)?;
        let found = if data.starts_with(b"\x7fELF") {
            elf(&data).map_err(|e| InputError::file(path, format!("cannot read the ELF's symbols: {e}")))?
        } else {
            text(&String::from_utf8_lossy(&data))
        };
        if found.is_empty() {
            return Err(InputError::file(path, "there are no symbols in it")
                .remedy("give an ELF, a NASM map, the output of nm, or a System.map"));
        }
        let count = found.len();
        for (name, address, size) in found {
            self.insert(name, address.wrapping_add(offset), size);
        }
        Ok(count)
    }

    /// Adds a symbol.
    pub fn insert(&mut self, name: String, address: u64, size: u64) {
        let here = self.by_address.entry(address).or_default();
        if here.iter().all(|symbol| symbol.name != name) {
            here.push(Symbol { name: name.clone(), size });
        }
        self.by_name.insert(name, address);
    }

    /// The address of a symbol.
    pub fn address(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).copied()
    }

    /// The symbol that an address belongs to, and how far behind it the address is.
    pub fn at(&self, address: u64) -> Option<(&str, u64)> {
        let (&start, symbols) = self.by_address.range(..=address).next_back()?;
        let distance = address - start;
        let fits = |symbol: &&Symbol| distance < if symbol.size == 0 { REACH } else { symbol.size };
        let symbol = symbols.iter().find(fits)?;
        Some((&symbol.name, distance))
    }

    /// `name` or `name+0x12`.
    pub fn label(&self, address: u64) -> Option<String> {
        let (name, distance) = self.at(address)?;
        Some(if distance == 0 { name.to_owned() } else { format!("{name}+{distance:#x}") })
    }

    /// Names with a beginning, and their addresses, by name.
    pub fn starting_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        let range = self.by_name.range(prefix.to_owned()..);
        range.take_while(move |(name, _)| name.starts_with(prefix)).map(|(name, &address)| (name.as_str(), address))
    }
}

type Found = Vec<(String, u64, u64)>;

fn elf(data: &[u8]) -> Result<Found, object::Error> {
    let file = object::File::parse(data)?;
    let wanted = |kind| matches!(kind, SymbolKind::Text | SymbolKind::Data | SymbolKind::Label | SymbolKind::Unknown);
    let symbols = file.symbols().chain(file.dynamic_symbols());
    let defined = symbols.filter(|symbol| symbol.is_definition() || wanted(symbol.kind()) && symbol.address() != 0);
    let named = defined.filter_map(|symbol| {
        let name = symbol.name().ok().filter(|name| !name.is_empty())?;
        (wanted(symbol.kind()) && !symbol.is_undefined()).then(|| (name.to_owned(), symbol.address(), symbol.size()))
    });
    Ok(named.collect())
}

/// Lines `ADDRESS NAME`, `ADDRESS TYPE NAME` (nm, System.map, kallsyms), `REAL VIRTUAL NAME` (NASM); others do not count.
fn text(data: &str) -> Found {
    let number = |word: &str| {
        let digits = word.strip_prefix("0x").unwrap_or(word);
        u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
    };
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, name) = match words[..] {
            [address, name] => (number(address)?, name),
            [address, kind, name, ..]
                if kind.len() == 1 && kind.chars().all(|c| c.is_ascii_alphabetic() || c == '?') =>
            {
                (number(address)?, name)
            }
            [real, address, name] if number(real).is_some() => (number(address)?, name),
            _ => return None,
        };
        let word = |c: char| c.is_alphanumeric() || "_.$@?".contains(c);
        let starts = |c: char| word(c) && !c.is_ascii_digit();
        (name.starts_with(starts) && name.chars().all(word)).then(|| (name.to_owned(), address, 0))
    };
    data.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_nm_system_map_and_nasm_maps_are_read() {
        let nm = "0000000000401000 T main\n                 U puts\nffffffff81000000 T _text\n";
        assert_eq!(text(nm), [("main".into(), 0x40_1000, 0), ("_text".into(), 0xffff_ffff_8100_0000, 0)]);
        let map = "- NASM Map file ---\n\nReal              Virtual           Name\n\
                   \u{20}           7C00              7C05  start\n\n";
        assert_eq!(text(map), [("start".into(), 0x7C05, 0)]);
        assert_eq!(text("0x7c00 boot.entry\n"), [("boot.entry".into(), 0x7C00, 0)]);
    }

    #[test]
    fn address_is_named_by_the_symbol_that_it_is_in() {
        let mut symbols = Symbols::default();
        symbols.insert("a".into(), 0x100, 0x10);
        symbols.insert("b".into(), 0x200, 0);
        assert_eq!(symbols.label(0x100).as_deref(), Some("a"));
        assert_eq!(symbols.label(0x10F).as_deref(), Some("a+0xf"));
        assert_eq!((symbols.label(0x110), symbols.label(0xFF)), (None, None));
        assert_eq!(symbols.label(0x2FF).as_deref(), Some("b+0xff"));
        assert_eq!(symbols.label(0x200 + REACH), None);
        assert_eq!(symbols.starting_with("a").collect::<Vec<_>>(), [("a", 0x100)]);
    }
}

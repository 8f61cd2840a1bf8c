//! Expressions: numbers, registers, symbols, memory, VMCS fields, and C's operators with C's priorities. All values are 64
//! bits wide and unsigned; comparisons give 0 or 1.

use super::symbols::Symbols;
use emu_vmx::dump::names::shown;
use emu_vmx::field::Field;

/// What an expression is asked of.
pub trait Scope {
    /// A register of the processor, or a value of the event that is judged, by its name in lower case.
    fn register(&self, name: &str) -> Option<u64>;
    /// Base address of a segment register.
    fn segment_base(&self, name: &str) -> Option<u64>;
    /// So many bytes (1 to 8) at a linear address.
    fn linear(&self, address: u64, size: usize) -> Option<u64>;
    /// So many bytes at a physical address.
    fn physical(&self, address: u64, size: usize) -> Option<u64>;
    /// A field of the current VMCS.
    fn field(&self, field: Field) -> Option<u64>;
    /// Bytes of an address in the present mode: 2, 4 or 8.
    fn width(&self) -> usize;
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExprError {
    /// It cannot be read.
    #[error("expected {expected} at \"{found}\"")]
    Syntax {
        /// What should stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// Nothing has this name.
    #[error("nothing is called \"{}\": no register, no symbol; numbers are decimal, or hexadecimal as in 0x1f", shown(.0))]
    Unknown(String),
    /// No VMCS field has this name.
    #[error("no VMCS field is called \"{}\"; names are the SDM's without blanks, as in vmcs.GuestRip, or encodings", shown(.0))]
    NoField(String),
    /// The number is too big.
    #[error("{0} has more than 64 bits")]
    TooBig(String),
    /// Nothing can be read there.
    #[error("there is no memory at {0} {1:#x}")]
    NoMemory(&'static str, u64),
    /// There is no current VMCS.
    #[error("there is no current VMCS")]
    NoVmcs,
    /// Division by 0.
    #[error("division by zero")]
    Division,
    /// Parentheses inside each other.
    #[error("the expression is nested too deeply; at most {} levels are taken", MAX_DEPTH)]
    Deep,
    /// Too many operators.
    #[error("the expression is too long; at most {} operators are taken", MAX_OPERATORS)]
    Long,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A number or a symbol's address.
    Number(u64),
    /// A register, or a value of an event.
    Register(String),
    /// A field of the current VMCS.
    Field(Field),
    /// Memory: bytes (0: as wide as an address), whether the address is physical, the address.
    Load(usize, bool, Box<Expr>),
    /// Address in a segment.
    Segment(String, Box<Expr>),
    /// Operator before its operand.
    Unary(char, Box<Expr>),
    /// Operator between its operands.
    Binary(&'static str, Box<Expr>, Box<Expr>),
}

/// Operators and their priorities, longest first where one begins another.
const OPERATORS: [(&str, u8); 19] = [
    ("||", 1),
    ("&&", 2),
    ("==", 6),
    ("!=", 6),
    ("<=", 7),
    (">=", 7),
    ("<<", 8),
    (">>", 8),
    ("|", 3),
    ("^", 4),
    ("&", 5),
    ("<", 7),
    (">", 7),
    ("+", 9),
    ("-", 9),
    ("*", 10),
    ("/", 10),
    ("%", 10),
    (":", 11),
];
/// Sizes that may stand before a bracket.
const SIZES: [(&str, usize); 4] = [("byte", 1), ("word", 2), ("dword", 4), ("qword", 8)];
/// Deepest nesting.
const MAX_DEPTH: u32 = 100;
/// Operators at most: those beside each other make a tree as deep as those inside each other.
const MAX_OPERATORS: u32 = 1000;

struct Parser<'a> {
    rest: &'a str,
    symbols: &'a Symbols,
    scope: &'a dyn Scope,
    depth: u32,
    operators: u32,
}

/// Reads an expression. Symbols become numbers.
pub fn parse(text: &str, symbols: &Symbols, scope: &dyn Scope) -> Result<Expr, ExprError> {
    let mut parser = Parser { rest: text, symbols, scope, depth: 0, operators: 0 };
    let expr = parser.binary(0)?;
    parser.blanks();
    match parser.rest {
        "" => Ok(expr),
        rest => Err(ExprError::Syntax { expected: "an operator or the end", found: rest.to_owned() }),
    }
}

impl Parser<'_> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.blanks();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &'static str) -> Result<(), ExprError> {
        if self.take(token) { Ok(()) } else { self.syntax(token) }
    }

    fn syntax<T>(&self, expected: &'static str) -> Result<T, ExprError> {
        Err(ExprError::Syntax { expected, found: self.rest.to_owned() })
    }

    fn binary(&mut self, priority: u8) -> Result<Expr, ExprError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExprError::Deep);
        }
        let mut left = self.unary()?;
        loop {
            self.blanks();
            let found = OPERATORS.into_iter().find(|operator| self.rest.starts_with(operator.0));
            let Some((operator, own)) = found.filter(|operator| operator.1 > priority) else { break };
            self.take(operator);
            self.operators += 1;
            if self.operators > MAX_OPERATORS {
                return Err(ExprError::Long);
            }
            let right = self.binary(own)?;
            left = match (operator, left) {
                (":", Expr::Register(name)) if self.scope.segment_base(&name).is_some() => {
                    Expr::Segment(name, Box::new(right))
                }
                // Selector and offset of real-address mode.
                (":", left) => {
                    let paragraph = Expr::Binary("<<", Box::new(left), Box::new(Expr::Number(4)));
                    Expr::Binary("+", Box::new(paragraph), Box::new(right))
                }
                (operator, left) => Expr::Binary(operator, Box::new(left), Box::new(right)),
            };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, ExprError> {
        self.blanks();
        for operator in ['-', '~', '!'] {
            if !self.rest.starts_with("!=") && self.take(operator.encode_utf8(&mut [0; 4])) {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(ExprError::Deep);
                }
                let operand = self.unary()?;
                self.depth -= 1;
                return Ok(Expr::Unary(operator, Box::new(operand)));
            }
        }
        if self.take("(") {
            let inner = self.binary(0)?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.take("[") {
            return self.load(0, false);
        }
        if self.take("'") {
            let Some((name, rest)) = self.rest.split_once('\'') else { return self.syntax("a closing '") };
            self.rest = rest;
            let address = self.symbols.address(name);
            return address.map(Expr::Number).ok_or_else(|| ExprError::Unknown(name.to_owned()));
        }
        let word = self.word();
        if word.is_empty() {
            return self.syntax("a number, a name, ( or [");
        }
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return number(&word);
        }
        self.name(&word)
    }

    fn word(&mut self) -> String {
        let part = |c: char| c.is_alphanumeric() || "_.$@?".contains(c);
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    fn load(&mut self, size: usize, physical: bool) -> Result<Expr, ExprError> {
        let address = self.binary(0)?;
        self.expect("]")?;
        Ok(Expr::Load(size, physical, Box::new(address)))
    }

    fn name(&mut self, word: &str) -> Result<Expr, ExprError> {
        let lower = word.to_ascii_lowercase();
        let size = SIZES.into_iter().find(|size| size.0 == lower).map(|size| size.1);
        if lower == "phys" || size.is_some() {
            let physical = lower == "phys" || self.take("phys");
            if self.take("[") {
                return self.load(size.unwrap_or(0), physical);
            }
        }
        if let Some(field) = lower.strip_prefix("vmcs.") {
            let found = Field::from_name(field);
            return found.map(Expr::Field).ok_or_else(|| ExprError::NoField(field.to_owned()));
        }
        let plain = lower.strip_prefix('$').unwrap_or(&lower);
        if self.scope.register(plain).is_some() {
            return Ok(Expr::Register(plain.to_owned()));
        }
        let address = self.symbols.address(word);
        address.map(Expr::Number).ok_or_else(|| ExprError::Unknown(word.to_owned()))
    }
}

/// A number: decimal, `0x`, `0b`, or hexadecimal with an `h` behind; `_` may group digits.
fn number(word: &str) -> Result<Expr, ExprError> {
    let digits: String = word.to_ascii_lowercase().chars().filter(|&c| c != '_').collect();
    let (digits, radix) = match (digits.strip_prefix("0x"), digits.strip_prefix("0b"), digits.strip_suffix('h')) {
        (Some(digits), ..) => (digits, 16),
        (_, _, Some(digits)) => (digits, 16),
        (_, Some(digits), _) => (digits, 2),
        _ => (digits.as_str(), 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(ExprError::Unknown(word.to_owned()));
    }
    u64::from_str_radix(digits, radix).map(Expr::Number).map_err(|_| ExprError::TooBig(word.to_owned()))
}

impl Expr {
    /// The value.
    pub fn value(&self, scope: &dyn Scope) -> Result<u64, ExprError> {
        Ok(match self {
            Self::Number(number) => *number,
            Self::Register(name) => scope.register(name).ok_or_else(|| ExprError::Unknown(name.clone()))?,
            Self::Field(field) => scope.field(*field).ok_or(ExprError::NoVmcs)?,
            Self::Load(size, physical, address) => {
                let (address, size) = (address.value(scope)?, if *size == 0 { scope.width() } else { *size });
                if *physical {
                    scope.physical(address, size).ok_or(ExprError::NoMemory("physical address", address))?
                } else {
                    scope.linear(address, size).ok_or(ExprError::NoMemory("linear address", address))?
                }
            }
            Self::Segment(name, offset) => {
                let base = scope.segment_base(name).ok_or_else(|| ExprError::Unknown(name.clone()))?;
                base.wrapping_add(offset.value(scope)?)
            }
            Self::Unary(operator, operand) => {
                let value = operand.value(scope)?;
                match operator {
                    '-' => value.wrapping_neg(),
                    '~' => !value,
                    _ => u64::from(value == 0),
                }
            }
            Self::Binary(operator, left, right) => {
                let left = left.value(scope)?;
                // As in C, what decides alone is all that is asked.
                match *operator {
                    "&&" if left == 0 => return Ok(0),
                    "||" if left != 0 => return Ok(1),
                    _ => {}
                }
                binary(operator, left, right.value(scope)?)?
            }
        })
    }
}

fn binary(operator: &str, left: u64, right: u64) -> Result<u64, ExprError> {
    let shift = u32::try_from(right).unwrap_or(64);
    Ok(match operator {
        "||" | "&&" => u64::from(right != 0),
        "==" => u64::from(left == right),
        "!=" => u64::from(left != right),
        "<=" => u64::from(left <= right),
        ">=" => u64::from(left >= right),
        "<" => u64::from(left < right),
        ">" => u64::from(left > right),
        "<<" => left.checked_shl(shift).unwrap_or(0),
        ">>" => left.checked_shr(shift).unwrap_or(0),
        "|" => left | right,
        "^" => left ^ right,
        "&" => left & right,
        "+" => left.wrapping_add(right),
        "-" => left.wrapping_sub(right),
        "*" => left.wrapping_mul(right),
        "/" => left.checked_div(right).ok_or(ExprError::Division)?,
        _ => left.checked_rem(right).ok_or(ExprError::Division)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake;

    impl Scope for Fake {
        fn register(&self, name: &str) -> Option<u64> {
            match name {
                "rax" => Some(5),
                "ds" => Some(0x10),
                _ => None,
            }
        }
        fn segment_base(&self, name: &str) -> Option<u64> {
            (name == "ds").then_some(0x1000)
        }
        fn linear(&self, address: u64, size: usize) -> Option<u64> {
            (address < 0x100).then_some(address + size as u64)
        }
        fn physical(&self, address: u64, size: usize) -> Option<u64> {
            Some(address * 100 + size as u64)
        }
        fn field(&self, field: Field) -> Option<u64> {
            Some(field.encoding().into())
        }
        fn width(&self) -> usize {
            4
        }
    }

    fn value(text: &str) -> Result<u64, ExprError> {
        let mut symbols = Symbols::default();
        symbols.insert("main".into(), 0x7C00, 0);
        symbols.insert("rax".into(), 1, 0);
        parse(text, &symbols, &Fake)?.value(&Fake)
    }

    #[test]
    fn expression_operators_have_the_priorities_of_c() {
        for (text, expected) in [
            ("1 + 2 * 3", 7),
            ("(1+2)*3", 9),
            ("1 << 2 + 1", 8),
            ("7 & 3 == 3", 1),
            ("0x10 | 0b1 ^ 1Fh", 0x1E),
            ("10 - 3 - 2", 5),
            ("1 == 1 && 2 > 3 || 4 >= 4", 1),
            ("!0 + ~0", 0),
            ("-1 >> 63", 1),
            ("17 % 5 / 2", 1),
            ("1 << 64", 0),
        ] {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn expression_names_are_registers_symbols_fields_and_memory() {
        for (text, expected) in [
            ("rax", 5),
            ("$RAX + main", 0x7C05),
            ("'rax'", 1),
            ("[0x10]", 0x14),
            ("byte [rax + 1]", 7),
            ("qword phys [2]", 208),
            ("phys[2]", 204),
            ("ds:8", 0x1008),
            ("0x7c0:4", 0x7C04),
            ("vmcs.GuestRip", 0x681E),
            ("vmcs.681e", 0x681E),
        ] {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn expression_without_a_value_says_why() {
        assert_eq!(value("foo"), Err(ExprError::Unknown("foo".into())));
        assert_eq!(value("7c00"), Err(ExprError::Unknown("7c00".into())));
        assert_eq!(value("1/0"), Err(ExprError::Division));
        assert_eq!(value("[0x200]"), Err(ExprError::NoMemory("linear address", 0x200)));
        assert!(matches!(value("1 +"), Err(ExprError::Syntax { .. })));
        assert!(matches!(value("(1"), Err(ExprError::Syntax { expected: ")", .. })));
        assert!(matches!(value("1 2"), Err(ExprError::Syntax { .. })));
        assert_eq!(value(&"(".repeat(1000)), Err(ExprError::Deep));
        assert_eq!(value(&"-".repeat(1000)), Err(ExprError::Deep));
        // Each operator makes the tree deeper, whatever its side.
        assert_eq!(value(&format!("1{}", "+1".repeat(1000))), Ok(1001));
        for part in ["+1", ":1", "*(1)", "||0"] {
            assert_eq!(value(&format!("1{}", part.repeat(150_000))), Err(ExprError::Long), "{part}");
        }
        assert!(matches!(value("99999999999999999999"), Err(ExprError::TooBig(_))));
    }
}

//! The form of types, as serde sees it: a deserializer that makes a value of each type, and writes down what it is asked
//! for.

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::de::{Deserialize, VariantAccess};
use std::collections::BTreeMap;
use std::fmt::Display;

/// What a type refused: a value that it was given, or the deserializer lacks something.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl de::Error for Refused {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// An enumeration: each variant, with its form once it was looked at.
type Variants = Vec<(&'static str, Option<String>)>;

/// The forms of named types.
#[derive(Debug, Default)]
pub struct Forms {
    structs: BTreeMap<&'static str, String>,
    enums: BTreeMap<&'static str, Variants>,
    /// How often a value of each enumeration was made.
    made: BTreeMap<&'static str, usize>,
    /// Lengths of lists that a type insists on, by the type's name; others have one element.
    lengths: BTreeMap<&'static str, usize>,
    /// The struct whose fields are looked at.
    inside: Vec<&'static str>,
}

impl Forms {
    /// The lists in struct `name` have this length, and no other.
    pub fn length(&mut self, name: &'static str, length: usize) {
        self.lengths.insert(name, length);
    }

    /// Looks at a type, and at all that is in it.
    pub fn look_at<T: for<'de> Deserialize<'de>>(&mut self) -> Result<(), Refused> {
        // Each time at another variant of each enumeration; what is in a variant may take several times.
        for _ in 0..2000 {
            T::deserialize(At { forms: self, text: &mut String::new() })?;
            if self.enums.values().flatten().all(|(_, form)| form.is_some()) {
                return Ok(());
            }
        }
        let open = self.enums.iter().filter(|(_, variants)| variants.iter().any(|(_, form)| form.is_none()));
        Err(Refused(format!("variants are out of reach: {:?}", open.collect::<Vec<_>>())))
    }

    /// A line for each type, in the order of their names.
    pub fn lines(&self) -> Vec<String> {
        let structs = self.structs.iter().map(|(name, form)| format!("{name} {form}"));
        let enums = self.enums.iter().map(|(name, variants)| {
            let variants = variants.iter().map(|(name, form)| format!("{name}{}", form.as_deref().unwrap_or("")));
            format!("{name} = {}", variants.collect::<Vec<_>>().join(" | "))
        });
        let mut lines: Vec<_> = structs.chain(enums).collect();
        lines.sort();
        lines
    }

    fn note(&mut self, name: &'static str, form: String) -> Result<(), Refused> {
        match self.structs.insert(name, form.clone()) {
            Some(other) if other != form => Err(Refused(format!(
                "two types are called {name}: give one of them another name with #[serde(rename)]"
            ))),
            _ => Ok(()),
        }
    }
}

/// A place for a value; `text` becomes its form.
struct At<'a> {
    forms: &'a mut Forms,
    text: &'a mut String,
}

macro_rules! plain {
    ($($method:ident $visit:ident $value:expr, $text:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            self.text.push_str($text);
            visitor.$visit($value)
        })*
    };
}

impl<'de> Deserializer<'de> for At<'_> {
    type Error = Refused;

    plain! {
        deserialize_bool visit_bool false, "bool";
        deserialize_i8 visit_i8 0, "i8";
        deserialize_i16 visit_i16 0, "i16";
        deserialize_i32 visit_i32 0, "i32";
        deserialize_i64 visit_i64 0, "i64";
        deserialize_i128 visit_i128 0, "i128";
        deserialize_u8 visit_u8 0, "u8";
        deserialize_u16 visit_u16 0, "u16";
        deserialize_u32 visit_u32 0, "u32";
        deserialize_u64 visit_u64 0, "u64";
        deserialize_u128 visit_u128 0, "u128";
        deserialize_f32 visit_f32 0.0, "f32";
        deserialize_f64 visit_f64 0.0, "f64";
        deserialize_char visit_char 'a', "char";
        deserialize_str visit_str "", "string";
        deserialize_string visit_str "", "string";
        deserialize_bytes visit_bytes &[], "bytes";
        deserialize_byte_buf visit_bytes &[], "bytes";
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Refused> {
        Err(Refused("a type that describes itself has no form".to_owned()))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_any(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.text.push('?');
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.text.push_str("()");
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Refused> {
        self.text.push_str(name);
        self.forms.note(name, "()".to_owned())?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Refused> {
        self.text.push_str(name);
        let mut text = String::new();
        let value = visitor.visit_newtype_struct(At { forms: self.forms, text: &mut text })?;
        self.forms.note(name, format!("({text})"))?;
        Ok(value)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let (mut text, inside) = (String::new(), self.forms.inside.last());
        let left = inside.and_then(|name| self.forms.lengths.get(name)).copied().unwrap_or(1);
        let value = visitor.visit_seq(Elements { forms: self.forms, text: &mut text, left })?;
        self.text.push_str(&format!("[{text}]"));
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Refused> {
        let (value, texts) = items(self.forms, length, visitor)?;
        self.text.push_str(&match texts.first() {
            Some(first) if texts.iter().all(|text| text == first) => format!("[{first}; {length}]"),
            _ => format!("({})", texts.join(", ")),
        });
        Ok(value)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.text.push_str(name);
        let (value, texts) = items(self.forms, length, visitor)?;
        self.forms.note(name, format!("({})", texts.join(", ")))?;
        Ok(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let mut text = String::new();
        let value = visitor.visit_map(Elements { forms: self.forms, text: &mut text, left: 1 })?;
        self.text.push_str(&format!("{{{text}}}"));
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.text.push_str(name);
        self.forms.inside.push(name);
        let (value, form) = named(self.forms, fields, visitor)?;
        self.forms.inside.pop();
        self.forms.note(name, form)?;
        Ok(value)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.text.push_str(name);
        let all = self.forms.enums.entry(name).or_insert_with(|| variants.iter().map(|name| (*name, None)).collect());
        if !all.iter().map(|(name, _)| name).eq(variants) {
            return Err(Refused(format!(
                "two types are called {name}: give one of them another name with #[serde(rename)]"
            )));
        }
        let made = self.forms.made.entry(name).or_default();
        *made += 1;
        let number = all.iter().position(|(_, form)| form.is_none()).unwrap_or(*made % all.len());
        // What stands inside may be of this type, too.
        all[number].1.get_or_insert_default();
        let mut text = String::new();
        let value = visitor.visit_enum(Variant { forms: self.forms, text: &mut text, number: number as u32 })?;
        if let Some(all) = self.forms.enums.get_mut(name) {
            all[number].1 = Some(text);
        }
        Ok(value)
    }
}

/// Items one after the other, each with its own form.
fn items<'de, V: Visitor<'de>>(
    forms: &mut Forms,
    length: usize,
    visitor: V,
) -> Result<(V::Value, Vec<String>), Refused> {
    let mut texts = vec![String::new(); length];
    let value = visitor.visit_seq(Items { forms, texts: texts.iter_mut() })?;
    Ok((value, texts))
}

/// Fields with their names.
fn named<'de, V: Visitor<'de>>(
    forms: &mut Forms,
    fields: &'static [&'static str],
    visitor: V,
) -> Result<(V::Value, String), Refused> {
    let (value, texts) = items(forms, fields.len(), visitor)?;
    let fields: Vec<_> = fields.iter().zip(texts).map(|(name, text)| format!("{name}: {text}")).collect();
    Ok((value, format!("{{ {} }}", fields.join(", "))))
}

struct Items<'a> {
    forms: &'a mut Forms,
    texts: std::slice::IterMut<'a, String>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refused> {
        self.texts.next().map(|text| seed.deserialize(At { forms: self.forms, text })).transpose()
    }
}

/// Elements of one form.
struct Elements<'a> {
    forms: &'a mut Forms,
    text: &'a mut String,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refused> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.text.clear();
        seed.deserialize(At { forms: self.forms, text: self.text }).map(Some)
    }
}

impl<'de> MapAccess<'de> for Elements<'_> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        self.text.push_str(": ");
        seed.deserialize(At { forms: self.forms, text: self.text })
    }
}

/// A variant of an enumeration.
struct Variant<'a> {
    forms: &'a mut Forms,
    text: &'a mut String,
    number: u32,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Refused> {
        let number = seed.deserialize(IntoDeserializer::<Refused>::into_deserializer(self.number))?;
        Ok((number, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Refused> {
        let mut text = String::new();
        let value = seed.deserialize(At { forms: self.forms, text: &mut text })?;
        self.text.push_str(&format!("({text})"));
        Ok(value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Refused> {
        let (value, texts) = items(self.forms, length, visitor)?;
        self.text.push_str(&format!("({})", texts.join(", ")));
        Ok(value)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Refused> {
        let (value, form) = named(self.forms, fields, visitor)?;
        self.text.push_str(&format!(" {form}"));
        Ok(value)
    }
}

//! Reading JSON that may have any shape.
//!
//! A mutating webhook is shown objects before the API server has checked them against the CRD's
//! schema, and a linter is shown whatever lies in Git. So a field of the wrong type must become a
//! finding about that field and never hide what the others say. [`Loose`] takes any value, keeps
//! it where it has the expected shape and otherwise remembers what was found instead.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::field_path::FieldPath;

/// A field that cannot be used as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field.
    pub path: FieldPath,
    /// What is wrong with it and what belongs there, in one line.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.segments().is_empty() {
            write!(f, "{}: ", self.path.shown())?;
        }
        f.write_str(&self.message)
    }
}

/// A value that may be absent, null, of the expected shape, or of another.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Loose<T> {
    /// Absent or null, which Kubernetes treats alike.
    #[default]
    Absent,
    /// As expected.
    Value(T),
    /// Of another type, named as JSON names it.
    Wrong(&'static str),
}

impl<T: Shape> Loose<T> {
    /// The value; one of the wrong type becomes a [`Problem`] and counts as absent.
    pub(crate) fn take(
        self,
        path: impl FnOnce() -> FieldPath,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        match self {
            Self::Absent => None,
            Self::Value(value) => Some(value),
            Self::Wrong(found) => {
                let expected = T::EXPECTED;
                problems.push(Problem {
                    path: path(),
                    message: format!("expected {expected}, found {found}"),
                });
                None
            }
        }
    }
}

/// A type that knows which JSON shapes it can be read from; what it does not take is `None`.
pub(crate) trait Shape: Sized {
    /// What belongs in the field, with its article.
    const EXPECTED: &'static str;

    fn from_text(_: &str) -> Option<Self> {
        None
    }

    fn from_integer(_: i64) -> Option<Self> {
        None
    }

    fn from_sequence<'de, A: SeqAccess<'de>>(mut sequence: A) -> Result<Option<Self>, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn from_mapping<'de, A: MapAccess<'de>>(mut mapping: A) -> Result<Option<Self>, A::Error> {
        while mapping.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// A string.
pub(crate) type Text = Box<str>;

/// How long a string may be. No name, address or word in a ServiceEntry has more than 256 bytes; what
/// is compared with each other is bounded, so that a megabyte of text is not worked on many times.
const LONGEST_TEXT: usize = 1024;

impl Shape for Text {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str) -> Option<Self> {
        (text.len() <= LONGEST_TEXT).then(|| text.into())
    }
}

impl Shape for i64 {
    const EXPECTED: &'static str = "a whole number";

    fn from_integer(integer: i64) -> Option<Self> {
        Some(integer)
    }
}

impl<T: Shape> Shape for Vec<Loose<T>> {
    const EXPECTED: &'static str = "a list";

    fn from_sequence<'de, A: SeqAccess<'de>>(mut sequence: A) -> Result<Option<Self>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Some(items))
    }
}

/// The entries of a mapping, in the order they are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Entries<T>(pub(crate) Vec<(Text, Loose<T>)>);

impl<T: Shape> Shape for Entries<T> {
    const EXPECTED: &'static str = "a mapping";

    fn from_mapping<'de, A: MapAccess<'de>>(mut mapping: A) -> Result<Option<Self>, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = mapping.next_entry::<String, Loose<T>>()? {
            entries.push((key.into_boxed_str(), value));
        }
        Ok(Some(Self(entries)))
    }
}

/// A struct whose fields are all [`Loose`], read by its derived `Deserialize`.
pub(crate) trait Object: for<'de> Deserialize<'de> {}

impl<T: Object> Shape for T {
    const EXPECTED: &'static str = "a mapping";

    fn from_mapping<'de, A: MapAccess<'de>>(mapping: A) -> Result<Option<Self>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(mapping)).map(Some)
    }
}

impl<'de, T: Shape> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor(PhantomData))
    }
}

struct LooseVisitor<T>(PhantomData<T>);

impl<'de, T: Shape> Visitor<'de> for LooseVisitor<T> {
    type Value = Loose<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Loose::Absent)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Loose::Absent)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Loose::Wrong("a boolean"))
    }

    fn visit_i64<E: Error>(self, integer: i64) -> Result<Self::Value, E> {
        Ok(found(T::from_integer(integer), "a number"))
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<Self::Value, E> {
        let value = i64::try_from(integer).ok().and_then(T::from_integer);
        Ok(found(value, "a number"))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(found(whole(number).and_then(T::from_integer), "a number"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let instead = match text.len() > LONGEST_TEXT {
            true => "one of more than 1,024 bytes",
            false => "a string",
        };
        Ok(found(T::from_text(text), instead))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Self::Value, A::Error> {
        Ok(found(T::from_sequence(sequence)?, "a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mapping: A) -> Result<Self::Value, A::Error> {
        Ok(found(T::from_mapping(mapping)?, "a mapping"))
    }
}

/// JSON has one kind of number: 3128.0 is the integer 3128. 2^53 is where f64 stops being exact, far
/// above any port.
pub(super) fn whole(number: f64) -> Option<i64> {
    let is_whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    is_whole.then_some(number as i64)
}

/// The port of that number; none for 0, which is what an absent number means in Istio's protobuf.
///
/// # Errors
/// It is too large or too small, in the words of a [`Problem`].
pub(super) fn port(number: i64) -> Result<Option<u16>, String> {
    let port = u16::try_from(number).map(|port| Some(port).filter(|port| *port > 0));
    port.map_err(|_| format!("expected a port between 1 and 65535, found {number}"))
}

fn found<T>(value: Option<T>, instead: &'static str) -> Loose<T> {
    value.map_or(Loose::Wrong(instead), Loose::Value)
}

//! The span index of one document: a tree of the value's shape, with places for values.

use serde_json::{Map, Value};

use super::position::Span;

/// Where a value stands, and the values in it.
#[derive(Debug, Default)]
pub(super) struct Spot {
    pub(super) span: Span,
    pub(super) inside: Inside,
}

#[derive(Debug, Default)]
pub(super) enum Inside {
    #[default]
    Nothing,
    Sequence(Vec<Spot>),
    /// Sorted by key, each key once.
    Mapping(Vec<Field>),
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: Box<str>,
    pub(super) key_span: Span,
    pub(super) value: Spot,
    /// Set by a merge key, hence no duplicate of one that is written out.
    pub(super) merged: bool,
}

impl Field {
    /// Of the fields written in one mapping, the first.
    pub(super) fn first(fields: &[Self]) -> Option<&Self> {
        fields.iter().min_by_key(|field| field.key_span.start)
    }
}

/// A mapping being filled: what it means, and where that stands.
#[derive(Default)]
pub(super) struct Fields {
    values: Map<String, Value>,
    /// In the order of the text, duplicates included.
    places: Vec<Field>,
}

impl Fields {
    /// The last of those with the same key counts, as in Go.
    pub(super) fn set(&mut self, key: String, value: Value, place: Field) {
        self.values.insert(key, value);
        self.places.push(place);
    }

    /// The whole mapping. Keys that are written twice are reported; one that a merge key sets, too,
    /// is meant to be.
    pub(super) fn finish(self, mut report: impl FnMut(String, Span)) -> (Value, Inside) {
        let mut places = self.places;
        places.sort_by(|one, other| one.key.cmp(&other.key));
        let mut previous: Option<&Field> = None;
        for again in places.iter().filter(|place| !place.merged) {
            let Some(first) = previous.replace(again) else {
                continue;
            };
            if first.key == again.key {
                let (key, line, first) = (&again.key, again.key_span.line, first.key_span.line);
                let message = format!("`{key}` on line {line} is set on line {first} already");
                report(message, again.key_span);
            }
        }
        places.reverse();
        places.dedup_by(|earlier, last| earlier.key == last.key);
        places.reverse();
        places.shrink_to_fit();
        (Value::Object(self.values), Inside::Mapping(places))
    }
}

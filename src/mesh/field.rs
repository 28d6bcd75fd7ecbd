//! One value in an object, with its place: the first that has the wrong type is named.
//!
//! [`lenient`](super::lenient) reads the object that is under review, of which every field is judged. What is
//! in view beside it is read with this: in whole, or not at all.

use serde_json::{Map, Value};

use super::field_path::FieldPath;
use super::lenient::{Problem, port, whole};

/// A value; null where it is absent, which Kubernetes treats alike.
pub(crate) struct Field<'v, 'p> {
    value: &'v Value,
    /// What it is in, and where there; nothing for the object itself.
    place: Option<(&'p Field<'v, 'p>, Step<'p>)>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Key(&'p str),
    Index(usize),
}

impl<'v, 'p> Field<'v, 'p> {
    /// An object itself.
    pub(crate) fn of(object: &'v Value) -> Self {
        Self {
            value: object,
            place: None,
        }
    }

    /// A field of this mapping.
    pub(crate) fn get<'s>(&'s self, key: &'s str) -> Result<Field<'v, 's>, Problem> {
        let value = self.mapping()?.and_then(|mapping| mapping.get(key));
        Ok(Field {
            value: value.unwrap_or(&Value::Null),
            place: Some((self, Step::Key(key))),
        })
    }

    pub(crate) fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// What is read of it; `None` where it is not set.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        self.is_set().then(|| read(self)).transpose()
    }

    pub(crate) fn text(&self) -> Result<Option<&'v str>, Problem> {
        self.of_type("a string", Value::as_str)
    }

    pub(crate) fn truth(&self) -> Result<Option<bool>, Problem> {
        self.of_type("a boolean", Value::as_bool)
    }

    /// A port; 0 is what an absent number means in Istio's protobuf.
    pub(crate) fn port(&self) -> Result<Option<u16>, Problem> {
        let number = self.of_type("a whole number", |value| {
            value.as_i64().or_else(|| whole(value.as_f64()?))
        })?;
        let port = number.map_or(Ok(None), port);
        port.map_err(|message| self.problem(message))
    }

    /// The items of this list.
    pub(crate) fn items(&self) -> Result<impl Iterator<Item = Field<'v, '_>>, Problem> {
        let items = self.of_type("a list", Value::as_array)?.into_iter();
        Ok(items.flatten().enumerate().map(|(index, value)| Field {
            value,
            place: Some((self, Step::Index(index))),
        }))
    }

    /// The items of this list of strings.
    pub(crate) fn texts(&self) -> Result<Vec<&'v str>, Problem> {
        let texts = self.items()?.filter_map(|item| item.text().transpose());
        texts.collect()
    }

    /// The keys and values of this mapping.
    pub(crate) fn entries<'s>(
        &'s self,
    ) -> Result<impl Iterator<Item = (&'v str, Field<'v, 's>)>, Problem> {
        let entries = self.mapping()?.into_iter().flatten();
        Ok(entries.map(move |(key, value)| {
            let place = Some((self, Step::Key(key)));
            (key.as_str(), Field { value, place })
        }))
    }

    fn mapping(&self) -> Result<Option<&'v Map<String, Value>>, Problem> {
        self.of_type("a mapping", Value::as_object)
    }

    fn of_type<T>(
        &self,
        expected: &str,
        read: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let found = match self.value {
            Value::Null => return Ok(None),
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "a mapping",
        };
        let read = read(self.value);
        let problem = || self.problem(format!("expected {expected}, found {found}"));
        read.ok_or_else(problem).map(Some)
    }

    fn problem(&self, message: String) -> Problem {
        let path = self.path();
        Problem { path, message }
    }

    fn path(&self) -> FieldPath {
        match self.place {
            None => FieldPath::root(),
            Some((whole, Step::Key(key))) => whole.path().key(key),
            Some((whole, Step::Index(index))) => whole.path().index(index),
        }
    }
}

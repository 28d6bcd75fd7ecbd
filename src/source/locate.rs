//! From a field's path to its place in the text.

use crate::mesh::{FieldPath, Segment};

use super::document::Document;
use super::position::{Location, Span};
use super::spot::{Field, Inside, Spot};

impl Document {
    /// Where the value at `path` stands.
    ///
    /// For a path that does not exist, the key of the deepest thing on it that does: a missing
    /// `spec.location` is at `spec`. What has no key of its own, as an item of a list, is at its
    /// first key instead. Fields that an alias or a merge key brings are where they are written.
    pub fn locate(&self, path: &FieldPath) -> Location {
        let (found, whole) = self.follow(path);
        // `protocol:` without a value has no place but its key's.
        let span = match whole && !found.spot.span.is_empty() {
            true => found.spot.span,
            false => found.nearest_key(),
        };
        span.location()
    }

    /// Where the key of the field at `path` stands; without one of that name, as
    /// [`locate`](Self::locate).
    pub fn locate_key(&self, path: &FieldPath) -> Location {
        let (found, whole) = self.follow(path);
        match found.key {
            Some(key) if whole => key.location(),
            _ => self.locate(path),
        }
    }

    /// The deepest thing on `path`, and whether that is all of it.
    fn follow(&self, path: &FieldPath) -> (Found<'_>, bool) {
        let mut found = Found {
            key: None,
            spot: &self.spot,
        };
        for segment in path.segments() {
            match found.step(segment) {
                Some(next) => found = next,
                None => return (found, false),
            }
        }
        (found, true)
    }
}

struct Found<'a> {
    key: Option<Span>,
    spot: &'a Spot,
}

impl<'a> Found<'a> {
    fn step(&self, segment: &Segment) -> Option<Self> {
        match (&self.spot.inside, segment) {
            (Inside::Mapping(fields), Segment::Key(name)) => {
                let index = fields.binary_search_by(|field| field.key.cmp(name)).ok()?;
                let field = &fields[index];
                Some(Found {
                    key: Some(field.key_span),
                    spot: &field.value,
                })
            }
            (Inside::Sequence(spots), Segment::Index(index)) => Some(Found {
                key: None,
                spot: spots.get(*index)?,
            }),
            _ => None,
        }
    }

    fn nearest_key(&self) -> Span {
        let first = match &self.spot.inside {
            Inside::Mapping(fields) => Field::first(fields).map(|field| field.key_span),
            _ => None,
        };
        self.key.or(first).unwrap_or(self.spot.span)
    }
}

#[cfg(test)]
mod tests {
    use crate::mesh::FieldPath;
    use crate::source::{Document, SourceFile, read};

    const TEXT: &str = "\
# first
---
spec:
  hosts: ['ä', \"b\"]
  ports:
  - number: 80
    name: é http
  - {name: x, number: 81}
  text: |
    one
    two

  location:
shared: &shared
  a: 1
aliased: *shared
merged:
  <<: *shared
  b: 2
";

    fn document(text: &str) -> Document {
        let mut reading = read(&SourceFile::from_text("a.yaml", text));
        assert_eq!(reading.problems, []);
        reading.documents.remove(0)
    }

    fn path(text: &str) -> FieldPath {
        let segments = text.split('.').filter(|segment| !segment.is_empty());
        segments.fold(FieldPath::root(), |path, segment| match segment.parse() {
            Ok(index) => path.index(index),
            Err(_) => path.key(segment),
        })
    }

    #[test]
    fn finds_values_and_where_missing_ones_belong() {
        let cases = [
            ("", (3, 1), None),
            ("kind", (3, 1), Some("spec")),
            ("spec.hosts", (4, 10), Some("['ä', \"b\"]")),
            ("spec.hosts.0", (4, 11), Some("'ä'")),
            ("spec.hosts.1", (4, 16), Some("\"b\"")),
            ("spec.hosts.2", (4, 3), Some("hosts")),
            ("spec.ports.0", (6, 5), Some("number: 80\n    name: é http")),
            ("spec.ports.0.name", (7, 11), Some("é http")),
            ("spec.ports.0.protocol", (6, 5), Some("number")),
            ("spec.ports.1", (8, 5), Some("{name: x, number: 81}")),
            ("spec.ports.1.protocol", (8, 6), Some("name")),
            ("spec.ports.name", (5, 3), Some("ports")),
            ("spec.text", (10, 5), Some("one\n    two")),
            ("spec.location", (13, 3), Some("location")),
            ("spec.location.deeper", (13, 3), Some("location")),
            ("spec.resolution", (3, 1), Some("spec")),
            ("aliased", (16, 10), Some("*shared")),
            ("aliased.a", (15, 6), Some("1")),
            ("aliased.b", (16, 1), Some("aliased")),
            ("merged.a", (15, 6), Some("1")),
            ("merged.b", (19, 6), Some("2")),
        ];
        for text in [TEXT.to_owned(), TEXT.replace('\n', "\r\n")] {
            let document = document(&text);
            for (path_text, place, expected) in &cases {
                let found = document.locate(&path(path_text));
                assert_eq!((found.line, found.column), *place, "{path_text}");
                if let Some(expected) = expected {
                    let meant = text[found.byte_range].replace('\r', "");
                    assert_eq!(&meant, expected, "{path_text}");
                }
            }
        }
    }

    #[test]
    fn finds_keys() {
        let document = document(TEXT);
        let cases = [
            ("spec", (3, 1)),
            ("spec.hosts", (4, 3)),
            ("spec.hosts.0", (4, 11)),
            ("spec.ports.1.number", (8, 15)),
            ("spec.nothing", (3, 1)),
            ("aliased.a", (15, 3)),
        ];
        for (text, place) in cases {
            let found = document.locate_key(&path(text));
            assert_eq!((found.line, found.column), place, "{text}");
        }
    }

    #[test]
    fn json_has_places_too() {
        let text = "{\"kind\":\"X\"}{\"a\":\n\t{\"b\": [1,\t2]}}";
        let reading = read(&SourceFile::from_text("a.json", text));
        let places: Vec<_> = [(0, "kind"), (1, "a.b.1"), (1, "a.c"), (1, "z")]
            .map(|(index, at)| reading.documents[index].locate(&path(at)))
            .map(|place| (place.line, place.column, &text[place.byte_range]))
            .to_vec();
        assert_eq!(
            places,
            [
                (1, 9, "\"X\""),
                (2, 12, "2"),
                (1, 14, "\"a\""),
                (1, 14, "\"a\"")
            ]
        );
    }
}

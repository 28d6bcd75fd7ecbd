//! Where in an object a finding points: one value, two renderings.

use std::fmt;

use super::line::{NAME_CHARACTERS, shown};

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A key of a mapping.
    Key(Box<str>),
    /// An index of a sequence, from 0.
    Index(usize),
}

/// The path of a field from the object's root.
///
/// `Display` writes it as Kubernetes' own error messages do (`spec.ports[1].protocol`,
/// `k8s.io/apimachinery/pkg/util/validation/field.Path`); [`FieldPath::pointer`] writes it as a
/// JSON Pointer (RFC 6901).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<Segment>);

impl FieldPath {
    /// The object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// `spec`, where nearly every path begins.
    pub fn spec() -> Self {
        Self::root().key("spec")
    }

    /// This path, one mapping key further.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.0.push(Segment::Key(key.into()));
        self
    }

    /// This path, one sequence index further.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.0.push(Segment::Index(index));
        self
    }

    /// The steps, from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The path as a JSON Pointer (RFC 6901): `~` becomes `~0`, `/` becomes `~1`.
    pub fn pointer(&self) -> String {
        let mut pointer = String::new();
        for segment in &self.0 {
            pointer.push('/');
            match segment {
                Segment::Key(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
                Segment::Index(index) => pointer.push_str(&index.to_string()),
            }
        }
        pointer
    }

    /// The path as it stands in a message: a key that others chose is bounded, and quoted where it
    /// is odd.
    pub fn shown(&self) -> String {
        let segments = self.0.iter().map(|segment| match segment {
            Segment::Key(key) => Segment::Key(shown(key, NAME_CHARACTERS).into()),
            Segment::Index(index) => Segment::Index(*index),
        });
        Self(segments.collect()).to_string()
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if position == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::FieldPath;

    #[test]
    fn renders_as_kubernetes_and_as_json_pointer() {
        let path = FieldPath::spec().key("ports").index(1).key("protocol");
        assert_eq!(path.to_string(), "spec.ports[1].protocol");
        assert_eq!(path.pointer(), "/spec/ports/1/protocol");
        let escaped = FieldPath::root().key("metadata").key("a/b~c");
        assert_eq!(escaped.pointer(), "/metadata/a~1b~0c");
    }

    #[test]
    fn a_message_shows_keys_bounded_and_clean() {
        let ports = FieldPath::spec().key("endpoints").index(0).key("ports");
        for (key, shown) in [
            ("http", "spec.endpoints[0].ports.http".to_owned()),
            ("", "spec.endpoints[0].ports.\"\"".to_owned()),
            (
                "\u{1b}[2J\n",
                r#"spec.endpoints[0].ports."\u{1b}[2J\n""#.to_owned(),
            ),
            (
                &"x".repeat(99),
                format!("spec.endpoints[0].ports.{}…", "x".repeat(62)),
            ),
        ] {
            assert_eq!(ports.clone().key(key).shown(), shown);
        }
    }
}

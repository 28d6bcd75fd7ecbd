//! `$(NAME)` in a value, as kubelet expands it.
//!
//! `makeEnvironmentVariables` in `pkg/kubelet/kubelet_pods.go` and `third_party/forked/golang/expansion` of
//! Kubernetes: `$$` is a dollar sign, and a reference to what is not defined before stays as it is.

use super::place::UNREAD;
use super::{ConfigMapKey, Known, LONGEST_VALUE};

/// A value with holes in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Template(Vec<Piece>);

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Piece {
    Text(Box<str>),
    Key(ConfigMapKey),
    /// Nobody can tell.
    Unread,
}

/// More pieces than any URL needs: whoever refers to a variable twice, and to that one twice, grows without end.
const MOST_PIECES: usize = 16;

impl Template {
    pub(super) fn text(text: &str) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    pub(super) fn key(key: ConfigMapKey) -> Self {
        Self(vec![Piece::Key(key)])
    }

    pub(super) fn unread() -> Self {
        Self(vec![Piece::Unread])
    }

    /// A value with the variables put in that are defined before it.
    pub(super) fn expand(value: &str, defined: &dyn Fn(&str) -> Option<Self>) -> Self {
        let mut expanded = Self::default();
        let mut rest = value;
        while let Some(dollar) = rest.find('$') {
            expanded.push_text(&rest[..dollar]);
            let behind = &rest[dollar + 1..];
            let reference = behind.strip_prefix('(');
            rest = match reference.and_then(|name| name.split_once(')')) {
                Some((name, behind)) => {
                    match defined(name) {
                        Some(value) => expanded.0.extend(value.0),
                        None => expanded.push_text(&format!("$({name})")),
                    }
                    behind
                }
                None => {
                    expanded.push_text("$");
                    behind.strip_prefix('$').unwrap_or(behind)
                }
            };
            if expanded.0.len() > 2 * MOST_PIECES {
                return Self::unread();
            }
        }
        expanded.push_text(rest);
        match expanded.0.len() > MOST_PIECES || expanded.length() > LONGEST_VALUE {
            true => Self::unread(),
            false => expanded,
        }
    }

    fn push_text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(Piece::Text(last)) => *last = format!("{last}{text}").into(),
            _ => self.0.push(Piece::Text(text.into())),
        }
    }

    fn length(&self) -> usize {
        let lengths = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Key(_) | Piece::Unread => 0,
        });
        lengths.sum()
    }

    /// The keys of ConfigMaps in it.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ConfigMapKey> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Key(key) => Some(key),
            Piece::Text(_) | Piece::Unread => None,
        })
    }

    /// Whether a ConfigMap has a part in it.
    pub(super) fn is_open(&self) -> bool {
        self.keys().next().is_some()
    }

    /// The value, with [`UNREAD`] for what cannot be told; nothing where a key is absent: then the variable
    /// is not set, or is no URL.
    pub(super) fn value<'a>(&self, lookup: &dyn Fn(&ConfigMapKey) -> Known<'a>) -> Option<String> {
        let mut value = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => value.push_str(text),
                Piece::Unread => value.push(UNREAD),
                Piece::Key(key) => match lookup(key) {
                    Known::Value(part) => value.push_str(part),
                    Known::Unknown => value.push(UNREAD),
                    Known::Absent => return None,
                },
            }
        }
        Some(value)
    }

    /// The same without whoever signs in at the proxy: what stands before the last `@`, but for the scheme.
    pub(super) fn without_user(&self) -> Self {
        let at = self.0.iter().rposition(|piece| match piece {
            Piece::Text(text) => text.contains('@'),
            Piece::Key(_) | Piece::Unread => false,
        });
        let Some(at) = at else {
            return self.clone();
        };
        let scheme = match &self.0[0] {
            Piece::Text(first) => first.split_once("://").map(|(scheme, _)| scheme),
            Piece::Key(_) | Piece::Unread => None,
        };
        let mut bare = Self::default();
        if let Some(scheme) = scheme {
            bare.push_text(&format!("{scheme}://"));
        }
        if let Piece::Text(text) = &self.0[at] {
            bare.push_text(text.rsplit('@').next().unwrap_or_default());
        }
        for piece in &self.0[at + 1..] {
            match piece {
                Piece::Text(text) => bare.push_text(text),
                other => bare.0.push(other.clone()),
            }
        }
        bare
    }
}

/// The same for a whole value.
pub(super) fn without_user(value: &str) -> String {
    let bare = Template::text(value).without_user();
    let nothing = |_: &ConfigMapKey| Known::Absent;
    bare.value(&nothing).unwrap_or_default()
}

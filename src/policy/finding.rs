//! What a check says about one field of one object.

use std::fmt;
use std::sync::Arc;

use crate::mesh::FieldPath;

use super::check::CheckId;
use super::fix::Fix;
use super::proxy::{Evidence, Proxy};

/// How bad a finding is, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It works by accident, may break, or istiod refuses the object.
    Warning,
    /// The CONNECT does not tunnel, or another dial is hijacked, because of this object.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A proxy that a finding is about, with the port in question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concerned {
    /// The proxy.
    pub proxy: Arc<Proxy>,
    /// Its port that the finding is about.
    pub port: u16,
    /// How bad it is for this one.
    pub severity: Severity,
}

impl Concerned {
    /// Whether both speak of the same proxy and port.
    pub fn is_same(&self, other: &Self) -> bool {
        self.port == other.port && self.proxy == other.proxy
    }
}

/// A proxy's name has room for so many characters where there is room to say who uses it, too.
pub const FULL_NAME: usize = 40;

/// Stands for the proxies in [`Finding::what`] and in a [`Brief`].
pub const PROXY: &str = "{proxy}";

/// What a finding says in a few words, behind the path of its field: `spec.ports[0].protocol` is
/// followed by `HTTP: CONNECT to {proxy} gets 404; set TCP`.
///
/// Apart, because a repair says what would happen too, and must not say something else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brief {
    /// What the field is, so that path and state read as one: `HTTP`, `is not set`.
    pub state: String,
    /// What happens to what: a clause of its own, with [`PROXY`] nowhere as its subject, since
    /// there may be several.
    pub fate: String,
    /// The edit, or its heart.
    pub edit: String,
}

impl Brief {
    /// A brief whose edit is a short one at full length already.
    pub fn new(state: impl Into<String>, fate: impl Into<String>, edit: &str) -> Self {
        let mut rest = edit.chars();
        let first = rest.next().map(|first| first.to_ascii_lowercase());
        Self {
            state: state.into(),
            fate: fate.into(),
            edit: first.into_iter().chain(rest).collect(),
        }
    }
}

impl fmt::Display for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(&self.state, ": "), (&self.fate, "; "), (&self.edit, "")];
        let mut parts = parts.iter().filter(|(text, _)| !text.is_empty()).peekable();
        while let Some((text, behind)) = parts.next() {
            f.write_str(text)?;
            if parts.peek().is_some() {
                f.write_str(behind)?;
            }
        }
        Ok(())
    }
}

/// What a check says about one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which check.
    pub check: CheckId,
    /// How bad it is.
    pub severity: Severity,
    /// The field; the root where the finding is not about an object's field.
    pub path: FieldPath,
    /// The port of the entry that it is about, if it is about one.
    pub port: Option<u16>,
    /// What happens, to what: one sentence without its full stop, holding [`PROXY`].
    pub what: String,
    /// The edit to make: one sentence without its full stop.
    pub edit: String,
    /// Both in a few words: for a warning of about 120 characters.
    pub brief: Brief,
    /// The proxies it is about; none for TG000.
    pub proxies: Vec<Concerned>,
    /// How it can be mended.
    pub fix: Option<Fix>,
}

impl Finding {
    /// What happens, to which proxy, and the edit to make, in that order and in one line.
    pub fn message(&self) -> String {
        let what = self.what.replace(PROXY, &self.proxies_in_full());
        match self.edit.as_str() {
            "" => format!("{what}."),
            // Nothing follows what is there to be copied.
            edit if edit.ends_with('}') => format!("{what}. {edit}"),
            edit => format!("{what}. {edit}."),
        }
    }

    /// The brief with the proxies in it, of whose names at most `longest` characters are shown.
    pub fn brief_about(&self, longest: usize) -> Brief {
        let proxies = self.proxies_by_name(longest);
        let about = |text: &str| text.replace(PROXY, &proxies);
        Brief {
            state: about(&self.brief.state),
            fate: about(&self.brief.fate),
            edit: about(&self.brief.edit),
        }
    }

    /// What is left of it for the proxies that `keep` keeps, and as bad as it is for them; `None`
    /// where none is left of some.
    #[must_use]
    pub fn keeping(mut self, mut keep: impl FnMut(&Concerned) -> bool) -> Option<Self> {
        if self.proxies.is_empty() {
            return Some(self);
        }
        self.proxies.retain(|concerned| keep(concerned));
        self.severity = self
            .proxies
            .iter()
            .map(|concerned| concerned.severity)
            .max()?;
        Some(self)
    }

    /// Sets how bad it is, for all its proxies.
    #[must_use]
    pub fn rated(mut self, severity: Severity) -> Self {
        self.severity = severity;
        for concerned in &mut self.proxies {
            concerned.severity = severity;
        }
        self
    }

    /// Whether it can be mended without asking.
    pub fn has_safe_fix(&self) -> bool {
        self.fix.as_ref().is_some_and(Fix::is_safe)
    }

    /// The proxies with place and evidence, the first two in full.
    pub fn proxies_in_full(&self) -> String {
        let Some((first, others)) = self.proxies.split_first() else {
            return "the proxy".to_owned();
        };
        let mut text = first.proxy.mention(first.port);
        match others {
            [] => {}
            [second] => {
                text.push_str(" and ");
                text.push_str(&second.proxy.mention(second.port));
            }
            more => text.push_str(&format!(" and {} other proxies", more.len())),
        }
        text
    }

    fn proxies_by_name(&self, longest: usize) -> String {
        let Some((first, others)) = self.proxies.split_first() else {
            return "the proxy".to_owned();
        };
        let name = first.proxy.called(longest);
        // Its name is all that speaks for it, or what others use, and the reader may know better.
        let evidence = match first.proxy.evidence {
            Evidence::Declared => String::new(),
            Evidence::Observed if longest >= FULL_NAME => first
                .proxy
                .users
                .told()
                .map_or_else(|| " (observed)".to_owned(), |users| format!(" ({users})")),
            evidence => format!(" ({evidence})"),
        };
        match others.len() {
            0 => format!("{name}{evidence}"),
            1 => format!("{name}{evidence} and 1 other"),
            count => format!("{name}{evidence} and {count} others"),
        }
    }
}

//! What a check says about one field of one object.

use std::fmt;
use std::sync::Arc;

use crate::mesh::FieldPath;
use crate::mesh::line::NAME_CHARACTERS;

use super::check::CheckId;
use super::fix::Fix;
use super::proxy::Proxy;

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

/// Stands for the proxies in [`Finding::what`] and [`Finding::brief`].
pub const PROXY: &str = "{proxy}";

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
    /// Both in a few words, holding [`PROXY`]: for a warning of about 120 characters.
    pub brief: String,
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

    /// The finding as an admission warning: id, field, proxy, edit.
    pub fn warning(&self) -> String {
        let brief = self.brief.replace(PROXY, &self.proxies_by_name());
        let check = self.check;
        format!(
            "{check} {} {brief} (tunnelguard explain {check})",
            self.path.shown()
        )
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

    fn proxies_by_name(&self) -> String {
        let Some((first, others)) = self.proxies.split_first() else {
            return "the proxy".to_owned();
        };
        let name = first.proxy.called(NAME_CHARACTERS);
        match others.len() {
            0 => name,
            count => format!("{name} and {count} more"),
        }
    }
}

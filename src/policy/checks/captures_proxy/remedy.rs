//! What is to become of a Sidecar that hides what protects a proxy.

use crate::mesh::line::{OBJECT_CHARACTERS, one_line};
use crate::mesh::sidecar::{Egress, Import};
use crate::mesh::simulation::Blame;
use crate::policy::subject::Subject;

use super::clients::Hidden;

/// The edit of its egress hosts.
pub(super) struct Remedy {
    /// What hides: that wins over whatever shows (Istio 1.31).
    take_out: Option<String>,
    /// What would show.
    add: Option<String>,
}

impl Remedy {
    /// That by which the Sidecar shows what it hides; `None` where it hides nothing.
    pub(super) fn of(subject: &Subject<'_>, hidden: Hidden<'_>) -> Option<Self> {
        let by = hidden.by?;
        let client = &*hidden.sidecar.namespace;
        let egress = hidden.sidecar.egress.iter();
        let may_show = egress.filter(|egress| egress.may_show_at(hidden.address));
        let may_show: Vec<&Egress> = may_show.collect();
        let lists = |egress: &&&Egress| egress.imports(by.entry, by.host, client, false);
        let listing = may_show.iter().find(lists);
        let version = subject.context.environment.version;
        let egress = listing.or(may_show.first());
        let egress = egress.filter(|_| version.may_hide_imports());
        let hiding = egress.map(|egress| egress.hiding(by.entry, by.host, client));
        Some(Self {
            take_out: hiding.and_then(named),
            add: listing.is_none().then(|| import(by)),
        })
    }

    /// As a sentence without its full stop.
    pub(super) fn in_words(&self) -> String {
        let hosts = "the egress hosts of that Sidecar";
        match (&self.take_out, &self.add) {
            (Some(hiding), None) => format!("Take {hiding} out of {hosts}"),
            (Some(hiding), Some(import)) => {
                format!("Take {hiding} out of {hosts}, and add {import} to them")
            }
            (None, Some(import)) => format!("Add {import} to {hosts}"),
            (None, None) => format!("Have {hosts} show it"),
        }
    }

    /// In brief.
    pub(super) fn in_brief(&self) -> String {
        match (&self.take_out, &self.add) {
            (Some(hiding), None) => format!("take {hiding} out of its egress hosts"),
            (Some(hiding), Some(import)) => {
                format!("take {hiding} out of its egress hosts, add {import}")
            }
            (None, Some(import)) => format!("add {import} to its egress hosts"),
            (None, None) => "have its egress hosts show it".to_owned(),
        }
    }
}

/// Each must go; too many to be told end in an ellipsis.
fn named<'i>(hiding: impl Iterator<Item = &'i Import>) -> Option<String> {
    let hiding: Vec<String> = hiding.map(ToString::to_string).collect();
    let named = one_line(&hiding.join(" and "), OBJECT_CHARACTERS);
    (!hiding.is_empty()).then_some(named)
}

fn import(by: Blame<'_>) -> String {
    let import = format!("{}/{}", by.entry.namespace, by.host);
    one_line(&import, OBJECT_CHARACTERS)
}

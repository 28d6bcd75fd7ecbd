//! Who else is dialled from, where a dial passes: clients from whom something of their namespace hides what
//! lets it pass.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::mesh::sidecar::{Egress, Sidecar};
use crate::mesh::simulation::Blame;
use crate::mesh::{Dial, Mesh};
use crate::policy::subject::Subject;

use super::NAMED;

/// How many Sidecars a dial is made behind, and how many are looked at in search of them: as many as are found of
/// an entry for all ([`Others::sidecars_showing`](crate::mesh::view::Others)).
const BEHIND: usize = 8;
const LOOKED_AT: usize = 256;

/// How many of each namespace at least, where those of many are known.
const OF_A_NAMESPACE: usize = 4;

/// How much of what they show and hide is looked at for one dial: 16 of each.
const IMPORTS: usize = 16 * LOOKED_AT;

/// The clients that see an entry, and may not see what lets the dials of the others pass.
pub(super) struct Clients<'s, 'a> {
    subject: &'s Subject<'a>,
    /// The Sidecars that may show them the entry, and not all else.
    sidecars: OnceCell<Sidecars<'a>>,
    /// Whether some were left out.
    cut: Cell<bool>,
}

struct Sidecars<'a> {
    first: Vec<&'a Sidecar>,
    are_all: bool,
}

/// What hides, and what is hidden from where it is dialled: nothing, if nobody took the dial, or if what took it
/// is not exported to the Sidecar's clients.
#[derive(Clone, Copy)]
pub(super) struct Hidden<'s> {
    pub(super) sidecar: &'s Sidecar,
    pub(super) by: Option<Blame<'s>>,
    pub(super) address: IpAddr,
}

impl<'s, 'a: 's> Clients<'s, 'a> {
    pub(super) fn new(subject: &'s Subject<'a>) -> Self {
        Self {
            subject,
            sidecars: OnceCell::new(),
            cut: Cell::new(false),
        }
    }

    /// The namespaces to which an entry of their own hides the one that lets a dial pass, since both list
    /// its host.
    pub(super) fn bare(&self, by: Option<Blame<'s>>) -> Vec<&'s str> {
        let Some(by) = by else {
            return Vec::new();
        };
        let subject = self.subject;
        let rivals = subject.rivals(by.host).take(NAMED);
        let namespaces = rivals.map(|rival| &*rival.namespace);
        let bare = namespaces.filter(|namespace| {
            **namespace != *by.entry.namespace && subject.entry.is_visible_from(namespace)
        });
        bare.collect()
    }

    /// The same dial behind each of the Sidecars that hide what lets it pass; that of a pod that they select.
    /// Or behind those to whose clients that is not exported, who owe it to no Sidecar.
    pub(super) fn behind_sidecars(
        &self,
        dial: &Dial,
        by: Option<Blame<'s>>,
        exported: bool,
    ) -> Vec<(Dial, Hidden<'s>)> {
        if !exported && by.is_none_or(|by| by.entry.is_public()) {
            return Vec::new();
        }
        let hiding = self.hiding(dial, by, exported);
        // For what is looked at after them, more than half of what is left stays.
        let effort = &self.subject.effort;
        if !effort.has_room_for_dials(4 * hiding.len() as u64) {
            self.cut.set(true);
            return Vec::new();
        }
        let dials = hiding.into_iter().map(|sidecar| {
            let address = dial.address;
            let dial = Dial {
                namespace: sidecar.namespace.clone(),
                labels: Some(sidecar.selector.clone().unwrap_or_default()),
                ..dial.clone()
            };
            let by = by.filter(|_| exported);
            let hidden = Hidden {
                sidecar,
                by,
                address,
            };
            (dial, hidden)
        });
        dials.collect()
    }

    /// Whether Sidecars were left out since this was asked last.
    pub(super) fn take_cut(&self) -> bool {
        self.cut.take()
    }

    /// The first Sidecars that may hide what lets a dial pass.
    fn hiding(&self, dial: &Dial, by: Option<Blame<'s>>, exported: bool) -> Vec<&'s Sidecar> {
        let sidecars = self.sidecars.get_or_init(|| self.sidecars());
        let effort = &self.subject.effort;
        let (mut hiding, mut looked_at) = (Vec::new(), 0);
        if !sidecars.are_all {
            self.cut.set(true);
        }
        for sidecar in &sidecars.first {
            let imports = imports(sidecar, by);
            if looked_at >= IMPORTS || !effort.spares_imports(imports, IMPORTS) {
                self.cut.set(true);
                break;
            }
            looked_at += imports;
            let sees = by.is_none_or(|by| by.entry.is_visible_from(&sidecar.namespace));
            if sees != exported || !self.may_hide(sidecar, dial, by.filter(|_| exported)) {
                continue;
            }
            if hiding.len() == BEHIND {
                self.cut.set(true);
                break;
            }
            hiding.push(*sidecar);
        }
        hiding
    }

    /// An entry for all is looked up by what Sidecars show; of others those that they are for are known.
    fn sidecars(&self) -> Sidecars<'a> {
        let entry = self.subject.entry;
        let others = self.subject.context.mesh.others();
        if entry.is_public() {
            let (first, are_all) = others.sidecars_showing(entry);
            return Sidecars { first, are_all };
        }
        let hides_from_all = entry.export_to.iter().any(|to| &**to == "~");
        let named = entry.export_to.iter().filter(|_| !hides_from_all);
        let named = named.map(|to| match &**to {
            "." => &*entry.namespace,
            own => own,
        });
        let namespaces: BTreeSet<&str> = named
            .filter(|namespace| !others.sidecars(namespace).is_empty())
            .collect();
        let few = (LOOKED_AT / namespaces.len().max(1)).max(OF_A_NAMESPACE);
        let (mut first, mut are_all) = (Vec::new(), true);
        for namespace in namespaces {
            let mut own = others.sidecars_by_name(namespace);
            first.extend(own.by_ref().take(few.min(LOOKED_AT - first.len())));
            are_all &= own.next().is_none();
        }
        Sidecars { first, are_all }
    }

    /// Whether a Sidecar leaves the port to the entries that it shows, and does not show that one.
    fn may_hide(&self, sidecar: &Sidecar, dial: &Dial, by: Option<Blame<'s>>) -> bool {
        // What the Sidecar's own listener makes of it is another story: TG021.
        if sidecar.ports().any(|port| port == dial.port) {
            return false;
        }
        let Some(by) = by else {
            return true;
        };
        let hiding = self.subject.context.environment.version.may_hide_imports();
        let shows = |egress: &Egress| {
            egress.may_show_at(dial.address)
                && egress.imports(by.entry, by.host, &sidecar.namespace, hiding)
        };
        !sidecar.egress.iter().any(shows)
    }
}

/// How much there is to compare: what the Sidecar lists, and to whom the entry is exported.
fn imports(sidecar: &Sidecar, by: Option<Blame<'_>>) -> usize {
    let egress = sidecar.egress.iter();
    let listed: usize = egress.map(|egress| 1 + egress.hosts.len()).sum();
    listed + by.map_or(0, |by| by.entry.export_to.len())
}

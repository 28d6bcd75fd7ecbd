//! Who else is dialled from, where a dial passes: clients from whom something of their namespace hides what
//! lets it pass.

use std::cell::OnceCell;
use std::net::IpAddr;

use crate::mesh::sidecar::{Egress, Sidecar};
use crate::mesh::simulation::{Blame, IstioVersion};
use crate::mesh::{Dial, Mesh};
use crate::policy::subject::Subject;

use super::NAMED;

/// How many Sidecars a dial is made behind, and how many are looked at in search of them.
const BEHIND: usize = 8;
const LOOKED_AT: usize = 32;

/// The clients that see an entry, and may not see what lets the dials of the others pass.
pub(super) struct Clients<'s, 'a> {
    subject: &'s Subject<'a>,
    /// The Sidecars that may show them the entry, and not all else.
    sidecars: OnceCell<Vec<&'a Sidecar>>,
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
        let sidecars = self.sidecars.get_or_init(|| self.sidecars()).iter();
        let is_seen =
            |sidecar: &Sidecar| by.is_none_or(|by| by.entry.is_visible_from(&sidecar.namespace));
        let concerned = sidecars.filter(|sidecar| is_seen(sidecar) == exported);
        let by = by.filter(|_| exported);
        let hiding = concerned.filter(|sidecar| self.may_hide(sidecar, dial, by));
        let dials = hiding.map(|sidecar| {
            let address = dial.address;
            let dial = Dial {
                namespace: sidecar.namespace.clone(),
                labels: Some(sidecar.selector.clone().unwrap_or_default()),
                ..dial.clone()
            };
            let hidden = Hidden {
                sidecar,
                by,
                address,
            };
            (dial, hidden)
        });
        let dials: Vec<_> = dials.take(BEHIND).collect();
        // For what is looked at after them, more than half of what is left stays.
        let effort = &self.subject.effort;
        match effort.has_room_for_dials(4 * dials.len() as u64) {
            true => dials,
            false => Vec::new(),
        }
    }

    /// An entry for all is looked up by what Sidecars show; of others those that they are for are known.
    fn sidecars(&self) -> Vec<&'a Sidecar> {
        let entry = self.subject.entry;
        let others = self.subject.context.mesh.others();
        if entry.is_public() {
            return others.sidecars_showing(entry).take(LOOKED_AT).collect();
        }
        let named = entry.export_to.iter().map(|to| match &**to {
            "." => &*entry.namespace,
            own => own,
        });
        let visible = named.filter(|namespace| entry.is_visible_from(namespace));
        let sidecars = visible.flat_map(|namespace| others.sidecars(namespace));
        sidecars.take(LOOKED_AT).collect()
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
        let hiding = self.subject.context.environment.version > IstioVersion::OLDEST;
        let shows = |egress: &Egress| {
            egress.port.is_none()
                && egress.may_listen_on(dial.address)
                && egress.imports(by.entry, by.host, &sidecar.namespace, hiding)
        };
        !sidecar.egress.iter().any(shows)
    }
}

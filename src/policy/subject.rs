//! One entry under review, and what every check asks of it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::mesh::service_entry::Port;
use crate::mesh::simulation::{
    Dial, Environment, Outcome, Prediction, Speech, is_tunnelled, simulate,
};
use crate::mesh::view::{Alone, EntriesOnly};
use crate::mesh::{FieldPath, Mesh, Overlay, ServiceEntry};

use super::check::{Check, Context};
use super::claim::{Claim, OfPort, Reach};
use super::dials::{ADDRESSES_A_PROXY, addresses_of, dial, namespaces, others};
use super::effort::Effort;
use super::finding::{Concerned, Finding};
use super::proxy::Proxy;
use super::suspicion::suspect;
use super::words::Words;

/// How many entries of one host are looked at for whom else they are shown to: a bound for a host that
/// thousands list.
const RIVALS_A_HOST: usize = 256;

/// One entry under review.
pub struct Subject<'a> {
    /// The entry.
    pub entry: &'a ServiceEntry,
    /// What is known beside it.
    pub context: Context<'a>,
    /// Which proxies it claims, with what becomes of their dials.
    pub claims: Vec<Claim<'a>>,
    pub(crate) effort: Effort,
    namespaces: Vec<&'a str>,
    view: Overlay<'a>,
    entries_only: EntriesOnly<'a>,
    known_addresses: OnceCell<Vec<IpAddr>>,
}

impl<'a> Subject<'a> {
    /// Prepares an entry for the checks.
    pub fn new(entry: &'a ServiceEntry, context: Context<'a>) -> Self {
        let view = Overlay::with(context.mesh, entry);
        let mut subject = Self {
            entry,
            context,
            claims: Vec::new(),
            effort: Effort::new(entry),
            namespaces: namespaces(entry),
            view,
            entries_only: view.of_entries_only(),
            known_addresses: OnceCell::new(),
        };
        // Nobody sees it, so it does nothing to anyone; or nobody but sidecars dials it.
        if subject.namespaces.is_empty() || subject.is_tunnelled() {
            return subject;
        }
        for port in &entry.ports {
            subject.claim(port);
        }
        subject
    }

    fn claim(&mut self, port: &'a Port) {
        let shared = Rc::new(OfPort::default());
        for proxy in self.proxies_of(port) {
            if proxy.tunnel {
                continue;
            }
            if !self.effort.for_claim() {
                return;
            }
            let proxy = Arc::new(proxy.into_owned());
            let reaches = self.reaches(port, &proxy);
            self.claims.push(Claim {
                port,
                proxy,
                reaches,
                of_port: shared.clone(),
            });
        }
    }

    /// Whether sidecars make the CONNECT to every host of the entry, so that HTTP is right.
    fn is_tunnelled(&self) -> bool {
        let environment = &self.context.environment;
        let mut hosts = self.entry.hosts.iter();
        let is_tunnelled =
            |host: &str| is_tunnelled(&self.view, host, &self.entry.namespace, environment);
        !self.entry.hosts.is_empty() && hosts.all(|host| is_tunnelled(host))
    }

    /// Declared proxies; where there is none, what the entry's own names suggest.
    fn proxies_of(&self, port: &Port) -> Vec<Cow<'a, Proxy>> {
        let known = &self.context.policies.proxies;
        if known.on_port(port.number).next().is_some() {
            if !self.effort.for_port() {
                return Vec::new();
            }
            let declared = known.claimed(self.entry, port);
            if !declared.is_empty() {
                return declared.into_iter().map(Cow::Borrowed).collect();
            }
        }
        suspect(self.entry, port)
            .into_iter()
            .map(Cow::Owned)
            .collect()
    }

    /// The namespaces to dial from.
    pub fn namespaces(&self) -> &[&'a str] {
        &self.namespaces
    }

    /// Whether the entry is too large to be judged in full, and was not.
    pub fn is_cut_short(&self) -> bool {
        self.effort.is_spent()
    }

    /// What becomes of a dial, by the ServiceEntries in view: findings go by them where the view
    /// holds kinds that are not modelled. `None` once the entry has been too much work.
    pub fn foresee(&self, dial: &Dial) -> Option<Prediction<'_>> {
        let environment = &self.context.environment;
        let paid = self.effort.for_dials(1);
        paid.then(|| simulate(&self.entries_only, dial, environment))
    }

    /// What becomes of a dial, with everything in view: Unknown where that cannot be told.
    pub(crate) fn predict(&self, dial: &Dial, environment: &Environment<'_>) -> Prediction<'_> {
        simulate(&self.view, dial, environment)
    }

    fn reaches(&self, port: &Port, proxy: &Proxy) -> Vec<Reach> {
        let mut reaches = Vec::new();
        let addresses = addresses_of(proxy, self.entry);
        for namespace in self.namespaces() {
            for address in &addresses {
                let dial = dial(namespace, *address, port.number, proxy);
                reaches.push(self.reach(&dial));
            }
        }
        reaches
    }

    /// Dials with everything in view, and with the entry alone: it is to blame where both fail.
    pub(crate) fn reach(&self, dial: &Dial) -> Reach {
        let environment = &self.context.environment;
        if !self.effort.for_dials(3) {
            return Reach {
                address: dial.address,
                outcome: Outcome::Unknown,
                caused: false,
                taken: false,
                undeclared: false,
            };
        }
        let alone = Alone::new(self.entry, self.context.mesh);
        let solo = simulate(&alone, dial, environment);
        let actual = simulate(&self.entries_only, dial, environment);
        let decisive = match actual.assumed() {
            Outcome::Unknown => &solo,
            _ => &actual,
        };
        let outcome = decisive.assumed();
        let blamed = |prediction: &Prediction<'_>| match &prediction.by {
            Some(by) => std::ptr::eq(by.entry, self.entry),
            None => self.covers(dial.address),
        };
        // Every HTTP port that the client is shown has a part in the wildcard listener; of what else two
        // entries would do, only one comes about.
        let is_shown = || {
            let rivals = Alone::among_rivals(self.entry, &self.view);
            simulate(&rivals, dial, environment).is_http_of_port()
        };
        let shared = actual.is_http_of_port() && solo.is_http_of_port() && is_shown();
        let caused = outcome != Outcome::Tunnel
            && solo.assumed() != Outcome::Tunnel
            && (blamed(decisive) || shared);
        let by = decisive.by.as_ref();
        Reach {
            address: dial.address,
            outcome,
            caused,
            taken: by.is_some_and(|by| std::ptr::eq(by.entry, self.entry)),
            undeclared: by.is_none(),
        }
    }

    /// Whether the entry means to cover an address: it lists it, or lists none that can be used.
    fn covers(&self, address: IpAddr) -> bool {
        self.entry.lists(address) || self.entry.usable_addresses().next().is_none()
    }

    /// Whether the entry takes connections on the claim's port that are meant for others.
    pub fn hijacks(&self, claim: &Claim<'_>) -> bool {
        *claim
            .of_port
            .hijacks
            .get_or_init(|| self.takes_others(claim.port))
    }

    fn takes_others(&self, port: &Port) -> bool {
        let claimed: Vec<IpAddr> = self
            .claims
            .iter()
            .filter(|claim| claim.port.index == port.index)
            .flat_map(|claim| claim.reaches.iter().map(|reach| reach.address))
            .collect();
        let others = others(self.entry)
            .into_iter()
            .filter(|ip| !claimed.contains(ip));
        let mut dials = others.flat_map(|address| {
            let namespaces = self.namespaces().iter();
            namespaces.map(move |namespace| Dial {
                namespace: (*namespace).into(),
                labels: None,
                address,
                port: port.number,
                speech: Speech::Connect,
            })
        });
        dials.any(|dial| {
            let reach = self.reach(&dial);
            reach.caused && reach.outcome == Outcome::Hijacked
        })
    }

    /// The single IPs of every proxy that the entry claims: an edit of its addresses is for all of
    /// its ports.
    pub fn known_addresses(&self) -> &[IpAddr] {
        self.known_addresses.get_or_init(|| {
            let mut known: Vec<IpAddr> = Vec::new();
            for address in self.claims.iter().flat_map(|c| c.proxy.single_addresses()) {
                if known.len() == ADDRESSES_A_PROXY {
                    break;
                }
                if !known.contains(&address) {
                    known.push(address);
                }
            }
            known
        })
    }

    /// The other entries that list a host, wherever they are.
    pub fn rivals(&self, host: &str) -> impl Iterator<Item = &ServiceEntry> {
        let entries = self
            .view
            .with_host(host)
            .into_iter()
            .map(|ranked| ranked.entry);
        entries.filter(|rival| !std::ptr::eq(*rival, self.entry))
    }

    /// The namespaces that see the entry, and beside it one with one of its hosts that is their own, or that
    /// is exported to them by name: to them the host's endpoints may be those of that one.
    pub(crate) fn rival_namespaces(&self) -> BTreeSet<&str> {
        let entry = self.entry;
        let rivals = entry
            .hosts
            .iter()
            .flat_map(|host| self.rivals(host).take(RIVALS_A_HOST));
        let namespaces = rivals.flat_map(|rival| {
            let named = rival.export_to.iter().map(|to| &**to);
            named.chain([&*rival.namespace])
        });
        let is_other = |namespace: &&str| !["*", ".", "~", &*entry.namespace].contains(namespace);
        namespaces
            .filter(is_other)
            .filter(|namespace| entry.is_visible_from(namespace))
            .collect()
    }

    /// A finding about a claim, as bad as what becomes of its dials.
    pub fn finding(
        &self,
        check: &Check,
        claim: &Claim<'_>,
        path: FieldPath,
        words: Words,
    ) -> Finding {
        Finding {
            check: check.id,
            severity: claim.severity(),
            path,
            port: Some(claim.port.number),
            what: words.what,
            edit: words.edit,
            brief: words.brief,
            proxies: vec![Concerned {
                proxy: claim.proxy.clone(),
                port: claim.port.number,
                severity: claim.severity(),
            }],
            fix: None,
        }
    }
}

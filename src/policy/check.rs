//! What a check is, and what it is given.

use std::cell::OnceCell;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::mesh::service_entry::Port;
use crate::mesh::simulation::{Dial, Environment, Outcome, Prediction, Speech, simulate};
use crate::mesh::view::{Alone, EntriesOnly};
use crate::mesh::{FieldPath, Mesh, MeshView, Overlay, ServiceEntry};

use super::compile::PolicySet;
use super::dials::{ADDRESSES_A_PROXY, ELSEWHERE, addresses_of, dial, others};
use super::finding::{Concerned, Finding, Severity};
use super::proxy::{Evidence, Proxy};
use super::repair::Proof;
use super::spec::Mode;
use super::suspicion::suspect;
use super::words::Words;

/// The stable id of a check: `TG001`. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(pub u16);

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TG{:03}", self.0)
    }
}

/// One rule.
pub struct Check {
    /// Its id.
    pub id: CheckId,
    /// A few words for lists.
    pub title: &'static str,
    /// The mode that its findings do not pass unless a policy says otherwise.
    pub ceiling: Mode,
    /// Its page in `docs/checks`, in Markdown.
    pub page: &'static str,
    /// Looks at one entry.
    pub run: fn(&Subject<'_>, &mut Vec<Finding>),
}

/// What every check of one pass reads.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The policies in force, with their proxies.
    pub policies: &'a PolicySet,
    /// The other objects of the mesh; empty where they are not known.
    pub mesh: &'a MeshView,
    /// Whether `mesh` is all there is, or only the object at hand is known.
    pub sees_mesh: bool,
    /// What the mesh is set to.
    pub environment: Environment<'a>,
}

/// One entry under review.
pub struct Subject<'a> {
    /// The entry.
    pub entry: &'a ServiceEntry,
    /// What is known beside it.
    pub context: Context<'a>,
    /// Which proxies it claims, with what becomes of their dials.
    pub claims: Vec<Claim<'a>>,
    view: Overlay<'a>,
    entries_only: EntriesOnly<'a>,
    known_addresses: OnceCell<Vec<IpAddr>>,
}

/// One port of the entry, with one proxy that it is.
pub struct Claim<'a> {
    /// The port.
    pub port: &'a Port,
    /// The proxy.
    pub proxy: Arc<Proxy>,
    /// What becomes of each of its dials.
    pub reaches: Vec<Reach>,
    /// What all claims of the port share, worked out when first asked for.
    pub(crate) of_port: Rc<OfPort>,
}

/// What is worked out once a port, however many proxies claim it.
#[derive(Debug, Default)]
pub(crate) struct OfPort {
    pub(crate) proof: OnceCell<Proof>,
    hijacks: OnceCell<bool>,
}

/// What becomes of one dial of a claimed proxy.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The address dialled.
    pub address: IpAddr,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Whether it fails because of the entry under review.
    pub caused: bool,
}

impl<'a> Subject<'a> {
    /// Prepares an entry for the checks.
    pub fn new(entry: &'a ServiceEntry, context: Context<'a>) -> Self {
        let view = Overlay::with(context.mesh, entry);
        let mut subject = Self {
            entry,
            context,
            claims: Vec::new(),
            view,
            entries_only: view.of_entries_only(),
            known_addresses: OnceCell::new(),
        };
        // Nobody sees it: it does nothing to anyone.
        if subject.namespaces().is_empty() {
            return subject;
        }
        for port in &entry.ports {
            let proxies = subject.proxies_of(port);
            let shared = Rc::new(OfPort::default());
            for proxy in proxies.into_iter().filter(|proxy| !proxy.tunnel) {
                let reaches = subject.reaches(port, &proxy);
                subject.claims.push(Claim {
                    port,
                    proxy,
                    reaches,
                    of_port: shared.clone(),
                });
            }
        }
        subject
    }

    /// Declared proxies; where there is none, what the entry's own names suggest.
    fn proxies_of(&self, port: &Port) -> Vec<Arc<Proxy>> {
        let declared = self.context.policies.proxies.claimed(self.entry, port);
        if !declared.is_empty() {
            return declared.into_iter().cloned().map(Arc::new).collect();
        }
        suspect(self.entry, port)
            .into_iter()
            .map(Arc::new)
            .collect()
    }

    /// The namespaces to dial from: the entry's own, an unrelated one if it is exported to all,
    /// else the first few that it is exported to.
    pub fn namespaces(&self) -> Vec<&'a str> {
        let entry = self.entry;
        let mut namespaces: Vec<&str> = Vec::new();
        if entry.is_visible_from(&entry.namespace) {
            namespaces.push(&entry.namespace);
        }
        if entry.is_public() {
            namespaces.push(ELSEWHERE);
        } else {
            let named = entry.export_to.iter().map(|to| &**to);
            let visible = named.filter(|to| *to != "." && entry.is_visible_from(to));
            namespaces.extend(visible.take(8));
        }
        namespaces
    }

    /// What becomes of a dial, by the ServiceEntries in view: findings go by them where the view
    /// holds kinds that are not modelled.
    pub fn foresee(&self, dial: &Dial) -> Prediction<'_> {
        simulate(&self.entries_only, dial, &self.context.environment)
    }

    /// What becomes of a dial, with everything in view: Unknown where that cannot be told.
    pub fn predict(&self, dial: &Dial, environment: &Environment<'_>) -> Prediction<'_> {
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
        let alone = Alone(self.entry);
        let solo = simulate(&alone, dial, environment);
        let actual = self.foresee(dial);
        let outcome = match actual.outcome {
            Outcome::Unknown => solo.outcome,
            known => known,
        };
        let blamed = |prediction: &Prediction<'_>| match &prediction.by {
            Some(by) => std::ptr::eq(by.entry, self.entry),
            None => self.covers(dial.address),
        };
        let caused = outcome != Outcome::Tunnel
            && solo.outcome != Outcome::Tunnel
            && (blamed(&actual) || blamed(&solo));
        Reach {
            address: dial.address,
            outcome,
            caused,
        }
    }

    /// Whether the entry means to cover an address: it lists it, or lists none that can be used.
    fn covers(&self, address: IpAddr) -> bool {
        self.entry.lists(address) || self.entry.usable_addresses().next().is_none()
    }

    /// Whether the entry takes connections on `port` that are meant for others, and what becomes
    /// of the first such.
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
            let namespaces = self.namespaces().into_iter();
            namespaces.map(move |namespace| Dial {
                namespace: namespace.into(),
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

impl Claim<'_> {
    /// The worst dial that fails because of the entry.
    pub fn worst(&self) -> Option<&Reach> {
        let caused = self.reaches.iter().filter(|reach| reach.caused);
        caused.max_by_key(|reach| reach.outcome.badness())
    }

    /// Error where a dial fails because of the entry.
    pub fn severity(&self) -> Severity {
        match self.worst() {
            Some(_) => self.highest_severity(),
            None => Severity::Warning,
        }
    }

    /// The finding as an error, as far as the evidence goes.
    pub fn as_error(&self, finding: Finding) -> Finding {
        finding.rated(self.highest_severity())
    }

    /// Name evidence is never more than a warning.
    fn highest_severity(&self) -> Severity {
        match self.proxy.evidence {
            Evidence::Suspected => Severity::Warning,
            Evidence::Observed | Evidence::Declared => Severity::Error,
        }
    }
}

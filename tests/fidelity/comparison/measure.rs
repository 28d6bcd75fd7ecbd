//! What dials meet, and who decided it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tunnelguard::mesh::service_entry::{Port, Registry};
use tunnelguard::mesh::simulation::Blame;
use tunnelguard::mesh::{Dial, Mesh, MeshView, Outcome, Prediction, ServiceEntry, simulate};

use super::Comparison;
use super::dials::shown;
use crate::lab::{Application, Configuration, Counters, Decision, Met, Owner, resolved};

/// How often a dial is made whose cluster can balance: where two endpoints share the load, three dials
/// miss the other one in four times, forty never.
const BALANCED: usize = 3;
const BALANCED_IN_SIGHT: usize = 40;

/// A dial with what was predicted and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) dial: Dial,
    pub(super) predicted: Outcome,
    pub(super) met: Met,
    /// Whether a Sidecar says what the client sees.
    pub(super) is_scoped: bool,
    /// Whose filter chain took it: nobody's where the outbound policy did.
    pub(super) owners: Vec<Owner>,
    /// Whether an egress listener of a Sidecar with a port of its own did.
    pub(super) is_by_egress: bool,
}

impl Measured {
    /// How bad that is, in the order of [`Outcome::badness`].
    pub(super) fn badness(&self) -> u8 {
        let as_outcome = match self.met {
            Met::Tunnel => Outcome::Tunnel,
            Met::Refused(_) => Outcome::NotFound,
            Met::Closed | Met::Silence => Outcome::NoEndpoints,
            Met::Hijacked(_) => Outcome::Hijacked,
            Met::Wrapped => Outcome::Wrapped,
        };
        as_outcome.badness().expect("only Unknown has none")
    }

    /// Whether the filter chain is there because of that entry.
    pub(super) fn is_of(&self, entry: &ServiceEntry) -> bool {
        let mut owners = self.owners.iter();
        owners.any(|owner| {
            let namespace = owner.namespace.as_deref();
            entry.port(owner.port).is_some()
                && entry.hosts.iter().any(|host| **host == *owner.host)
                && namespace.is_none_or(|namespace| *entry.namespace == *namespace)
        })
    }
}

impl Comparison<'_> {
    /// Makes the dials. What disagrees is told of objects `whose`: empty, or in which state they are.
    pub(super) fn measure(
        &mut self,
        mesh: &MeshView,
        dials: &[(Application, Dial)],
        whose: &str,
    ) -> Vec<Measured> {
        let mut measured = Vec::new();
        let mut told = BTreeSet::new();
        let mut settled = None;
        let mut configuration = None;
        for (client, dial) in dials {
            if settled != Some(client) {
                self.lab.settle(client);
                settled = Some(client);
                configuration = Some(Configuration::read(self.lab.version));
            }
            let configuration = configuration.as_ref().expect("it is settled");
            let (one, difference) = self.measure_one(mesh, dial, configuration, whose);
            if let Some(mut difference) = difference {
                // Once a port.
                let is_first = told.insert((client, dial.port));
                for line in configuration.about(dial.port).iter().filter(|_| is_first) {
                    difference.push_str("\n    ");
                    difference.push_str(line);
                }
                self.disagree(difference);
            }
            measured.push(one);
        }
        measured
    }

    /// Makes one, and tells what is not as predicted.
    fn measure_one(
        &mut self,
        mesh: &MeshView,
        dial: &Dial,
        configuration: &Configuration,
        whose: &str,
    ) -> (Measured, Option<String>) {
        let prediction = simulate(mesh, dial, &self.environment());
        let before = Counters::read();
        let meant = meant(mesh, dial, &prediction);
        let mut met = self.lab.dial(dial, &meant, 1);
        let may_differ = matches!(met, Met::Tunnel | Met::Wrapped);
        if may_differ && configuration.balances(&before.decided()) {
            let times = match prediction.outcome {
                Outcome::Hijacked => BALANCED_IN_SIGHT,
                _ => BALANCED,
            };
            let again = self.lab.dial(dial, &meant, times);
            if again != Met::Tunnel {
                met = again;
            }
        }
        let decision = before.decided();
        let mut owners = configuration.owners(&decision);
        // Envoy keeps a cluster until the one in its place is warm, and with it the namespace of an object that
        // may be gone.
        let gone = owners.iter_mut().filter(|owner| !is_stored(mesh, owner));
        gone.for_each(|owner| owner.namespace = None);
        let predicted = prediction.outcome;
        let wrong = match predicted {
            Outcome::Unknown => None,
            _ if !met.is(predicted, &dial.speech) => Some("outcome"),
            _ => (!blames(mesh, &prediction, &decision, &owners)).then_some("blame"),
        };
        let why = prediction.why(dial, &self.environment());
        self.record.count(&prediction, wrong.is_some());
        if predicted == Outcome::Unknown {
            self.record
                .unknown(format!("{whose}{}: {why}", shown(dial)));
        }
        let difference = wrong.map(|wrong| {
            let text = difference(&prediction, &met, &decision, &owners);
            format!("{wrong} of {whose}{}: {why}\n{text}", shown(dial))
        });
        if wrong.is_none() && decision.is_http() {
            // The one whose routes are left out is one of them.
            owners.extend(prediction.by.as_ref().map(owner));
        }
        let measured = Measured {
            dial: dial.clone(),
            predicted,
            met,
            is_scoped: prediction.sidecar().is_some(),
            owners,
            is_by_egress: prediction.by_egress_of().is_some(),
        };
        (measured, difference)
    }
}

/// Who else may answer a dial: those behind the Service whose ClusterIP it is, unless somebody else is
/// blamed for it, or behind the host to which istiod allocated the address.
fn meant(mesh: &MeshView, dial: &Dial, prediction: &Prediction<'_>) -> Vec<IpAddr> {
    let mut meant = Vec::new();
    for entry in mesh.entries() {
        let is_service = entry.registry == Registry::Kubernetes
            && entry.port(dial.port).is_some()
            && entry.lists(dial.address)
            && prediction.by.as_ref().is_none_or(|by| by.entry == entry);
        let mut given = entry.allocated.iter();
        let host = given.find(|(_, address)| *address == dial.address);
        if !is_service && host.is_none() {
            continue;
        }
        let selector = entry.workload_selector.as_ref();
        let workloads = mesh.others().workload_entries(&entry.namespace).iter();
        let selected = workloads.filter(|one| selector.is_some_and(|own| one.is_selected_by(own)));
        let endpoints = entry.endpoints.iter().map(|endpoint| &*endpoint.address);
        let behind = endpoints.chain(selected.map(|one| &*one.address));
        let behind: Vec<IpAddr> = behind.filter_map(resolved).collect();
        // Without endpoints the host itself is what DNS answers.
        let own = host.filter(|_| behind.is_empty());
        meant.extend(own.and_then(|(host, _)| resolved(host)));
        meant.extend(behind);
    }
    meant
}

/// Whether the object that is blamed is one that Envoy's configuration shows behind the filter chain.
fn blames(
    mesh: &MeshView,
    prediction: &Prediction<'_>,
    decision: &Decision,
    owners: &[Owner],
) -> bool {
    let Some(by) = &prediction.by else {
        return owners.is_empty();
    };
    // Of an egress listener of a Sidecar the protocol is its own, whichever of its hosts have routes.
    if decision.is_http() && prediction.by_egress_of().is_some() {
        return true;
    }
    // istiod leaves out the routes of a host whose other entry has the port as TCP: then that the port is
    // HTTP is all that is left of the one that made it so.
    let is_left_out = |host: &str| {
        let rivals = mesh.with_host(host).into_iter();
        let mut ports = rivals.filter_map(|rival| rival.entry.port(by.port));
        ports.any(|port| !is_parsed(port))
    };
    let may_be_left_out = owners.is_empty() || is_left_out(by.host);
    if decision.is_http() && by.entry.port(by.port).is_some_and(is_parsed) && may_be_left_out {
        return true;
    }
    // Of an entry with several hosts those have no routes that another entry has as TCP.
    let is_host = |host: &str| {
        let mut hosts = by.entry.hosts.iter();
        *host == *by.host || (decision.is_http() && hosts.any(|own| **own == *host))
    };
    owners.iter().any(|owner| {
        let namespace = owner.namespace.as_deref();
        is_host(&owner.host)
            && owner.port == by.port
            && namespace.is_none_or(|namespace| *by.entry.namespace == *namespace)
    })
}

/// Whether there is such an object, or none is told.
fn is_stored(mesh: &MeshView, owner: &Owner) -> bool {
    let rivals = mesh.with_host(&owner.host).into_iter();
    let mut namespaces = rivals.map(|rival| &*rival.entry.namespace);
    let namespace = owner.namespace.as_deref();
    namespace.is_none_or(|told| namespaces.any(|namespace| namespace == told))
}

/// The one that is blamed.
fn owner(by: &Blame<'_>) -> Owner {
    Owner {
        host: by.host.to_string(),
        port: by.port,
        namespace: Some(by.entry.namespace.to_string()),
    }
}

/// Whether Envoy looks for HTTP on it.
fn is_parsed(port: &Port) -> bool {
    port.protocol.is_http() || port.protocol.is_sniffed()
}

/// What was predicted (`-`), against what Envoy shows (`+`).
fn difference(
    prediction: &Prediction<'_>,
    met: &Met,
    decision: &Decision,
    owners: &[Owner],
) -> String {
    let by = match &prediction.by {
        Some(by) => format!("{}/{}, host {}", by.entry.namespace, by.entry.name, by.host),
        None => "nobody".to_owned(),
    };
    let owners = owners.iter().map(|owner| match &owner.namespace {
        Some(namespace) => format!(" {} ({namespace})", owner.host),
        None => format!(" {}", owner.host),
    });
    let owners: String = owners.collect();
    format!(
        "  - {}, because of {by}\n  + {met}: {decision};{owners}",
        prediction.outcome
    )
}

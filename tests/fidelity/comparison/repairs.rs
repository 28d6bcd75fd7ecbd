//! The product's repairs, made and measured: those that it offers help and harm nobody, and of those that
//! it withholds every one would not help, or harm somebody, or be refused.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tunnelguard::mesh::protocol::Protocol;
use tunnelguard::mesh::simulation::OutboundPolicy;
use tunnelguard::mesh::{
    Dial, Environment, Mesh, MeshView, Outcome, ServiceEntry, Speech, simulate,
};
use tunnelguard::policy::check::Context;
use tunnelguard::policy::fix::{Edit, Operation, Safety};
use tunnelguard::policy::subject::Subject;
use tunnelguard::policy::verdict::{leaves_an_error, repair};
use tunnelguard::policy::{Finding, evaluate};

use super::dials::{listed, shown};
use super::measure::Measured;
use super::{Comparison, TODAY};
use crate::lab::{Family, Met};

/// What the product says of a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Offer {
    /// It makes it for the user.
    Safe,
    /// It gives a person the proof that it is right.
    Proved,
    /// It offers none.
    Withheld,
}

/// An object as it would be repaired.
struct Candidate {
    offer: Offer,
    object: Value,
    entry: ServiceEntry,
    /// The dials that are to tunnel then: addresses of claimed proxies, with the port.
    claimed: Vec<(IpAddr, u16)>,
}

impl Candidate {
    /// Whether another entry takes the dial that is the client's namespace's own, or exported to it by name:
    /// what that does to those is no other entry's to repair.
    fn is_taken(&self, one: &Measured, mesh: &MeshView) -> bool {
        let mut entries = mesh.entries().filter(|entry| **entry != self.entry);
        entries.any(|entry| is_kept_for(entry, &one.dial.namespace) && one.is_of(entry))
    }

    /// Whether it is for this dial: one of a claimed proxy, by a client that sees the entry and to whom none
    /// of one of its hosts comes before it, its own or one exported to it by name.
    fn is_for(&self, dial: &Dial, mesh: &MeshView) -> bool {
        let mut rivals = self
            .entry
            .hosts
            .iter()
            .flat_map(|host| mesh.with_host(host));
        let comes_first = |rival: &ServiceEntry| is_kept_for(rival, &dial.namespace);
        dial.speech == Speech::Connect
            && self.claimed.contains(&(dial.address, dial.port))
            && self.entry.is_visible_from(&dial.namespace)
            && (self.entry.namespace == dial.namespace
                || !rivals.any(|rival| comes_first(rival.entry)))
    }
}

/// Whether an entry is a namespace's own, or is exported to it by name.
pub(super) fn is_kept_for(entry: &ServiceEntry, namespace: &str) -> bool {
    *entry.namespace == *namespace || entry.export_to.iter().any(|to| **to == *namespace)
}

impl Comparison<'_> {
    /// Makes each repair in place, measures, and undoes it.
    pub(super) fn repairs(&mut self, objects: &[Value], mesh: &MeshView, before: &[Measured]) {
        for (index, object) in objects.iter().enumerate() {
            // Of other kinds none is repaired.
            if object["kind"] != "ServiceEntry" {
                continue;
            }
            let entry = serde_json::from_value(object.clone()).expect("an entry");
            for candidate in candidates(&entry, object, self.context(mesh)) {
                // What tunnels needs no repair.
                let mut claimed = before
                    .iter()
                    .filter(|one| self.is_to_mend(&candidate, &one.dial, mesh));
                if claimed.any(|one| one.met != Met::Tunnel) {
                    self.repair(objects, index, &candidate, mesh, before);
                }
            }
        }
    }

    fn repair(
        &mut self,
        objects: &[Value],
        index: usize,
        candidate: &Candidate,
        mesh: &MeshView,
        before: &[Measured],
    ) {
        let name = objects[index]["metadata"]["name"]
            .as_str()
            .unwrap_or_default();
        let answer = self.lab.replace(&candidate.object);
        let accepted = answer.is_allowed() && self.lab.objection(&candidate.object).is_none();
        let mut after = Vec::new();
        let mut repaired = objects.to_vec();
        if answer.is_allowed() {
            repaired[index] = answer.body;
            let dials = self.dials(mesh);
            let whose = format!("{name} repaired: ");
            after = self.measure(&self.mesh(&repaired).0, &dials, &whose);
            let undone = self.lab.replace(&objects[index]);
            assert!(undone.is_allowed(), "{undone:?}");
        }
        self.record
            .repaired(&self.own_dials(), candidate.offer, accepted, &after);
        let harm = match accepted {
            false => Some("it is not accepted".to_owned()),
            true => self.harm(candidate, mesh, before, &after),
        };
        match (candidate.offer, harm) {
            (Offer::Safe | Offer::Proved, Some(harm)) => {
                let offer = candidate.offer;
                self.disagree(format!("{offer:?} repair of {name}: {harm}"));
            }
            (Offer::Withheld, None) if !self.is_open(mesh, &self.mesh(&repaired).0, before) => {
                self.disagree(format!(
                    "the repair of {name} is withheld, and would do no harm"
                ));
            }
            _ => {}
        }
    }

    /// Whether a repair that does no harm here is withheld for what it does elsewhere: a proof is for
    /// several outbound policies, each of which is measured in a run of its own, and it does not hold
    /// where a dial cannot be predicted.
    fn is_open(&self, mesh: &MeshView, repaired: &MeshView, before: &[Measured]) -> bool {
        let policies = [
            OutboundPolicy::AllowAny,
            OutboundPolicy::RegistryOnly,
            self.outbound,
        ];
        let mut environments = policies.into_iter().map(|outbound| Environment {
            outbound,
            ..self.environment()
        });
        environments.any(|environment| {
            before
                .iter()
                .flat_map(|one| reviewed(mesh, &one.dial))
                .flat_map(|dial| [unparsed(&dial), dial])
                .any(|dial| {
                    let before = simulate(mesh, &dial, &environment).outcome;
                    let after = simulate(repaired, &dial, &environment).outcome;
                    after == Outcome::Unknown
                        || before == Outcome::Unknown
                        || after.badness() > before.badness()
                })
        })
    }

    /// Whether a dial is one that a repair is to mend: not what the Sidecars and rules of another namespace
    /// do to its own.
    fn is_to_mend(&self, candidate: &Candidate, dial: &Dial, mesh: &MeshView) -> bool {
        let is_own = candidate.entry.namespace == dial.namespace;
        candidate.is_for(dial, mesh)
            && self.is_spoken_of(dial, mesh)
            && (is_own || !self.has_others(&dial.namespace))
    }

    /// What a repair does that it must not.
    fn harm(
        &self,
        candidate: &Candidate,
        mesh: &MeshView,
        before: &[Measured],
        after: &[Measured],
    ) -> Option<String> {
        before.iter().zip(after).find_map(|(before, after)| {
            let dial = &after.dial;
            let is_for = self.is_to_mend(candidate, dial, mesh);
            let is_others = candidate.offer != Offer::Withheld && candidate.is_taken(after, mesh);
            let fails = is_for && after.badness() > 0 && !is_others;
            let worse = after.badness() > before.badness();
            (fails || worse).then(|| {
                let (dial, then, once) = (shown(dial), &after.met, &before.met);
                format!("{dial} meets {then} then, {once} before")
            })
        })
    }
}

/// The dial of a client that does not speak HTTP/1.1, which an HTTP port lets pass.
fn unparsed(dial: &Dial) -> Dial {
    Dial {
        speech: Speech::ConnectHttp10,
        ..dial.clone()
    }
}

/// First a dial as a review makes it, which does not know the client's labels; then those that clients of the
/// other family make on its port, whom the shape does not have.
pub(super) fn reviewed(mesh: &MeshView, dial: &Dial) -> Vec<Dial> {
    let entries = mesh
        .entries()
        .filter(|entry| entry.port(dial.port).is_some());
    let others = entries.flat_map(listed);
    let others = others.filter(|other| Family::of(*other) != Family::of(dial.address));
    let addresses = [dial.address].into_iter().chain(others);
    let dials = addresses.map(|address| Dial {
        labels: None,
        address,
        ..dial.clone()
    });
    dials.collect()
}

/// The repair that the product would send, or else for each claimed port what it offers or withholds.
fn candidates(entry: &ServiceEntry, object: &Value, context: Context<'_>) -> Vec<Candidate> {
    let findings = evaluate(entry, context);
    let subject = Subject::new(entry, context);
    if let Some((edits, mended)) = repair(&findings, entry, &context, TODAY) {
        let repaired = edited(object, &edits);
        let after: ServiceEntry = serde_json::from_value(repaired.clone()).expect("an entry");
        if !leaves_an_error(&evaluate(&after, context), &after, &context, TODAY) {
            let ports: Vec<u16> = mended.iter().filter_map(|one| one.port).collect();
            return vec![Candidate {
                offer: Offer::Safe,
                object: repaired,
                entry: entry.clone(),
                claimed: claimed(&subject, &ports),
            }];
        }
    }
    let mut candidates = Vec::new();
    for (index, port) in entry.ports.iter().enumerate() {
        let own: Vec<&Finding> = findings
            .iter()
            .filter(|one| one.port == Some(port.number))
            .collect();
        let claimed = claimed(&subject, &[port.number]);
        // What is TCP already would only be told its location.
        if own.is_empty() || claimed.is_empty() || port.protocol == Protocol::Tcp {
            continue;
        }
        candidates.push(Candidate {
            offer: offer(&own),
            object: as_tcp(object, entry, index),
            entry: entry.clone(),
            claimed,
        });
    }
    candidates
}

/// What the findings about a port offer.
fn offer(findings: &[&Finding]) -> Offer {
    let is_proved = |finding: &&Finding| match &finding.fix {
        Some(fix) => !matches!(fix.safety, Safety::Unsafe { proof: None }),
        None => false,
    };
    match findings.iter().any(is_proved) {
        true => Offer::Proved,
        false => Offer::Withheld,
    }
}

/// Where the proxies are that the entry claims on ports.
fn claimed(subject: &Subject<'_>, ports: &[u16]) -> Vec<(IpAddr, u16)> {
    let claims = subject.claims.iter();
    let claims = claims.filter(|claim| ports.contains(&claim.port.number));
    let dials = claims.flat_map(|claim| {
        let addresses = claim.proxy.single_addresses();
        addresses.map(|address| (address, claim.port.number))
    });
    dials.collect()
}

fn edited(object: &Value, edits: &[Edit]) -> Value {
    let operations = edits.iter().map(|edit| {
        let path = edit.path.pointer();
        match &edit.operation {
            Operation::Add(value) => json!({"op": "add", "path": path, "value": value}),
            Operation::Replace(value) => json!({"op": "replace", "path": path, "value": value}),
            Operation::Remove => json!({"op": "remove", "path": path}),
        }
    });
    let patch: json_patch::Patch = serde_json::from_value(operations.collect()).expect("a patch");
    let mut object = object.clone();
    json_patch::patch(&mut object, &patch).expect("it applies");
    object
}

/// The repair that everyone would make.
fn as_tcp(object: &Value, entry: &ServiceEntry, port: usize) -> Value {
    let mut object = object.clone();
    object["spec"]["ports"][port]["protocol"] = json!("TCP");
    if !entry.needs_mesh_location() {
        object["spec"]["location"] = json!("MESH_EXTERNAL");
    }
    object
}

//! The repair of a port: TCP and MESH_EXTERNAL, offered as safe only with a proof.
//!
//! Two judges must agree. The *rule* looks at the one object and refuses every shape of which
//! the repaired twin was measured to misbehave (544 repairs against istiod of 2024-02 and
//! 2026-08: it calls 213 safe, of which 208 were). The *simulation* looks at everything in view.
//! Where the simulation shows harm, nothing is offered; where it proves a repair that the rule
//! refuses, the repair is offered to a person, with the proof in words.

mod obstacle;
mod plan;
mod proof;

use std::net::IpAddr;

use serde_json::Value;

use crate::mesh::line::NAME_CHARACTERS;
use crate::mesh::protocol::Protocol;
use crate::mesh::service_entry::{Location, Port};
use crate::mesh::validation::validate;
use crate::mesh::{FieldPath, ServiceEntry};

use super::claim::Claim;
use super::fix::{Edit, Fix, Safety};
use super::proxy::Evidence;
use super::spec::Mode;
use super::subject::Subject;
pub(crate) use obstacle::leads_to_another_port;
use obstacle::obstacles;
pub use plan::Advice;
use plan::Plan;
use proof::{Proof, prove};

/// What is to be done about a port.
#[derive(Clone, Debug)]
pub struct Repair {
    /// The fix, where one may be offered.
    pub fix: Option<Fix>,
    /// The edit to make, for a person.
    pub advice: Advice,
}

/// What the repair of a port comes to, whichever proxy claims it.
#[derive(Debug)]
pub(crate) struct OfRepair {
    /// Whether one look at the object finds nothing against it.
    unopposed: bool,
    proof: Proof,
    /// Whether istiod accepts it.
    is_valid: bool,
    advice: Advice,
}

impl OfRepair {
    fn work_out(subject: &Subject<'_>, port: &Port) -> Self {
        if !subject.effort.for_repair() {
            return Self {
                unopposed: true,
                proof: Proof::Open,
                is_valid: false,
                advice: Advice::tcp_alone(),
            };
        }
        let candidate = repaired(subject.entry, port);
        let obstacles = obstacles(subject, port, &candidate);
        let proof = prove(subject, port, &candidate);
        let unopposed = obstacles.is_empty();
        // Where nothing stands against it, that was asked.
        let is_valid = unopposed || (proof == Proof::Holds && validate(&candidate).is_empty());
        let harm = match &proof {
            Proof::Harm(harm) if unopposed => Some(harm),
            _ => None,
        };
        let advice = Plan::new(subject, port, &candidate, &obstacles, harm).advice();
        Self {
            unopposed,
            proof,
            is_valid,
            advice,
        }
    }
}

/// Works out the repair of a claimed port.
pub fn repair(subject: &Subject<'_>, claim: &Claim<'_>) -> Repair {
    let port = claim.port;
    let of_port = &claim.of_port.repair;
    let of_port = of_port.get_or_init(|| OfRepair::work_out(subject, port));
    let safety = match (of_port.unopposed, &of_port.proof) {
        (true, Proof::Holds) if is_strong(subject, claim) => Some(Safety::Safe),
        (true, Proof::Holds) => Some(Safety::Unsafe { proof: None }),
        (false, Proof::Holds) if subject.context.sees_mesh && of_port.is_valid => {
            let proof = Some(proof_in_words(claim));
            Some(Safety::Unsafe { proof })
        }
        _ => None,
    };
    let fix = safety.map(|safety| Fix {
        safety,
        edits: edits(subject.entry, port),
    });
    let advice = of_port.advice.clone();
    Repair { fix, advice }
}

/// The same for a port with a protocol that Envoy does not parse as HTTP: its author means something by
/// it, so only a person turns it into TCP.
pub fn repair_by_a_person(subject: &Subject<'_>, claim: &Claim<'_>) -> Repair {
    let mut repair = repair(subject, claim);
    if let Some(fix) = repair.fix.as_mut().filter(|fix| fix.is_safe()) {
        let proof = subject.context.sees_mesh.then(|| proof_in_words(claim));
        fix.safety = Safety::Unsafe { proof };
    }
    repair
}

/// What the simulation proves where everything is in view.
fn proof_in_words(claim: &Claim<'_>) -> String {
    format!(
        "with every object in view, each dial of port {} to {} then tunnels, and none gets worse",
        claim.port.number,
        claim.proxy.called(NAME_CHARACTERS)
    )
}

/// The edit to make for a claimed port that is not to be repaired: nothing is proved about it.
pub fn advice(subject: &Subject<'_>, port: &Port) -> Advice {
    if !subject.effort.for_repair() {
        return Advice::tcp_alone();
    }
    let candidate = repaired(subject.entry, port);
    let obstacles = obstacles(subject, port, &candidate);
    Plan::new(subject, port, &candidate, &obstacles, None).advice()
}

/// The object as the repair leaves it.
pub fn repaired(entry: &ServiceEntry, port: &Port) -> ServiceEntry {
    let mut candidate = entry.clone();
    for own in candidate
        .ports
        .iter_mut()
        .filter(|own| own.index == port.index)
    {
        own.protocol = Protocol::Tcp;
        own.protocol_text = Some("TCP".into());
    }
    if !entry.needs_mesh_location() {
        candidate.location = Location::External;
    }
    candidate
}

/// The edits of the repair: `protocol: TCP`, and `location: MESH_EXTERNAL` written out unless
/// something asks for mutual TLS inside the mesh.
fn edits(entry: &ServiceEntry, port: &Port) -> Vec<Edit> {
    let written = port.protocol_text.is_some();
    let mut edits = vec![Edit::set(port.path("protocol"), written, "TCP")];
    if entry.location != Location::External && !entry.needs_mesh_location() {
        let path = FieldPath::spec().key("location");
        let present = entry.location == Location::Internal;
        edits.push(Edit::set(path, present, "MESH_EXTERNAL"));
    }
    edits
}

/// A policy has to vouch for the proxy before a port is changed without asking.
fn is_strong(subject: &Subject<'_>, claim: &Claim<'_>) -> bool {
    match claim.proxy.evidence {
        Evidence::Declared => true,
        Evidence::Observed => {
            let mut policies = subject.context.policies.about(&claim.proxy);
            policies.any(|policy| policy.observed >= Mode::Mutate)
        }
        Evidence::Suspected => false,
    }
}

/// A list of IPs as a JSON value.
pub(crate) fn address_list(addresses: impl IntoIterator<Item = IpAddr>) -> Value {
    addresses
        .into_iter()
        .map(|ip| Value::from(ip.to_string()))
        .collect()
}

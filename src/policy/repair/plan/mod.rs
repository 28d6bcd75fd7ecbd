//! What a person has to do about a port beside `protocol: TCP`. It is said at length and in a few
//! words from one plan, so that a lint, a denial and a warning never disagree.

use std::net::IpAddr;

use crate::mesh::address::Address;
use crate::mesh::service_entry::{Port, Resolution, WrittenAddress};
use crate::mesh::simulation::Outcome;
use crate::mesh::{FieldPath, ServiceEntry};
use crate::policy::subject::Subject;
use crate::policy::words::{BRIEF_LIST_CHARACTERS, LIST_CHARACTERS, addresses_field, in_a_row};

use super::obstacle::{Obstacle, endpoints_are, rejections};
use super::proof::Harm;

/// The edit to make, in two lengths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Every step with its reason, without a full stop.
    pub at_length: String,
    /// The steps alone.
    pub in_brief: String,
}

impl Advice {
    /// Where what else there is to do was not worked out.
    pub(super) fn tcp_alone() -> Self {
        Self {
            at_length: "Set protocol: TCP".to_owned(),
            in_brief: "set TCP".to_owned(),
        }
    }
}

/// What is to be done, step by step, and the object as that leaves it.
pub(super) struct Plan {
    steps: Vec<Step>,
    /// What speaks against TCP, and no step helps against.
    left: Option<String>,
    planned: ServiceEntry,
}

struct Step {
    at_length: String,
    in_brief: Deed,
    reasons: Vec<String>,
}

enum Deed {
    /// A field that is set, as TCP is.
    Sets(String),
    /// Anything else.
    Does(String),
}

impl Plan {
    /// Takes what stands in the way of `candidate` out of it.
    pub(super) fn new(
        subject: &Subject<'_>,
        port: &Port,
        candidate: &ServiceEntry,
        obstacles: &[Obstacle],
        harm: Option<&Harm>,
    ) -> Self {
        let mut plan = Self {
            steps: Vec::new(),
            left: None,
            planned: candidate.clone(),
        };
        if obstacles.is_empty() && harm.is_none() {
            return plan;
        }
        plan.set_addresses(subject, port, obstacles, harm);
        plan.forward_as_dialled(obstacles, harm);
        if obstacles.contains(&Obstacle::OtherPort) {
            plan.keep_the_port(port);
        }
        if plan.steps.is_empty() {
            plan.left = harm.map(|harm| harm.text.clone());
        }
        plan.mend(subject);
        plan
    }

    fn step(&mut self, at_length: impl Into<String>, in_brief: Deed, reasons: Vec<String>) {
        self.steps.push(Step {
            at_length: at_length.into(),
            in_brief,
            reasons,
        });
    }

    fn set_addresses(
        &mut self,
        subject: &Subject<'_>,
        port: &Port,
        obstacles: &[Obstacle],
        harm: Option<&Harm>,
    ) {
        let entry = subject.entry;
        let known = subject.known_addresses();
        let missing = harm.filter(|harm| {
            let closed = matches!(harm.outcome, Outcome::BlackHole | Outcome::NotFound);
            closed && known.contains(&harm.address) && !entry.lists(harm.address)
        });
        let reasons = obstacles.iter().filter_map(|obstacle| match obstacle {
            Obstacle::NoAddress => Some(format!(
                "without one TCP would take port {} for every destination",
                port.number
            )),
            Obstacle::UnusableAddress => Some("not all that is there can be dialled".to_owned()),
            Obstacle::Range => Some("a range takes every IP in it".to_owned()),
            Obstacle::PrefixWithDns => Some("istiod rejects a slash with DNS".to_owned()),
            _ => None,
        });
        let mut reasons: Vec<String> = reasons.collect();
        reasons.extend(missing.map(Harm::with_tcp_alone));
        if reasons.is_empty() && !obstacles.contains(&Obstacle::DynamicDns) {
            return;
        }
        let mut addresses = known.to_vec();
        if missing.is_some() {
            let own = entry.usable_addresses();
            addresses.splice(0..0, own.filter(|ip| !known.contains(ip)));
        }
        let written = addresses.iter().map(|ip| WrittenAddress {
            text: ip.to_string().into(),
            address: Address::Single(*ip),
        });
        self.planned.addresses = written.collect();
        self.step(
            format!("set {}", addresses_field(&addresses, LIST_CHARACTERS)),
            Deed::Sets(addresses_field(&addresses, BRIEF_LIST_CHARACTERS)),
            reasons,
        );
    }

    /// Resolution NONE forwards to the address dialled. Where a selector says that the proxy runs
    /// in the mesh, its workloads are meant: then the entry is split.
    fn forward_as_dialled(&mut self, obstacles: &[Obstacle], harm: Option<&Harm>) {
        let entry = &self.planned;
        if entry.resolution == Resolution::None {
            if !entry.endpoints.is_empty() {
                let reason = "istiod rejects endpoints with resolution NONE".to_owned();
                self.remove_endpoints(vec![reason]);
            }
            return;
        }
        let mut reasons = against_resolution(entry, obstacles);
        let elsewhere =
            harm.filter(|harm| matches!(harm.outcome, Outcome::Hijacked | Outcome::NoEndpoints));
        reasons.extend(elsewhere.map(Harm::with_tcp_alone));
        if reasons.is_empty() {
            return;
        }
        if entry.workload_selector.is_some() {
            let each = match entry.hosts.len() > 1 {
                true => "write one entry a host",
                false => "write one entry an address",
            };
            return self.step(each, Deed::Does(each.to_owned()), reasons);
        }
        let only_hosts = matches!(obstacles, [Obstacle::SeveralHosts]) && entry.hosts.len() > 1;
        let or = if only_hosts {
            ", or write one entry a host"
        } else {
            ""
        };
        let endpoints = !entry.endpoints.is_empty();
        self.planned.resolution = Resolution::None;
        let deed = Deed::Sets("resolution: NONE".to_owned());
        self.step(format!("set resolution: NONE{or}"), deed, reasons);
        if endpoints {
            self.remove_endpoints(vec!["NONE takes none".to_owned()]);
        }
    }

    fn remove_endpoints(&mut self, reasons: Vec<String>) {
        self.planned.endpoints.clear();
        let remove = "remove the endpoints";
        self.step(remove, Deed::Does(remove.to_owned()), reasons);
    }

    fn keep_the_port(&mut self, port: &Port) {
        let leads_away = |target: &u16| *target != port.number;
        let mut fields = Vec::new();
        if port.target_port.as_ref().is_some_and(leads_away) {
            fields.push(port.path("targetPort").shown());
        }
        for (index, endpoint) in self.planned.endpoints.iter_mut().enumerate() {
            if endpoint.ports.get(&port.name).is_some_and(leads_away) {
                endpoint.ports.remove(&port.name);
                let path = FieldPath::spec().key("endpoints").index(index);
                fields.push(path.key("ports").key(&port.name).shown());
            }
        }
        let own = self.planned.ports.iter_mut();
        for own in own.filter(|own| own.index == port.index) {
            own.target_port = None;
        }
        // Removed with the endpoints.
        let Some(first) = fields.first() else {
            return;
        };
        let remove = match fields.len() {
            1 => format!("remove {first}"),
            count => format!("remove {first} and {} more", count - 1),
        };
        let reason = format!("it leads away from port {}", port.number);
        self.step(&*remove, Deed::Does(remove.clone()), vec![reason]);
    }

    /// What istiod would refuse even then; an entry that is to be split is not looked at.
    fn mend(&mut self, subject: &Subject<'_>) {
        if self.planned.workload_selector.is_some() && !self.steps.is_empty() {
            return;
        }
        let Some(rejection) = rejections(subject, &self.planned).next() else {
            return;
        };
        let field = rejection.path.shown();
        self.step(
            format!("mend {field} first: {}", rejection.rule),
            Deed::Does(format!("mend {field}")),
            Vec::new(),
        );
    }

    pub(super) fn advice(&self) -> Advice {
        let mut at_length = "Set protocol: TCP".to_owned();
        let (mut sets, mut does) = (vec!["TCP".to_owned()], Vec::new());
        for step in &self.steps {
            at_length.push_str(&format!("; {}", step.at_length));
            if !step.reasons.is_empty() {
                at_length.push_str(&format!(" ({})", step.reasons.join("; ")));
            }
            match &step.in_brief {
                Deed::Sets(field) => sets.push(field.clone()),
                Deed::Does(deed) => does.push(deed.clone()),
            }
        }
        let comma = if sets.len() > 1 || does.len() > 1 {
            ","
        } else {
            ""
        };
        let mut in_brief = format!("set {}", in_a_row(&sets));
        if !does.is_empty() {
            in_brief.push_str(&format!("{comma} and {}", in_a_row(&does)));
        }
        if let Some(left) = &self.left {
            at_length.push_str(&format!("; but {left}"));
            in_brief.push_str(", but not by itself");
        }
        Advice {
            at_length,
            in_brief,
        }
    }
}

/// Why a resolution other than NONE stands in the way of an entry with the addresses that are
/// advised.
fn against_resolution(entry: &ServiceEntry, obstacles: &[Obstacle]) -> Vec<String> {
    let resolution = entry.resolution.name();
    let mut reasons = Vec::new();
    if obstacles.contains(&Obstacle::DynamicDns) {
        reasons.push("DYNAMIC_DNS cannot be TCP".to_owned());
    }
    if obstacles.contains(&Obstacle::SeveralHosts) {
        let hosts = match entry.hosts.len() > 1 {
            true => "several hosts",
            false => "a wildcard host",
        };
        reasons.push(format!(
            "istiod rejects {hosts} on a TCP port with {resolution}"
        ));
    }
    if obstacles.contains(&Obstacle::StaticWithoutEndpoints) {
        reasons.push("STATIC without endpoints has nowhere to forward to".to_owned());
        return reasons;
    }
    let own: Vec<IpAddr> = entry.usable_addresses().collect();
    let fixed = entry.resolution == Resolution::Static && !entry.endpoints.is_empty();
    if own.len() > 1 {
        reasons.push(format!(
            "{resolution} leads every address to the same endpoints"
        ));
    } else if fixed && !own.is_empty() && !endpoints_are(entry, &own) {
        reasons.push("the endpoints are not the address dialled".to_owned());
    }
    reasons
}

#[cfg(test)]
mod tests;

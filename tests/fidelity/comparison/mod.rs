//! What is predicted of a shape, against what istiod and Envoy do with it.
//!
//! [`measure`] compares what connections meet and who decided it, [`findings`] what the checks say of it,
//! and [`repairs`] what becomes of it once the product's repairs are made. All of it goes into a
//! [`record`].

mod dials;
mod findings;
mod measure;
pub(crate) mod record;
pub(crate) mod repairs;
pub(crate) mod settings;
mod stored;

use jiff::civil::Date;
use libtest_mimic::Failed;
use serde_json::Value;
use tunnelguard::mesh::simulation::{Names, OutboundPolicy};
use tunnelguard::mesh::validation::validate;
use tunnelguard::mesh::{Dial, Environment, MeshView, ServiceEntry};
use tunnelguard::policy::{Context, PolicySet};

use crate::lab::{Allocated, Application, Lab, names};
use crate::shape::Shape;
use record::Record;
use stored::{mesh_of, stored};

/// When policies are read: no exemption depends on it.
const TODAY: Date = Date::constant(2026, 1, 1);

/// Compares under one outbound policy, for the record. An error has all disagreements.
pub(crate) fn compare(lab: &Lab, shape: &Shape, outbound: OutboundPolicy) -> Result<(), Failed> {
    let (record, disagreements) = attempt(lab, shape, outbound);
    record.keep();
    match disagreements.is_empty() {
        true => Ok(()),
        false => Err(disagreements.join("\n").into()),
    }
}

/// Compares, and says what was seen and what disagrees.
pub(crate) fn attempt(lab: &Lab, shape: &Shape, outbound: OutboundPolicy) -> (Record, Vec<String>) {
    let mut comparison = Comparison {
        lab,
        shape,
        outbound,
        names: names(),
        policies: shape.policies(),
        allocated: Vec::new(),
        disagreements: Vec::new(),
        record: Record::new(&shape.name, lab.version, outbound),
    };
    comparison.verdicts();
    lab.set_outbound(outbound);
    match stored(lab, shape) {
        Some(objects) => comparison.behaviour(&objects),
        None => comparison.record.refused = true,
    }
    comparison.conclude()
}

/// One shape under one outbound policy.
struct Comparison<'a> {
    lab: &'a Lab,
    shape: &'a Shape,
    outbound: OutboundPolicy,
    names: Names,
    /// What declares the proxies.
    policies: PolicySet,
    /// What istiod allocated to the hosts.
    allocated: Vec<Allocated>,
    disagreements: Vec<String>,
    record: Record,
}

impl Comparison<'_> {
    fn environment(&self) -> Environment<'_> {
        Environment {
            outbound: self.outbound,
            version: self.lab.version,
            names: Some(&self.names),
            captures_dns: self.shape.dns_capture,
            ..Environment::default()
        }
    }

    fn context<'a>(&'a self, mesh: &'a MeshView) -> Context<'a> {
        Context {
            policies: &self.policies,
            mesh,
            sees_mesh: true,
            namespaces: None,
            environment: self.environment(),
        }
    }

    fn disagree(&mut self, what: String) {
        self.disagreements.push(what);
    }

    /// istiod's own verdict on each object.
    fn verdicts(&mut self) {
        for object in &self.shape.objects {
            // Of other kinds no verdict is predicted.
            if object["kind"] != "ServiceEntry" {
                continue;
            }
            let entry: ServiceEntry = serde_json::from_value(object.clone()).expect("an entry");
            let predicted = validate(&entry);
            let objection = self.lab.objection(object);
            self.record.verdicts += 1;
            if predicted.is_empty() == objection.is_none() {
                continue;
            }
            let rules: Vec<String> = predicted.iter().map(|one| one.rule.to_string()).collect();
            let objection = objection.unwrap_or_else(|| "nothing".to_owned());
            self.disagree(format!(
                "{}: validation predicted {rules:?}, istiod has {objection} against it",
                entry.name
            ));
        }
    }

    /// What the sidecar does with the objects, as stored.
    fn behaviour(&mut self, objects: &[Value]) {
        let (mesh, allocated) = self.mesh(objects);
        self.allocated = allocated;
        let dials = self.dials(&mesh);
        let before = self.measure(&mesh, &dials, "");
        self.record
            .measured(&self.own_dials(), &before, &self.allocated);
        self.findings(&mesh, &before);
        self.repairs(objects, &mesh, &before);
    }

    /// The mesh of objects as stored, and the addresses that istiod allocated to their hosts.
    fn mesh(&self, objects: &[Value]) -> (MeshView, Vec<Allocated>) {
        let mut objects = objects.to_vec();
        let named: Vec<_> = self.shape.named().collect();
        let allocated = match self.shape.dns_capture {
            true => self.lab.allocate(&mut objects, &named),
            false => Vec::new(),
        };
        (mesh_of(&objects), allocated)
    }

    /// The dials that the shape names.
    fn own_dials(&self) -> Vec<(Application, Dial)> {
        self.shape.dials(&self.allocated)
    }

    fn conclude(mut self) -> (Record, Vec<String>) {
        self.record.disagreements = self.disagreements.len();
        (self.record, self.disagreements)
    }
}

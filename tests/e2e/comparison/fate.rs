//! What becomes of a CONNECT, as the simulation has it.

use std::net::SocketAddr;

use serde_json::Value;
use tunnelguard::mesh::simulation::{Names, Speech};
use tunnelguard::mesh::validation::validate;
use tunnelguard::mesh::{Dial, Environment, MeshView, Outcome, ServiceEntry, simulate};
use tunnelguard::state;

use crate::harness::repository;

/// Where host names lead.
pub(super) struct Fates {
    names: Names,
}

/// What becomes of the two dials of a row with an entry in the mesh, and nothing else.
#[derive(PartialEq, Eq)]
pub(super) struct Fate {
    outcomes: Vec<Outcome>,
    /// Whether istiod's own webhook would refuse the entry.
    refused: bool,
}

impl Fates {
    /// Hosts lead where the policies say, any other somewhere else.
    pub(super) fn new(policies: &[&str]) -> Self {
        let policies: Vec<_> = policies.iter().map(|path| repository(path)).collect();
        let policies = state::load(&policies).unwrap_or_else(|error| panic!("{error}"));
        let mut names = policies.proxies.names().clone();
        let elsewhere = "10.40.0.7".parse().expect("an address");
        names.insert("ledger.example.com".into(), vec![elsewhere]);
        Self { names }
    }

    pub(super) fn of(&self, object: &Value, dials: &[SocketAddr; 2], tls: Option<&str>) -> Fate {
        let entry: ServiceEntry = serde_json::from_value(object.clone()).expect("an entry");
        let mut mesh = MeshView::new();
        mesh.upsert(entry.clone());
        let environment = Environment {
            names: Some(&self.names),
            ..Environment::default()
        };
        let outcome = |dialled: &SocketAddr| {
            let dial = Dial {
                namespace: entry.namespace.clone(),
                labels: None,
                address: dialled.ip(),
                port: dialled.port(),
                speech: tls.map_or(Speech::Connect, |name| Speech::Tls(Some(name.into()))),
            };
            simulate(&mesh, &dial, &environment).assumed()
        };
        Fate {
            outcomes: dials.iter().map(outcome).collect(),
            refused: !validate(&entry).is_empty(),
        }
    }
}

impl Fate {
    /// Whether both dials tunnel.
    pub(super) fn is_good(&self) -> bool {
        !self.refused
            && self
                .outcomes
                .iter()
                .all(|outcome| *outcome == Outcome::Tunnel)
    }

    pub(super) fn told(&self) -> String {
        let words: Vec<&str> = self.outcomes.iter().map(|outcome| word(*outcome)).collect();
        match self.refused {
            true => format!("{}, istiod refuses", words.join(" / ")),
            false => words.join(" / "),
        }
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Tunnel => "tunnels",
        Outcome::NotFound => "404",
        Outcome::Hijacked => "hijacked",
        Outcome::NoEndpoints | Outcome::BlackHole => "closed",
        Outcome::Wrapped | Outcome::Unknown => "unknown",
    }
}

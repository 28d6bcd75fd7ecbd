//! The index leaves out nothing that decides: a dial ends the same, because of the same object,
//! where every entry and Service is looked at.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use tunnelguard::mesh::kubernetes::{EndpointSlice, read_service, with_slices};
use tunnelguard::mesh::service_entry::Registry;
use tunnelguard::mesh::simulation::{Blame, Environment, IstioVersion};
use tunnelguard::mesh::view::{ObjectKey, Others, Overlay, Query, Ranked, Unmodelled};
use tunnelguard::mesh::{
    Dial, Labels, Mesh, MeshView, ServiceEntry, Sidecar, Speech, WorkloadEntry, simulate,
};

use super::strategies::{self, NAMESPACES, Noise};
use super::{config, outbound};
use crate::support;

/// Every object, whatever is asked.
struct Everything {
    entries: Vec<(u64, ServiceEntry)>,
    others: Others,
}

impl Everything {
    fn ranked(&self) -> impl Iterator<Item = Ranked<'_>> {
        let entries = self.entries.iter();
        entries.map(|(sequence, entry)| Ranked {
            entry,
            sequence: *sequence,
        })
    }
}

impl Mesh for Everything {
    fn deciders(&self, _: &Query<'_>) -> Vec<Ranked<'_>> {
        self.ranked().collect()
    }

    fn with_host(&self, host: &str) -> Vec<Ranked<'_>> {
        let listed = |ranked: &Ranked<'_>| ranked.entry.hosts.iter().any(|own| **own == *host);
        self.ranked().filter(listed).collect()
    }

    fn others(&self) -> &Others {
        &self.others
    }

    fn unmodelled(&self) -> Option<&Unmodelled> {
        None
    }

    fn ranges(&self, _: u16, _: usize) -> Vec<IpAddr> {
        Vec::new()
    }
}

fn entry() -> impl Strategy<Value = ServiceEntry> {
    strategies::entry(Noise::Silent).prop_map(|object| support::entry(&object))
}

const DIALLED: [&str; 7] = [
    "10.20.0.5",
    // Of IPv6, and where a Sidecar listens that captures nothing.
    "2001:db8::7",
    "127.0.0.1",
    "10.20.1.7",
    "10.96.0.9",
    "10.244.0.7",
    "240.240.0.7",
];

/// A Service on the proxies' port, with or without its EndpointSlice.
fn service() -> impl Strategy<Value = ServiceEntry> {
    let cluster_ips = [
        json!("None"),
        Value::Null,
        json!("10.96.0.9"),
        json!("10.20.0.5"),
    ];
    let ports = [
        "http",
        "http-proxy",
        "tcp",
        "squid",
        "tls",
        "mongo",
        "",
        "grpc",
    ];
    let endpoints = prop::option::of(vec(select(&DIALLED[..]), 0..3));
    let object = (
        select(NAMESPACES),
        "[a-c]",
        select(cluster_ips.to_vec()),
        select(ports.to_vec()),
    );
    (object, endpoints, any::<bool>()).prop_map(|(object, endpoints, private)| {
        let (namespace, name, cluster_ip, port) = object;
        let export = if private { "." } else { "" };
        let service = json!({
            "metadata": {"namespace": namespace, "name": name, "annotations": {"networking.istio.io/exportTo": export}},
            "spec": {"clusterIP": cluster_ip, "selector": {"app": "a"}, "ports": [{"name": port, "port": 3128}]},
        });
        let slice = json!({
            "metadata": {"namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": port, "port": 3128}], "endpoints": [{"addresses": endpoints}],
        });
        let slice = EndpointSlice::read(&slice).unwrap().filter(|_| endpoints.is_some());
        let slices: Vec<&EndpointSlice> = slice.iter().collect();
        let service = read_service(&service).unwrap().expect("a name");
        with_slices(service, &slices)
    })
}

/// A Sidecar of the client's namespace, for all of its clients.
fn sidecar() -> impl Strategy<Value = Sidecar> {
    let hosts = [
        "*/*",
        "./*",
        "prod/*",
        "default/my-company-proxy.com",
        "prod/my-company-proxy.com",
        "*/*.com",
        "*/*",
        "*/my-company-proxy.com",
        "~/my-company-proxy.com",
        "default/a.default.svc.cluster.local",
    ];
    let port = (
        select(vec![3128, 3128, 8080]),
        select(vec!["HTTP", "TCP", "TLS", "HTTP_PROXY", "Mongo", "UDP", ""]),
    );
    let bind = select(vec![
        json!({}),
        json!({}),
        json!({"captureMode": "NONE"}),
        json!({"bind": "10.20.0.5"}),
        json!({"bind": "0.0.0.0"}),
    ]);
    let listener = (
        prop::option::weighted(0.7, port),
        vec(select(hosts.to_vec()), 1..4),
        bind,
    );
    vec(listener, 1..3).prop_map(|listeners| {
        let egress = listeners.into_iter().map(|(port, hosts, mut egress)| {
            egress["hosts"] = json!(hosts);
            match port {
                Some((number, protocol)) => {
                    egress["port"] = json!({"number": number, "protocol": protocol});
                }
                // Istio refuses a `bind` without a port.
                None => drop(
                    egress
                        .as_object_mut()
                        .and_then(|egress| egress.remove("bind")),
                ),
            }
            egress
        });
        let egress: Vec<Value> = egress.collect();
        Sidecar::read(&json!({"metadata": {"name": "own"}, "spec": {"egress": egress}})).unwrap()
    })
}

/// A workload that selectors select.
fn workload() -> impl Strategy<Value = WorkloadEntry> {
    let object = (select(NAMESPACES), "[a-d]", select(&DIALLED[..]));
    (object, labels()).prop_map(|((namespace, name, address), labels)| {
        WorkloadEntry::read(&json!({
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"address": address, "labels": labels},
        }))
        .unwrap()
    })
}

fn labels() -> impl Strategy<Value = Labels> {
    let pairs = vec![("app", "squid"), ("app", "api"), ("tier", "vm")];
    let labels = vec(select(pairs), 0..3);
    labels.prop_map(|pairs| {
        let pairs = pairs.into_iter();
        pairs
            .map(|(label, value)| (label.into(), value.into()))
            .collect()
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_dial_ends_as_if_everything_was_looked_at(
        entries in vec(aged(), 0..8),
        put_in in prop::option::of((aged(), any::<bool>())),
        outbound in outbound(),
        sidecars in (prop::option::of(sidecar()), prop::option::of(sidecar()), any::<bool>()),
        workloads in vec(workload(), 0..3),
        captures_dns in any::<bool>(),
    ) {
        let (earlier, sidecar, is_first) = sidecars;
        let mut view = MeshView::new();
        // One that another takes the place of, or none, before the entries or after them.
        earlier.into_iter().for_each(|sidecar| view.upsert_sidecar(sidecar));
        let place = |view: &mut MeshView| match &sidecar {
            Some(sidecar) => view.upsert_sidecar(sidecar.clone()),
            None => view.remove_sidecar("default", "own"),
        };
        if is_first {
            place(&mut view);
        }
        entries.iter().for_each(|entry| view.upsert(entry.clone()));
        if !is_first {
            place(&mut view);
        }
        workloads.into_iter().for_each(|workload| view.upsert_workload_entry(workload));
        let stored = || (0..).zip(view.entries().cloned());
        let everything = |entries| Everything { entries, others: view.others().clone() };
        let environments = [IstioVersion::OLDEST, IstioVersion::NEWEST]
            .map(|version| Environment { outbound, version, captures_dns, ..Environment::default() });
        let Some((mut own, takes_a_place)) = put_in else {
            return same(&view, &everything(stored().collect()), &environments);
        };
        // Under review, it is new or takes the place of a stored one.
        let first = view.entries().find(|one| takes_a_place && one.registry == own.registry);
        if let Some(first) = first {
            own.name = first.name.clone();
            own.namespace = first.namespace.clone();
        }
        let twin = stored().find(|(_, entry)| ObjectKey::of(entry) == ObjectKey::of(&own));
        let mut all: Vec<(u64, ServiceEntry)> = stored().collect();
        let sequence = twin.map_or(all.len() as u64, |(sequence, _)| sequence);
        all.retain(|(known, _)| *known != sequence);
        all.push((sequence, own.clone()));
        same(&Overlay::with(&view, &own), &everything(all), &environments)?;
    }
}

/// An entry or a Service, of which several were created in one second.
fn aged() -> impl Strategy<Value = ServiceEntry> {
    let age = prop::option::weighted(0.8, 0..3i64);
    (prop_oneof![entry(), service()], age).prop_map(|(mut entry, age)| {
        entry.created = age;
        entry
    })
}

fn same(
    view: &dyn Mesh,
    everything: &Everything,
    environments: &[Environment<'_>],
) -> Result<(), TestCaseError> {
    for environment in environments {
        for dial in dials() {
            let indexed = simulate(view, &dial, environment);
            let all = simulate(everything, &dial, environment);
            prop_assert_eq!(indexed.outcome, all.outcome, "{:?}", dial);
            let by = |by: Option<Blame<'_>>| by.map(|by| by.entry.clone());
            prop_assert_eq!(by(indexed.by), by(all.by), "{:?}", dial);
        }
    }
    Ok(())
}

fn dials() -> impl Iterator<Item = Dial> {
    let server_name = Speech::Tls(Some("tls-proxy.com".into()));
    let speeches = [Speech::Connect, server_name].into_iter();
    speeches.flat_map(|speech| {
        DIALLED.map(|address| Dial {
            namespace: "default".into(),
            labels: None,
            address: address.parse().expect("an IP"),
            port: 3128,
            speech: speech.clone(),
        })
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_selector_selects_as_if_all_were_looked_at(
        workloads in vec((workload(), any::<bool>()), 0..8), selector in labels(),
    ) {
        let mut view = MeshView::new();
        for (workload, stays) in workloads {
            let (namespace, name) = (workload.namespace.clone(), workload.name.clone());
            view.upsert_workload_entry(workload);
            if !stays {
                view.remove_workload_entry(&namespace, &name);
            }
        }
        for namespace in NAMESPACES {
            let all = view.others().workload_entries(namespace).iter();
            let expected: Vec<_> = all.filter(|one| one.is_selected_by(&selector)).collect();
            prop_assert_eq!(view.others().selected_workloads(namespace, &selector), expected);
        }
    }

    /// What comes and goes for years does not add up, and in whatever order it came it is found.
    #[test]
    fn what_is_taken_out_leaves_nothing_behind(
        entries in vec(prop_oneof![entry(), service()], 0..6),
        sidecars in vec(sidecar(), 0..2),
    ) {
        let mut view = MeshView::new();
        for (number, mut entry) in entries.into_iter().enumerate() {
            entry.name = format!("entry-{number}").into();
            entry.name_is_generated = false;
            view.upsert(entry);
        }
        sidecars.into_iter().for_each(|sidecar| view.upsert_sidecar(sidecar));
        for registry in [Registry::Istio, Registry::Kubernetes] {
            let keys: Vec<ObjectKey> = view.keys(registry).cloned().collect();
            keys.iter().for_each(|key| view.remove(key));
        }
        view.remove_sidecar("default", "own");
        let left = format!("{view:?}");
        let nothing = format!("{:?}", MeshView::new());
        let up_to_the_next_place = |text: &str| text.rsplit_once(", next").map(|(rest, _)| rest.to_owned());
        prop_assert_eq!(up_to_the_next_place(&left), up_to_the_next_place(&nothing));
    }
}

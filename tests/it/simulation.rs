//! Proves that `simulate` says what real istiod and Envoy were measured to do, row by row.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tunnelguard::mesh::kubernetes::{EndpointSlice, read_service, with_slices};
use tunnelguard::mesh::protocol::Protocol;
use tunnelguard::mesh::service_entry::Location;
use tunnelguard::mesh::simulation::{Names, OutboundPolicy};
use tunnelguard::mesh::validation::validate;
use tunnelguard::mesh::{
    DestinationRule, Dial, Environment, MeshView, Outcome, Overlay, Prediction, ServiceEntry,
    Sidecar, Speech, WorkloadEntry, simulate,
};

#[derive(Deserialize)]
struct Basic {
    shape: String,
    spec: Value,
    #[serde(default)]
    beside: Vec<Value>,
    istio: Option<String>,
    aa: String,
    ro: String,
    tcp: [String; 2],
    valid: [bool; 2],
}

#[derive(Deserialize)]
struct Surprise {
    shape: String,
    entries: Vec<Value>,
    #[serde(default)]
    rules: Vec<Value>,
    #[serde(default)]
    workloads: Vec<Value>,
    #[serde(default)]
    sidecars: Vec<Value>,
    dials: BTreeMap<String, String>,
}

/// What each host resolves to, as in the lab: everything leads to the proxy.
fn names() -> Names {
    let hosts = [
        "my-company-proxy.com",
        "second.test",
        "api.test",
        "a.test",
        "b.test",
    ];
    hosts
        .into_iter()
        .map(|host| (host.into(), vec!["10.20.0.5".parse().unwrap()]))
        .collect()
}

/// A whole entry from a row's short form: port 3128 named `p`, host my-company-proxy.com.
fn entry(short: &Value, position: usize) -> ServiceEntry {
    if let Some(short) = short.get("service") {
        return service(short, position);
    }
    let mut spec = short.as_object().unwrap().clone();
    let mut port = json!({"number": 3128, "name": "p"});
    for field in ["number", "name", "protocol", "targetPort"] {
        if let Some(value) = spec.remove(field) {
            port[field] = value;
        }
    }
    let namespace = spec.remove("namespace").unwrap_or(json!("default"));
    let labels = spec.remove("labels");
    let given = spec.remove("given");
    spec.entry("hosts")
        .or_insert(json!(["my-company-proxy.com"]));
    let status =
        given.map(|value| json!({"addresses": [{"host": spec["hosts"][0], "value": value}]}));
    spec.insert("ports".to_owned(), json!([port]));
    let text = Value::Object(spec)
        .to_string()
        .replace("\"IP\"", "\"10.20.0.5\"");
    let spec: Value = serde_json::from_str(&text).unwrap();
    let metadata =
        json!({"name": format!("entry-{position}"), "namespace": namespace, "labels": labels});
    let object = json!({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": metadata, "spec": spec, "status": status});
    serde_json::from_value(object).unwrap()
}

/// A whole WorkloadEntry from a row's short form.
fn workload(short: &Value, position: usize) -> WorkloadEntry {
    let mut spec = short.as_object().unwrap().clone();
    let namespace = spec.remove("namespace").unwrap_or(json!("default"));
    let labels = spec.remove("metadataLabels");
    let name = format!("workload-{position}");
    let metadata = json!({"name": name, "namespace": namespace, "labels": labels});
    WorkloadEntry::read(&json!({"metadata": metadata, "spec": spec})).unwrap()
}

/// A whole DestinationRule from a row's short form.
fn rule(short: &Value, position: usize) -> DestinationRule {
    let mut spec = short.as_object().unwrap().clone();
    let namespace = spec.remove("namespace").unwrap_or(json!("default"));
    let tls = json!({"tls": {"mode": "SIMPLE"}});
    spec.entry("host").or_insert(json!("my-company-proxy.com"));
    spec.entry("trafficPolicy").or_insert(tls);
    let metadata = json!({"name": format!("rule-{position}"), "namespace": namespace});
    DestinationRule::read(&json!({"metadata": metadata, "spec": spec})).unwrap()
}

/// A whole Sidecar from a row's short form: an egress listener may be its hosts alone.
fn sidecar(short: &Value, position: usize) -> Sidecar {
    let listeners = short["egress"].as_array().into_iter().flatten();
    let listeners = listeners.map(|listener| match listener {
        Value::Array(hosts) => json!({"hosts": hosts}),
        whole => whole.clone(),
    });
    let mut spec = json!({"egress": listeners.collect::<Vec<_>>()});
    if let Some(labels) = short.get("labels") {
        spec["workloadSelector"] = json!({"labels": labels});
    }
    if let Some(outbound) = short.get("outbound") {
        spec["outboundTrafficPolicy"] = outbound.clone();
    }
    let name = format!("sidecar-{position}");
    Sidecar::read(
        &json!({"metadata": {"name": name, "namespace": short.get("namespace")}, "spec": spec}),
    )
    .unwrap()
}

/// A Service from its short form, with the EndpointSlice that it names.
fn service(short: &Value, position: usize) -> ServiceEntry {
    let mut spec = short.as_object().unwrap().clone();
    let mut port = json!({"port": 3128});
    for field in ["name", "appProtocol", "protocol"] {
        if let Some(value) = spec.remove(field) {
            port[field] = value;
        }
    }
    let namespace = spec.remove("namespace").unwrap_or(json!("default"));
    let annotations = json!({"networking.istio.io/exportTo": spec.remove("exportTo")});
    let endpoints = spec.remove("endpoints");
    let slice_port = spec.remove("slicePort").or(port.get("name").cloned());
    let name = format!("entry-{position}");
    let slice = json!({
        "metadata": {"namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "ports": [{"name": slice_port, "port": 3128}],
        "endpoints": [{"addresses": endpoints}],
    });
    spec.insert("ports".to_owned(), json!([port]));
    let metadata = json!({"name": name, "namespace": namespace, "annotations": annotations});
    let service = read_service(&json!({"metadata": metadata, "spec": spec})).unwrap();
    let service = service.expect("a name");
    let slice = EndpointSlice::read(&slice)
        .unwrap()
        .filter(|_| endpoints.is_some());
    let slices: Vec<&EndpointSlice> = slice.iter().collect();
    with_slices(service, &slices)
}

fn view(entries: &[ServiceEntry]) -> MeshView {
    let mut view = MeshView::new();
    for entry in entries {
        view.upsert(entry.clone());
    }
    view
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Tunnel => "t",
        Outcome::NotFound => "404",
        Outcome::Hijacked => "hij",
        Outcome::NoEndpoints => "uh",
        Outcome::BlackHole => "bh",
        Outcome::Wrapped => "tls",
        Outcome::Unknown => "unknown",
    }
}

fn connect(address: &str) -> Dial {
    Dial {
        namespace: "default".into(),
        labels: None,
        address: address.parse().unwrap(),
        port: 3128,
        speech: Speech::Connect,
    }
}

/// Own proxy / another on the port.
fn both(mesh: &dyn tunnelguard::mesh::Mesh, environment: &Environment<'_>) -> String {
    let outcome = |address| word(simulate(mesh, &connect(address), environment).outcome);
    format!("{}/{}", outcome("10.20.0.5"), outcome("10.20.0.6"))
}

#[test]
fn basic_table() {
    let rows: Vec<Basic> =
        serde_saphyr::from_str(include_str!("../fixtures/simulation/basic.yaml")).unwrap();
    assert!(rows.len() >= 40, "the table has lost rows: {}", rows.len());
    let names = names();
    for row in &rows {
        let versions = row
            .istio
            .as_deref()
            .map_or(vec!["1.21", "1.25", "1.31"], |v| vec![v]);
        for version in versions {
            basic_row(row, version, &names);
        }
    }
}

fn basic_row(row: &Basic, version: &str, names: &Names) {
    let shorts = std::iter::once(&row.spec).chain(&row.beside).enumerate();
    let entries: Vec<ServiceEntry> = shorts.map(|(n, short)| entry(short, n)).collect();
    let mesh = view(&entries);
    let mut twin = entries[0].clone();
    twin.ports[0].protocol = Protocol::Tcp;
    twin.location = Location::External;
    let repaired = Overlay::with(&mesh, &twin);
    let environment = |outbound| Environment {
        outbound,
        version: version.parse().unwrap(),
        names: Some(names),
        ..Environment::default()
    };
    let (aa, ro) = (OutboundPolicy::AllowAny, OutboundPolicy::RegistryOnly);
    let shape = &row.shape;
    assert_eq!(
        both(&mesh, &environment(aa)),
        row.aa,
        "{shape}, ALLOW_ANY, Istio {version}"
    );
    assert_eq!(
        both(&mesh, &environment(ro)),
        row.ro,
        "{shape}, REGISTRY_ONLY, Istio {version}"
    );
    assert_eq!(
        both(&repaired, &environment(aa)),
        row.tcp[0],
        "{shape} as TCP, ALLOW_ANY, Istio {version}"
    );
    assert_eq!(
        both(&repaired, &environment(ro)),
        row.tcp[1],
        "{shape} as TCP, REGISTRY_ONLY, Istio {version}"
    );
    let valid = [validate(&entries[0]).is_empty(), validate(&twin).is_empty()];
    assert_eq!(
        valid, row.valid,
        "{shape}: istiod's validation before and after"
    );
}

#[test]
fn surprises() {
    hold(include_str!("../fixtures/simulation/surprises.yaml"));
}

#[test]
fn destination_rules() {
    hold(include_str!(
        "../fixtures/simulation/destination_rules.yaml"
    ));
}

#[test]
fn workload_entries() {
    hold(include_str!("../fixtures/simulation/workload_entries.yaml"));
}

#[test]
fn sidecars() {
    hold(include_str!("../fixtures/simulation/sidecars.yaml"));
}

#[test]
fn dns_capture() {
    hold(include_str!("../fixtures/simulation/dns_capture.yaml"));
}

#[test]
fn services() {
    hold(include_str!("../fixtures/simulation/services.yaml"));
}

fn hold(rows: &str) {
    let rows: Vec<Surprise> = serde_saphyr::from_str(rows).unwrap();
    let names = names();
    for row in &rows {
        let entries: Vec<ServiceEntry> = row
            .entries
            .iter()
            .enumerate()
            .map(|(n, short)| entry(short, n + 1))
            .collect();
        let mut mesh = view(&entries);
        for (n, short) in row.rules.iter().enumerate() {
            mesh.upsert_destination_rule(rule(short, n));
        }
        for (n, short) in row.workloads.iter().enumerate() {
            mesh.upsert_workload_entry(workload(short, n));
        }
        for (n, short) in row.sidecars.iter().enumerate() {
            mesh.upsert_sidecar(sidecar(short, n));
        }
        for (dialled, expected) in &row.dials {
            let (dial, environment) = parse(dialled, &names);
            let prediction = simulate(&mesh, &dial, &environment);
            let met = met(&prediction, expected.contains(" by "));
            let why = prediction.why(&dial, &environment);
            assert_eq!(met, *expected, "{}: {dialled}: {why}", row.shape);
        }
    }
}

fn met(prediction: &Prediction<'_>, blamed: bool) -> String {
    let outcome = word(prediction.outcome);
    match (&prediction.by, blamed) {
        (Some(by), true) => format!(
            "{outcome} by {}",
            by.entry.name.trim_start_matches("entry-")
        ),
        _ => outcome.to_owned(),
    }
}

/// `ADDRESS [RO|DD] [dns] [1.x] [from=NS] [labels=[LABEL:VALUE]] [tls[=SNI]] [http10]`.
fn parse<'n>(text: &str, names: &'n Names) -> (Dial, Environment<'n>) {
    let mut words = text.split(' ');
    let mut dial = connect(words.next().unwrap());
    let mut environment = Environment {
        names: Some(names),
        ..Environment::default()
    };
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("dns", _) => environment.captures_dns = true,
            ("RO", _) => environment.outbound = OutboundPolicy::RegistryOnly,
            ("DD", _) => environment.outbound = OutboundPolicy::AllowAnyDynamicDns,
            ("labels", label) => {
                let pair = label.split_once(':');
                let pair = pair.map(|(label, value)| (label.into(), value.into()));
                dial.labels = Some(pair.into_iter().collect());
            }
            ("from", namespace) => dial.namespace = namespace.into(),
            ("tls", "") => dial.speech = Speech::Tls(None),
            ("tls", name) => dial.speech = Speech::Tls(Some(name.into())),
            ("http10", _) => dial.speech = Speech::ConnectHttp10,
            (version, _) => environment.version = version.parse().unwrap(),
        }
    }
    (dial, environment)
}

#[test]
fn equal_timestamps_fall_back_to_host_and_namespace() {
    let mut entries = vec![
        entry(
            &json!({"hosts": ["b.test"], "addresses": ["IP"], "protocol": "TCP"}),
            1,
        ),
        entry(
            &json!({"hosts": ["a.test"], "addresses": ["IP"], "protocol": "TCP"}),
            2,
        ),
    ];
    for entry in &mut entries {
        entry.created = Some(1_700_000_000);
    }
    let names = names();
    let environment = Environment {
        names: Some(&names),
        ..Environment::default()
    };
    let mesh = view(&entries);
    let by = simulate(&mesh, &connect("10.20.0.5"), &environment)
        .by
        .unwrap();
    assert_eq!(by.host, "a.test");
    entries[0].created = Some(1_600_000_000);
    let mesh = view(&entries);
    let by = simulate(&mesh, &connect("10.20.0.5"), &environment)
        .by
        .unwrap();
    assert_eq!(by.host, "b.test", "older first");
}

#[test]
fn one_second_host_and_namespace_leave_the_order_to_chance() {
    let first = json!({"protocol": "TCP"});
    let table = [
        // The older one has the cluster, and with NONE it forwards to whatever was dialled.
        (
            json!({"protocol": "TCP", "resolution": "DNS"}),
            Outcome::Unknown,
        ),
        (json!({"protocol": "TCP", "number": 8080}), Outcome::Tunnel),
        (
            json!({"protocol": "HTTP", "hosts": ["b.test"]}),
            Outcome::NotFound,
        ),
    ];
    let environment = Environment::default();
    for (second, expected) in table {
        let mut entries = [entry(&first, 1), entry(&second, 2)];
        for entry in &mut entries {
            entry.created = Some(1_700_000_000);
        }
        let outcome = |entries: &[ServiceEntry]| {
            simulate(&view(entries), &connect("10.20.0.6"), &environment).outcome
        };
        assert_eq!(outcome(&entries), expected, "{second}");
        entries.reverse();
        assert_eq!(outcome(&entries), expected, "{second}, seen first");
        entries[0].created = Some(1_700_000_001);
        assert_ne!(outcome(&entries), Outcome::Unknown, "{second}, younger");
    }
}

#[test]
fn the_view_is_updated_one_object_at_a_time() {
    let names = names();
    let environment = Environment {
        names: Some(&names),
        ..Environment::default()
    };
    let mut mesh = MeshView::new();
    let outcome = |mesh: &MeshView| simulate(mesh, &connect("10.20.0.5"), &environment).outcome;
    mesh.upsert(entry(&json!({"protocol": "HTTP"}), 1));
    assert_eq!(outcome(&mesh), Outcome::NotFound);
    mesh.upsert(entry(&json!({"protocol": "TCP"}), 1));
    assert_eq!(outcome(&mesh), Outcome::Tunnel);
    mesh.upsert(entry(
        &json!({"hosts": ["api.test"], "protocol": "HTTP"}),
        2,
    ));
    assert_eq!(outcome(&mesh), Outcome::NotFound);
    let gone = tunnelguard::mesh::view::ObjectKey::of(&entry(&json!({}), 2)).unwrap();
    mesh.remove(&gone);
    assert_eq!(outcome(&mesh), Outcome::Tunnel);
    assert_eq!(mesh.len(), 1);
}

//! AdmissionReviews that show each verdict of the policy in force.

use serde_json::{Value, json};

use crate::mesh::ServiceEntry;
use crate::policy::evaluate;
use crate::policy::proxy::{Evidence, Proxy};
use crate::policy::spec::Mode;
use crate::policy::verdict::{judge, repair};
use crate::state::Snapshot;

/// A review to send.
pub(super) struct Sample {
    /// What it shows.
    pub(super) title: String,
    /// Its file's name.
    pub(super) file: &'static str,
    /// `mutate` or `validate`.
    pub(super) path: &'static str,
    /// The AdmissionReview.
    pub(super) review: String,
}

/// One sample for each verdict that the policy can give: repaired, denied, warned.
pub(super) fn samples(snapshot: &Snapshot) -> Vec<Sample> {
    let mut namespaces = vec!["default"];
    for policy in &snapshot.policies.policies {
        namespaces.extend(policy.named_namespaces());
    }
    let mut samples: Vec<Sample> = Vec::new();
    for namespace in namespaces {
        let object = seed(snapshot, namespace);
        if let Some(sample) = show(snapshot, namespace, object)
            && samples.iter().all(|known| known.file != sample.file)
        {
            samples.push(sample);
        }
    }
    samples
}

/// The mistake that everybody makes: HTTP on a proxy's port, with its IP and resolution NONE.
fn seed(snapshot: &Snapshot, namespace: &str) -> Value {
    let declared = snapshot.policies.proxies.all().iter();
    let declared = declared.filter(|proxy| proxy.evidence == Evidence::Declared);
    let plain =
        |proxy: &&Proxy| !proxy.tls && !proxy.tunnel && proxy.single_addresses().next().is_some();
    let (host, address, port) = match declared.clone().find(plain) {
        Some(proxy) => {
            let address = proxy.single_addresses().next().map(|ip| ip.to_string());
            let host = proxy
                .server_name()
                .unwrap_or("proxy.example.com")
                .to_owned();
            (host, address.unwrap_or_default(), proxy.ports[0])
        }
        None => ("squid.example.com".to_owned(), "192.0.2.5".to_owned(), 3128),
    };
    let address = match address.contains(':') {
        true => format!("{address}/128"),
        false => format!("{address}/32"),
    };
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "corporate-proxy", "namespace": namespace},
        "spec": {
            "hosts": [host],
            "addresses": [address],
            "ports": [{"number": port, "name": "http", "protocol": "HTTP"}],
            "resolution": "NONE"
        }
    })
}

fn show(snapshot: &Snapshot, namespace: &str, object: Value) -> Option<Sample> {
    let context = snapshot.context();
    let today = crate::commands::today();
    let entry: ServiceEntry = serde_json::from_value(object.clone()).ok()?;
    let findings = evaluate(&entry, context);
    let repaired = repair(&findings, &entry, &context, today).is_some();
    let verdict = judge(findings, &entry, None, &context, today);
    let mode = snapshot
        .policies
        .policies
        .iter()
        .map(|policy| policy.mode_in(context.namespace(namespace)))
        .max();
    let mode = mode.unwrap_or(Mode::Audit);
    let (what, file, path) = match (repaired, verdict.is_allowed(), verdict.warned.is_empty()) {
        (true, _, _) => ("repaired", "repaired.json", "mutate"),
        (false, false, _) => ("denied", "denied.json", "validate"),
        (false, true, false) => ("warned about", "warned.json", "validate"),
        (false, true, true) => return None,
    };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "3f1c1f6e-6f0c-4c0a-9d43-2a3b7a5d9a01",
            "kind": {"group": "networking.istio.io", "version": "v1", "kind": "ServiceEntry"},
            "resource": {"group": "networking.istio.io", "version": "v1", "resource": "serviceentries"},
            "namespace": namespace,
            "name": "corporate-proxy",
            "operation": "CREATE",
            "dryRun": false,
            "object": object,
            "oldObject": null
        }
    });
    Some(Sample {
        title: format!("HTTP on a proxy's port, in namespace {namespace} ({mode:?}): {what}"),
        file,
        path,
        review: review.to_string(),
    })
}

//! `trace`: the outcome of one dial, because of whom, and why; as JSON with always the same keys.

use serde_json::{Value, json};

use super::{bad, entry, good, policy, rows};
use crate::support::{Files, Finished, run};

/// A Service with port 3128 of that name.
fn service(name: &str, cluster_ip: &str, port: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{{cluster_ip}selector: {{app: a}}, ports: [{{name: {port}, port: 3128}}]}}\n"
    )
}

const SLICE: &str = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: squid-x, labels: {kubernetes.io/service-name: squid}}
addressType: IPv4
ports: [{name: tcp, port: 3128}]
endpoints: [{addresses: [10.244.0.7]}]
";

const ENDPOINTS: &str = "
apiVersion: v1
kind: Endpoints
metadata: {name: squid}
subsets: [{addresses: [{ip: 10.244.0.7}], ports: [{name: tcp, port: 3128}]}]
";

/// One for the clients labelled `app: web`, one for the others.
const SIDECARS: &str = "
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: others}
spec:
  egress: [{port: {number: 3128, protocol: HTTP}, hosts: [./*]}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web}
spec:
  workloadSelector: {labels: {app: web}}
  egress: [{hosts: [istio-system/*]}]
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
";

/// The files that the rows of [`outcomes`] name.
fn mesh() -> Files {
    let in_namespace = |text: String, namespace: &str| {
        text.replacen(
            "metadata:\n",
            &format!("metadata:\n  namespace: {namespace}\n"),
            1,
        )
    };
    let host = "my-company-proxy.com";
    let first = entry("first", host, "10.20.0.5", "HTTP");
    let second = entry("second", host, "10.20.0.5", "TCP");
    let api = entry("api", "api.example.com", "10.40.0.0/16", "HTTP");
    let target = format!(
        "{}    targetPort: 8080\n",
        entry("target", host, "10.20.0.5", "TCP")
    );
    let same_range = entry("range", "range.example.com", "10.50.0.0/16", "TCP");
    let dns = |name: &str, endpoint: &str| {
        let text = entry(name, &format!("{name}.example.com"), "10.60.0.1", "TCP");
        format!("{text}  resolution: STATIC\n  endpoints: [{{address: {endpoint}}}]\n")
    };
    Files::new(&[
        ("policy.yaml", policy()),
        ("http.yaml", bad()),
        ("tcp.yaml", good()),
        ("api.yaml", api),
        ("range.yaml", same_range),
        (
            "service.yaml",
            service("web", "clusterIP: 10.96.0.9, ", "http-proxy"),
        ),
        (
            "headless.yaml",
            service("squid", "clusterIP: None, ", "tcp"),
        ),
        ("slice.yaml", SLICE.to_owned()),
        ("endpoints.yaml", ENDPOINTS.to_owned()),
        (
            "rule.yaml",
            "apiVersion: networking.istio.io/v1\nkind: EnvoyFilter\nmetadata: {name: web}\n"
                .to_owned(),
        ),
        ("sidecar.yaml", SIDECARS.to_owned()),
        ("target.yaml", target),
        (
            "two-namespaces.yaml",
            format!(
                "{}---\n{}",
                in_namespace(first, "a"),
                in_namespace(second, "b")
            ),
        ),
        ("a-order.yaml", dns("one", "10.60.0.1")),
        ("b-order.yaml", dns("two", "10.60.0.2")),
        ("broken.yaml", format!("a: [\n---\n{}", bad())),
        ("template.yaml", "{{ if }}\na: b\n{{ end }}\n".to_owned()),
        (
            "ports.yaml",
            good().replace("10.20.0.5", "10.20.1.7, 10.20.1.8"),
        ),
        ("empty.yaml", String::new()),
    ])
}

#[test]
fn outcomes() {
    let files = mesh();
    for row in rows("trace.txt") {
        let [line, outcome, by, why] = row.each_ref().map(String::as_str);
        let ended = run(files.path(), &format!("trace {line} --format json"), b"");
        assert_eq!(ended.status, Some(0), "{line}: {ended}");
        let trace = ended.json();
        assert_eq!(trace["outcome"], outcome, "{line}: {trace}");
        assert_eq!(
            trace["by"]["name"].as_str().unwrap_or_default(),
            by,
            "{line}: {trace}"
        );
        let told = trace["why"].as_str().expect("a reason");
        assert!(told.contains(why), "{line}: {told}");
        let human = run(files.path(), &format!("trace {line}"), b"");
        assert!(
            human.stdout.contains(&format!("\n{outcome}: {told}\n")),
            "{line}: {human}"
        );
    }
}

#[test]
fn keys() {
    let files = mesh();
    let trace = |line: &str| run(files.path(), &format!("trace {line} --format json"), b"").json();
    let expected = json!({
        "dial": {"address": "10.20.0.5", "port": 3128, "from": "team-a", "tls": true},
        "outcome": "NotFound",
        "by": {"kind": "ServiceEntry", "namespace": "default", "name": "bad", "host": "my-company-proxy.com", "port": 3128},
        "sidecar": null,
        "why": null,
        "path": null,
    });
    let mut found = trace("10.20.0.5:3128 -f http.yaml --from team-a");
    assert!(found["why"].take().is_string());
    let path = found["path"].take();
    let steps = path.as_array().expect("steps");
    assert_eq!(steps.len(), 5, "{path}");
    assert!(steps.iter().all(Value::is_string), "{path}");
    found["dial"]["tls"] = json!(true);
    assert_eq!(found, expected);

    let mut unknown = trace("10.20.0.5:3128 -f rule.yaml --tls=a.example.com");
    assert!(unknown["path"].take().is_array());
    assert!(unknown["why"].take().is_string());
    let expected = json!({
        "dial": {"address": "10.20.0.5", "port": 3128, "from": "default", "tls": true},
        "outcome": "Unknown", "by": null, "sidecar": null, "why": null, "path": null,
    });
    assert_eq!(unknown, expected);

    let by_sidecar = trace("10.20.0.5:3128 -f tcp.yaml sidecar.yaml --from default/app=web");
    let expected = json!({"namespace": "default", "name": "web"});
    assert_eq!(by_sidecar["sidecar"], expected);

    let by_service = trace("10.20.0.5:3128 -f service.yaml");
    let expected = json!({"kind": "Service", "namespace": "default", "name": "web", "host": "web.default.svc.cluster.local", "port": 3128});
    assert_eq!(by_service["by"], expected);

    // A name with two addresses is two dials.
    let both = trace("backup-proxy.com:3128 -f ports.yaml --policy policy.yaml");
    let addresses: Vec<&Value> = both
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["dial"]["address"])
        .collect();
    assert_eq!(addresses, ["10.20.1.7", "10.20.1.8"]);
}

#[test]
fn what_is_not_in_view_is_told() {
    let files = mesh();
    let line = "trace 10.20.0.5:3128 -f broken.yaml template.yaml --format json";
    let Finished { stderr, .. } = run(files.path(), line, b"");
    assert!(stderr.contains("not in view: broken.yaml:1: "), "{stderr}");
    assert!(stderr.contains("not in view: template.yaml: "), "{stderr}");
}

#[test]
fn bad_targets() {
    let files = mesh();
    for (line, said) in [
        ("10.20.0.5 -f tcp.yaml", "has no port"),
        ("10.20.0.5:0 -f tcp.yaml", "no port between 1 and 65535"),
        ("10.20.0.5:99999 -f tcp.yaml", "no port between 1 and 65535"),
        (
            "nowhere.example.com:3128 -f tcp.yaml",
            "nowhere.example.com",
        ),
        (":3128 -f tcp.yaml", ""),
        ("10.20.0.5:3128", "--file"),
        (
            "10.20.0.5:3128 -f missing.yaml",
            "missing.yaml: no such file",
        ),
        ("10.20.0.5:3128 -f tcp.yaml --from /app=web", "namespace"),
        ("10.20.0.5:3128 -f tcp.yaml --from a/app", "LABEL=VALUE"),
        ("10.20.0.5:3128 -f tcp.yaml --tls --http10", "--http10"),
        ("10.20.0.5:3128 -f tcp.yaml --istio-version 2.0", "2.0"),
    ] {
        let ended = run(files.path(), &format!("trace {line}"), b"");
        assert_eq!(ended.status, Some(2), "{line}: {ended}");
        assert_eq!(ended.stdout, "", "{line}");
        assert!(ended.stderr.contains(said), "{line}: {ended}");
    }
}

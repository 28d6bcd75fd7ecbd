//! The JSON of `lint`: one array, always the same keys, always the same order.

use serde_json::{Value, json};

use super::{PROTOCOL_LINE, bad, entry, policy};
use crate::support::{Files, run};

#[test]
fn a_row_has_every_key_of_the_contract() {
    let files = Files::new(&[("policy.yaml", policy()), ("bad.yaml", bad())]);
    let ended = run(
        files.path(),
        "lint --policy policy.yaml bad.yaml --format json",
        b"",
    );
    let mut rows = ended.rows();
    let message = rows[0]["message"].take();
    let message = message.as_str().unwrap();
    assert!(message.contains("corp-squid (10.20.0.5:3128, declared by policy corporate)"));
    assert_eq!(message.lines().count(), 1, "{message}");
    let expected = json!([{
        "check": "TG001",
        "severity": "error",
        "message": null,
        "file": "bad.yaml",
        "line": PROTOCOL_LINE,
        "column": 15,
        "path": "spec.ports[0].protocol",
        "object": {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "namespace": "default",
            "name": "bad"
        },
        "proxies": ["corp-squid"],
        "evidence": "declared",
        "expired": [],
        "fix": {
            "safety": "safe",
            "edits": [
                {"op": "replace", "path": "/spec/ports/0/protocol", "value": "TCP"},
                {"op": "add", "path": "/spec/location", "value": "MESH_EXTERNAL"}
            ]
        }
    }]);
    assert_eq!(Value::from(rows), expected);
    assert_eq!(ended.stderr, "");
}

#[test]
fn rows_without_a_place_keep_their_keys() {
    let unrelated = entry("site", "en.wikipedia.org", "192.0.2.7", "TCP");
    let files = Files::new(&[
        ("unrelated/a.yaml", unrelated),
        ("broken/a.yaml", "a: [".to_owned()),
    ]);
    std::fs::create_dir(files.path().join("empty")).unwrap();
    let lint = |directory: &str, outbound: &str| {
        let proxy = "--proxy 10.20.0.5:3128";
        let line = format!("lint {directory} {proxy} --outbound {outbound} --format json");
        run(files.path(), &line, b"")
    };
    for directory in ["empty", "unrelated"] {
        let ended = lint(directory, "REGISTRY_ONLY");
        assert_eq!(ended.status, Some(1), "{ended}");
        let mut rows = ended.rows();
        let message = rows[0]["message"].take();
        let message = message.as_str().unwrap();
        assert!(message.contains("REGISTRY_ONLY"), "{message}");
        let expected = json!([{
            "check": "TG017", "severity": "error", "message": null,
            "file": null, "line": null, "column": null, "path": null, "object": null,
            "proxies": ["10.20.0.5"], "evidence": "declared", "expired": [], "fix": null
        }]);
        assert_eq!(Value::from(rows), expected, "{directory}");

        let ended = lint(directory, "ALLOW_ANY");
        assert_eq!(
            (ended.status, ended.rows()),
            (Some(0), vec![]),
            "{directory}: {ended}"
        );
    }
    let ended = run(files.path(), "lint broken --format json", b"");
    let mut rows = ended.rows();
    assert!(rows[0]["message"].take().is_string());
    let expected = json!([{
        "check": "TG000", "severity": "error", "message": null,
        "file": "broken/a.yaml", "line": 1, "column": 4, "path": null, "object": null,
        "proxies": [], "evidence": null, "expired": [], "fix": null
    }]);
    assert_eq!(Value::from(rows), expected);
}

#[test]
fn rows_are_sorted_by_file_line_and_check() {
    // Several ports and documents, in an order that none of the three follows.
    let many = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: many}\n\
                spec:\n  resolution: none\n  ports:\n  \
                - {number: 8443, name: c, protocol: HTTP}\n  \
                - {number: 3129, name: b, protocol: HTTPS}\n  \
                - {number: 3128, name: a, protocol: HTTP_PROXY, targetPort: 1}\n  \
                addresses: [10.20.0.0/16]\n  \
                hosts: [my-company-proxy.com, backup-proxy.com, tls-proxy.com]\n";
    let files = Files::new(&[
        ("policy.yaml", policy()),
        ("z.yaml", many.to_owned()),
        ("b.yaml", format!("{}---\n{many}---\na: [\n", bad())),
        ("b/c.yaml", many.to_owned()),
        ("a.yaml", many.to_owned()),
    ]);
    let line =
        "lint --policy policy.yaml --format json z.yaml b a.yaml b.yaml --outbound REGISTRY_ONLY";
    let ended = run(files.path(), line, b"");
    let rows = ended.rows();
    // Files by name, whatever the order of the arguments; what belongs to none comes last.
    let order = ["a.yaml", "b.yaml", "b/c.yaml", "z.yaml"];
    let keys: Vec<(usize, u64, &str)> = rows
        .iter()
        .map(|row| {
            let file = row["file"].as_str();
            let file = file.and_then(|name| order.iter().position(|known| *known == name));
            (
                file.unwrap_or(order.len()),
                row["line"].as_u64().unwrap_or(0),
                row["check"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(keys.len() > 20, "{keys:?}");
    assert!(keys.is_sorted(), "{keys:?}");
    let again = run(files.path(), line, b"");
    assert_eq!(again.stdout, ended.stdout, "byte for byte");
}

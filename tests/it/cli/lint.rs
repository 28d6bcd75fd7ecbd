//! `lint`: which status it ends with, which files it reads, and what is found where.

use serde_json::json;

use super::{PROTOCOL_LINE, bad, entry, good, policy, policy_and, suspect};
use crate::support::{Files, run};

/// Arguments behind `lint --policy policy.yaml`, the status, and what stderr says.
const STATUSES: [(&str, i32, &str); 21] = [
    ("good.yaml", 0, ""),
    ("bad.yaml", 1, ""),
    ("broken.yaml", 1, ""),
    ("suspect.yaml", 0, ""),
    (".", 1, ""),
    ("good.yaml suspect.yaml --fail-on error", 0, ""),
    ("good.yaml suspect.yaml --fail-on warning", 1, ""),
    ("good.yaml --fail-on warning", 0, ""),
    ("bad.yaml --fail-on warning", 1, ""),
    ("bad.yaml --fail-on never", 0, ""),
    ("broken.yaml --fail-on never", 0, ""),
    ("", 2, "<PATH>"),
    ("good.yaml --frobnicate", 2, "--frobnicate"),
    ("good.yaml --fail-on loud", 2, "loud"),
    ("good.yaml --format xml", 2, "xml"),
    ("good.yaml missing.yaml", 2, "missing.yaml: no such file"),
    (
        "good.yaml --policy missing.yaml",
        2,
        "missing.yaml: no such file",
    ),
    ("good.yaml --proxy 10.20.0.5", 2, "a proxy needs its port"),
    ("good.yaml --proxy socks5://10.20.0.5:1080", 2, "socks5://"),
    ("good.yaml --outbound NONE", 2, "REGISTRY_ONLY"),
    ("good.yaml --istio-version 1.20", 2, "between 1.21 and 1.31"),
];

#[test]
fn statuses() {
    let files = Files::new(&[
        ("policy.yaml", policy()),
        ("bad.yaml", bad()),
        ("good.yaml", good()),
        ("suspect.yaml", suspect()),
        ("broken.yaml", "a: [".to_owned()),
    ]);
    for (line, status, said) in STATUSES {
        let line = format!("lint --policy policy.yaml {line}");
        for format in ["human", "json"] {
            let ended = run(files.path(), &format!("{line} --format {format}"), b"");
            let expected = Some(if line.contains("--format") { 2 } else { status });
            assert_eq!(ended.status, expected, "{line} --format {format}: {ended}");
            assert!(ended.stderr.contains(said), "{line}: {ended}");
            assert_eq!(
                ended.stdout.is_empty(),
                expected == Some(2),
                "{line}: {ended}"
            );
        }
    }
}

#[test]
fn sources() {
    for (name, text, expected) in texts() {
        let files = Files::new(&[("a.yaml", text), ("policy", policy())]);
        let ended = run(
            files.path(),
            "lint --policy policy --format json a.yaml",
            b"",
        );
        assert_eq!(ended.places(), expected, "{name}: {ended}");
        let skips = ended.stderr.matches("a.yaml").count();
        assert_eq!(skips, usize::from(name == "a template"), "{name}: {ended}");
    }
}

/// A name, the text of a.yaml, and what is found in it.
fn texts() -> Vec<(&'static str, String, Vec<String>)> {
    let list = |items: &[String]| {
        let items = items
            .iter()
            .map(|item| format!("- {}", item.replace('\n', "\n  ")));
        let items: Vec<String> = items.map(|item| item.trim_end().to_owned()).collect();
        format!("apiVersion: v1\nkind: List\nitems:\n{}\n", items.join("\n"))
    };
    let typed = bad()
        .replace("kind: ServiceEntry\n", "")
        .replace("apiVersion: networking.istio.io/v1\n", "");
    let typed = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntryList\nitems:\n- {}",
        typed.trim_end().replace('\n', "\n  ")
    );
    let template = format!("{{{{- if .Values.proxy }}}}\n{}{{{{- end }}}}\n", bad());
    let at = |line: usize| format!("a.yaml:{line} TG001");
    let rule = |spec: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a}}\nspec:\n  {spec}\n"
        )
    };
    vec![
        ("one document", bad(), vec![at(PROTOCOL_LINE)]),
        ("nothing", String::new(), vec![]),
        ("comments", "# a: [\n---\n# b\n".to_owned(), vec![]),
        (
            "another kind",
            "apiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n".to_owned(),
            vec![],
        ),
        ("no object", "just text\n".to_owned(), vec![]),
        (
            "v1alpha3",
            bad().replace("/v1\n", "/v1alpha3\n"),
            vec![at(PROTOCOL_LINE)],
        ),
        (
            "another group",
            bad().replace("networking.istio.io", "example.com"),
            vec![],
        ),
        ("a List", list(&[good(), bad()]), vec![at(25)]),
        ("a typed list", typed, vec![at(12)]),
        ("a template", template, vec![]),
        (
            "a broken document between two",
            format!(
                "{}---\na: [\n---\n{}",
                bad(),
                bad().replace("name: bad", "name: worse")
            ),
            vec![at(PROTOCOL_LINE), "a.yaml:13 TG000".to_owned(), at(25)],
        ),
        (
            "a field of the wrong type beside others",
            bad().replace(
                "hosts: [my-company-proxy.com]",
                "hosts: my-company-proxy.com",
            ),
            vec!["a.yaml:6 TG000".to_owned(), at(PROTOCOL_LINE)],
        ),
        (
            "a field of the wrong type in what is in view beside it",
            format!("{}---\n{}", bad(), rule("host: 5")),
            vec![at(PROTOCOL_LINE), "a.yaml:17 TG000".to_owned()],
        ),
        (
            "its nearest good one",
            format!("{}---\n{}", bad(), rule("host: a.test")),
            vec![at(PROTOCOL_LINE)],
        ),
    ]
}

/// What is in view beside bad.yaml, and whether its repair is still proven.
#[test]
fn services_are_in_view() {
    let service = |name: &str, port: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{clusterIP: 10.96.0.9, selector: {{app: a}}, ports: [{port}]}}\n"
        )
    };
    let of_istio = |kind: &str, spec: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n"
        )
    };
    let http = "{egress: [{port: {number: 3128, protocol: HTTP}, hosts: [\"*/*\"]}]}";
    for (beside, safe) in [
        (service("web", "{name: http, port: 3128}"), true),
        (service("web", "{name: tcp, port: 3128}"), true),
        // The name of the entry: two objects, not one.
        (service("bad", "{name: http, port: 80}"), true),
        (of_istio("Sidecar", "{egress: [{hosts: [\"*/*\"]}]}"), true),
        (of_istio("Sidecar", http), false),
        (of_istio("EnvoyFilter", "{}"), false),
    ] {
        let files = Files::new(&[
            ("policy.yaml", policy()),
            ("bad.yaml", bad()),
            ("beside.yaml", beside.clone()),
        ]);
        let ended = run(
            files.path(),
            "lint --policy policy.yaml bad.yaml beside.yaml",
            b"",
        );
        let proven = ended.stdout.contains("= help: safe fix: ");
        assert_eq!(proven, safe, "{beside}{ended}");
    }
}

/// A Service is judged with its EndpointSlices, wherever they stand.
#[test]
fn a_service_in_front_of_a_proxy() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: squid}\nspec:\n  ports:\n    - name: http\n      port: 3128\n";
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a, labels: {kubernetes.io/service-name: squid}}\nports: [{name: http, port: 3128}]\nendpoints: [{addresses: [10.20.0.5]}]\n";
    let elsewhere = slice.replace("10.20.0.5", "10.20.0.99");
    for (slice, places) in [
        (slice, ["b.yaml:6 TG016"]),
        (&elsewhere, ["b.yaml:6 TG013"]),
    ] {
        let files = Files::new(&[
            ("policy.yaml", policy()),
            ("a.yaml", slice.to_owned()),
            ("b.yaml", service.to_owned()),
        ]);
        let line = "lint --policy policy.yaml --format json a.yaml b.yaml";
        let ended = run(files.path(), line, b"");
        assert_eq!(ended.places(), places, "{ended}");
    }
}

#[test]
fn stdin_is_a_file_like_any() {
    let files = Files::new(&[("policy.yaml", policy()), ("good.yaml", good())]);
    for (line, stdin, expected) in [
        ("-", bad(), vec![format!("<stdin>:{PROTOCOL_LINE} TG001")]),
        ("- -", bad(), vec![format!("<stdin>:{PROTOCOL_LINE} TG001")]),
        ("-", good(), vec![]),
        ("-", String::new(), vec![]),
        ("good.yaml", bad(), vec![]),
    ] {
        let line = format!("lint --policy policy.yaml --format json {line}");
        let ended = run(files.path(), &line, stdin.as_bytes());
        assert_eq!(ended.places(), expected, "{line}: {ended}");
    }
}

#[test]
fn a_template_is_told_once_to_people_too() {
    let template = format!("{{{{ if .x }}}}\n{}{{{{ end }}}}\n", bad());
    let files = Files::new(&[("policy.yaml", policy()), ("t.yaml", template)]);
    let ended = run(files.path(), "lint --policy policy.yaml t.yaml", b"");
    assert_eq!(ended.status, Some(0), "{ended}");
    let told = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(told.matches("t.yaml").count(), 1, "{ended}");
}

#[test]
fn files_are_one_mesh() {
    let api = entry("api", "api.example.com", "10.40.0.9", "HTTP");
    let files = Files::new(&[
        ("policy.yaml", policy()),
        ("a/api.yaml", api),
        ("b/proxy.yaml", good()),
    ]);
    let places = |paths: &str| {
        let line = format!("lint --policy policy.yaml --format json {paths}");
        run(files.path(), &line, b"").places()
    };
    let captures = vec![format!("a/api.yaml:{PROTOCOL_LINE} TG013")];
    assert_eq!(places("a"), captures, "alone it captures corp-squid");
    assert!(
        places("a b").is_empty(),
        "the other file protects corp-squid"
    );
    assert!(places("b a").is_empty(), "in any order");
}

#[test]
fn what_a_policy_lets_through_is_not_reported() {
    let exempt = |fields: &str| policy_and(&format!("exemptions: [{{reason: r, {fields}}}]"));
    let found = vec![format!("bad.yaml:{PROTOCOL_LINE} TG001")];
    let nothing: Vec<String> = vec![];
    for (policy, expected) in [
        (exempt("checks: [TG001]"), &nothing),
        (exempt("checks: [tg001]"), &nothing),
        (exempt("checks: [TG002]"), &found),
        (exempt("namespace: default, name: bad"), &nothing),
        (exempt("namespace: 'd*', name: 'b?d'"), &nothing),
        (exempt("namespace: default, name: worse"), &found),
        (exempt("namespace: prod"), &found),
        (exempt("checks: [TG001], expires: 9999-12-31"), &nothing),
        (
            exempt("checks: [TG001], expires: 2020-12-31, owner: o"),
            &found,
        ),
        (policy_and("checks: {TG001: {mode: Off}}"), &nothing),
        (policy_and("checks: {TG001: {mode: 'Off'}}"), &nothing),
        (policy_and("checks: {TG001: {mode: Audit}}"), &found),
        (policy_and("checks: {TG002: {mode: Off}}"), &found),
        (policy().replace("mode: Mutate", "mode: Off"), &nothing),
        (policy().replace("mode: Mutate", "mode: Audit"), &found),
        (
            policy()
                .replace("name: sandbox", "name: default")
                .replace("mode: Audit", "mode: Off")
                .replace(": sandbox", ": default"),
            &nothing,
        ),
    ] {
        let files = Files::new(&[("policy.yaml", &policy), ("bad.yaml", &bad())]);
        let ended = run(
            files.path(),
            "lint --policy policy.yaml --format json bad.yaml",
            b"",
        );
        assert_eq!(&ended.places(), expected, "{policy}\n{ended}");
        assert_eq!(
            ended.status,
            Some(i32::from(!expected.is_empty())),
            "{ended}"
        );
    }
}

/// An exemption, and what the finding that it is for comes to; its date decides, and nothing else.
#[test]
fn an_exemption_that_has_expired_is_told_with_its_finding() {
    let note = "the exemption in policy corporate expired on 2024-03-31; mend the finding or renew it (team-net: moves in Q1)";
    for (exemption, is_told, notes) in [
        (
            "checks: [TG001], owner: team-net, expires: 2024-03-31",
            true,
            vec![note],
        ),
        (
            "checks: [TG001], owner: team-net, expires: 9999-12-31",
            false,
            vec![],
        ),
        ("checks: [TG001]", false, vec![]),
        ("checks: [TG002], expires: 2024-03-31", true, vec![]),
        ("namespace: prod, expires: 2024-03-31", true, vec![]),
    ] {
        let policy = policy_and(&format!(
            "exemptions: [{{reason: moves in Q1, {exemption}}}]"
        ));
        let files = Files::new(&[("policy.yaml", policy), ("bad.yaml", bad())]);
        let line = "lint --policy policy.yaml bad.yaml";
        let rows = run(files.path(), &format!("{line} --format json"), b"").rows();
        let told = rows.iter().find(|row| row["check"] == "TG001");
        assert_eq!(told.is_some(), is_told, "{exemption}: {rows:?}");
        let found = told.map_or(json!([]), |row| row["expired"].clone());
        assert_eq!(found, json!(notes), "{exemption}");
        let human = run(files.path(), line, b"");
        assert_eq!(human.stdout.contains(note), !notes.is_empty(), "{human}");
    }
}

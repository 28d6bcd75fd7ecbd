//! A policy that cannot be used is never applied in part: status 2, and every fault with its
//! file, line, field and way out.

use super::{bad, policy, policy_and, policy_with, rows};
use crate::support::{Files, run};

#[test]
fn faults_are_named() {
    let mut cases: Vec<(String, Vec<String>)> = Vec::new();
    for [from, to, said @ ..] in &rows::<6>("policy-faults.txt") {
        let policy = match from.as_str() {
            "spec +" => policy_and(to),
            from => policy_with(from, to),
        };
        cases.push((policy, said.to_vec()));
    }
    let nothing = "p.yaml: there is no ConnectProxyPolicy in it".to_owned();
    cases.push(("# nothing\n".to_owned(), vec![nothing]));
    let template = "{{ if .x }}\nkind: ConnectProxyPolicy\n{{ end }}".to_owned();
    cases.push((template, vec!["p.yaml: ".to_owned(), "template".to_owned()]));
    for (policy, said) in cases {
        let files = Files::new(&[("p.yaml", &policy), ("bad.yaml", &bad())]);
        for command in ["lint bad.yaml", "trace 10.20.0.5:3128 -f bad.yaml", "serve"] {
            let ended = run(files.path(), &format!("{command} --policy p.yaml"), b"");
            assert_eq!(ended.status, Some(2), "{command} {policy}: {ended}");
            assert_eq!(ended.stdout, "", "{command} {policy}");
            for words in &said {
                assert!(
                    ended.stderr.contains(words.as_str()),
                    "{command}: no {words:?} in {ended}"
                );
            }
        }
    }
}

#[test]
fn every_fault_of_every_file_is_named_at_once() {
    let files = Files::new(&[
        ("policies/a.yaml", policy_with("onUnsafe", "onUnsave")),
        ("policies/b.yaml", policy_with("ports:", "port:")),
        ("c.yaml", policy_with("mode: Mutate", "mode: Mutat")),
        ("good.yaml", policy()),
    ]);
    let line = "lint . --policy policies --policy c.yaml --policy good.yaml";
    let ended = run(files.path(), line, b"");
    assert_eq!(ended.status, Some(2), "{ended}");
    for place in ["policies/a.yaml:8:3", "policies/b.yaml:13:7", "c.yaml:7:9"] {
        assert!(ended.stderr.contains(place), "{place}: {ended}");
    }
}

#[test]
fn a_name_used_twice_is_a_fault_that_names_both_places() {
    let files = Files::new(&[
        ("a.yaml", policy()),
        ("b.yaml", policy()),
        ("good.yaml", policy().replace("corporate", "other")),
        ("bad.yaml", bad()),
    ]);
    let ended = run(
        files.path(),
        "lint bad.yaml --policy a.yaml --policy b.yaml",
        b"",
    );
    let said = "b.yaml:5:9: metadata.name: a.yaml:5:9 has a policy \"corporate\" already; rename or remove one";
    assert!(ended.stderr.contains(said), "{ended}");
    assert_eq!(ended.status, Some(2), "{ended}");
    for flags in [
        "--policy a.yaml --policy good.yaml",
        "--policy a.yaml --policy ./a.yaml",
    ] {
        let ended = run(files.path(), &format!("lint bad.yaml {flags}"), b"");
        assert_eq!(ended.status, Some(1), "{flags}: {ended}");
    }
}

#[test]
fn proxies_and_policies_add_up() {
    let files = Files::new(&[
        ("p.yaml", policy()),
        (
            "other.yaml",
            policy()
                .replace("corporate", "other")
                .replace("10.20.", "10.30."),
        ),
        ("bad.yaml", bad()),
    ]);
    // (flags, proxies named)
    for (flags, expected) in [
        ("--policy p.yaml", "[\"corp-squid\"]"),
        ("--proxy 10.20.0.5:3128", "[\"10.20.0.5\"]"),
        (
            "--proxy my-company-proxy.com:3128",
            "[\"my-company-proxy.com\"]",
        ),
        ("--proxy 10.20.0.0/16:3128", "[\"10.20.0.0/16\"]"),
        ("--proxy https://10.20.0.5:3128", "[\"10.20.0.5\"]"),
        (
            "--policy p.yaml --proxy 10.20.0.5:3128",
            "[\"corp-squid\",\"10.20.0.5\"]",
        ),
        (
            "--policy p.yaml --policy other.yaml",
            "[\"corp-squid\",\"corp-squid\"]",
        ),
    ] {
        let line = format!("lint bad.yaml --format json {flags}");
        let rows = run(files.path(), &line, b"").rows();
        let about = rows.iter().find(|row| row["check"] == "TG001");
        let about = about.unwrap_or_else(|| panic!("{flags}: {rows:?}"));
        assert_eq!(about["proxies"].to_string(), expected, "{flags}");
    }
}

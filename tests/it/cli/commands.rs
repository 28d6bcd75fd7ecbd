//! `explain`, `completions`, help and version.

use serde_json::json;
use tunnelguard::policy::checks;

use crate::support::{Files, repository, run};

#[test]
fn explain_prints_the_page_of_every_check() {
    let root = repository("");
    for check in checks::ALL {
        for name in [check.id.to_string(), check.id.to_string().to_lowercase()] {
            let ended = run(&root, &format!("explain {name}"), b"");
            assert_eq!(
                (ended.status, &*ended.stdout),
                (Some(0), check.page),
                "{name}"
            );
        }
        let ended = run(&root, &format!("explain {} --format json", check.id), b"");
        let row = json!({"check": check.id.to_string(), "title": check.title, "page": check.page});
        assert_eq!(ended.json(), json!([row]));
    }
}

#[test]
fn explain_lists_the_checks() {
    let files = Files::new::<&str>(&[]);
    let ended = run(files.path(), "explain", b"");
    let expected = checks::ALL
        .iter()
        .map(|check| format!("{}  {}\n", check.id, check.title));
    assert_eq!(ended.stdout, expected.collect::<String>());
    let ids = |rows: Vec<serde_json::Value>| rows.into_iter().map(|mut row| row["check"].take());
    let rows = run(files.path(), "explain --format json", b"").rows();
    let expected = checks::ALL.iter().map(|check| json!(check.id.to_string()));
    assert!(ids(rows).eq(expected));
}

#[test]
fn statuses() {
    let files = Files::new::<&str>(&[]);
    for (line, status) in [
        ("explain TG999", 2),
        ("explain TG001x", 2),
        ("explain 1", 2),
        ("completions klingon", 2),
        ("completions", 2),
        ("", 2),
        ("frobnicate", 2),
        ("--help", 0),
        ("lint --help", 0),
        ("serve --help", 0),
        ("trace --help", 0),
        ("certificate --help", 0),
        ("doctor --help", 0),
        ("doctor --kubeconfig nowhere.yaml", 2),
        ("doctor --context nowhere", 2),
        ("doctor somewhere", 2),
        ("--version", 0),
    ] {
        let ended = run(files.path(), line, b"");
        assert_eq!(ended.status, Some(status), "{line}: {ended}");
        assert_eq!(ended.stdout.is_empty(), status == 2, "{line}: {ended}");
        assert_eq!(ended.stderr.is_empty(), status == 0, "{line}: {ended}");
    }
}

/// Flags of `serve` beside `--self-managed`, and what is said of them.
#[test]
fn certificates_that_cannot_look_after_themselves() {
    let files = Files::new::<&str>(&[]);
    for (flags, said) in [
        ("--self-managed --offline", "cannot be used with"),
        (
            "--self-managed --tls-cert a --tls-key b",
            "cannot be used with",
        ),
        ("--ca-secret other", "--self-managed"),
        ("--self-managed --leaf-life 7years", "such as 30d"),
        ("--self-managed --leaf-life 9s", "10s at the least"),
        (
            "--self-managed --leaf-life 200d",
            "--leaf-life 4800h is more than a third of --ca-life 8760h",
        ),
        ("--self-managed", "there is none; name it with --kubeconfig"),
    ] {
        let ended = run(files.path(), &format!("serve {flags}"), b"");
        assert_eq!(ended.status, Some(2), "{flags}: {ended}");
        assert!(ended.stderr.contains(said), "{flags}: {ended}");
    }
}

#[test]
fn completions_name_every_command() {
    let files = Files::new::<&str>(&[]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = run(files.path(), &format!("completions {shell}"), b"");
        assert_eq!(ended.status, Some(0), "{ended}");
        for command in [
            "serve",
            "lint",
            "trace",
            "explain",
            "certificate",
            "doctor",
            "completions",
        ] {
            assert!(ended.stdout.contains(command), "{shell}: no {command}");
        }
    }
}

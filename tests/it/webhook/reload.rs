//! What changes under a server that runs: its policy and its certificate, for better and for worse.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::serving::{Address, Serving};
use super::{review, seed};
use crate::policies::many::{PROXIES, document, entry_of};
use crate::support::{CORPORATE, LIMIT, run, text_of};

/// A directory laid out as the kubelet lays out a ConfigMap or a Secret: the names are links
/// through `..data`, and a change swaps that one (k8s.io/kubernetes,
/// pkg/volume/util/atomic_writer.go).
struct Volume {
    directory: TempDir,
    generation: usize,
}

impl Volume {
    fn new(names: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for name in names {
            symlink(format!("..data/{name}"), directory.path().join(name)).expect("a link");
        }
        Self {
            directory,
            generation: 0,
        }
    }

    fn write(&mut self, files: &[(&str, &str)]) {
        self.generation += 1;
        let generation = format!("..generation_{}", self.generation);
        let path = self.directory.path();
        fs::create_dir(path.join(&generation)).expect("a directory");
        for (name, text) in files {
            fs::write(path.join(&generation).join(name), text).expect("written");
        }
        symlink(&generation, path.join("..data_tmp")).expect("a link");
        fs::rename(path.join("..data_tmp"), path.join("..data")).expect("swapped");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Whether the seed is denied in the namespace where the examples' policy enforces.
async fn denies(server: &Serving) -> bool {
    let asked = review("CREATE", &seed("prod"), &Value::Null);
    let response = server.client().await.ask("/validate", &asked).await;
    response["allowed"] == false
}

async fn becomes(server: &Serving, series: &str, value: &str) {
    let changed = async {
        while server.metric(series).await != value {
            yield_now().await;
        }
    };
    let changed = timeout(LIMIT, changed).await;
    changed.unwrap_or_else(|_| panic!("{series} never becomes {value}"));
}

#[tokio::test]
async fn an_edited_policy_takes_effect_and_nonsense_does_not() {
    let corporate = text_of(CORPORATE);
    let mut volume = Volume::new(&["policy.yaml"]);
    volume.write(&[("policy.yaml", &corporate)]);
    let server = Serving::start_with(&["--policy", text(volume.directory.path())]);
    assert!(denies(&server).await);
    let successes = "tunnelguard_policy_reloads_total{result=\"success\"}";
    let failures = "tunnelguard_policy_reloads_total{result=\"failure\"}";
    let last = "tunnelguard_policy_last_reload_successful";
    assert_eq!(server.metric(last).await, "1");

    let milder = corporate.replace("mode: Enforce", "mode: Audit");
    assert_ne!(milder, corporate);
    volume.write(&[("policy.yaml", &milder)]);
    becomes(&server, successes, "1").await;
    assert!(!denies(&server).await);

    let nonsense = corporate.replace("mode: Enforce", "mode: Enforced");
    volume.write(&[("policy.yaml", &nonsense)]);
    becomes(&server, failures, "1").await;
    assert_eq!(server.metric(last).await, "0");
    assert!(!denies(&server).await, "the last good one stays");
    let told = server.logged(&["policy.yaml:", "Enforced", "last good one stays"]);
    assert!(told.contains("ERROR"), "{told}");
    assert_eq!(server.probe().await.get("/readyz").await, "ok\n");

    volume.write(&[]);
    becomes(&server, failures, "2").await;
    assert!(!denies(&server).await, "a policy that is gone is not none");

    volume.write(&[("policy.yaml", &corporate)]);
    becomes(&server, successes, "2").await;
    assert_eq!(server.metric(last).await, "1");
    assert!(denies(&server).await);
}

/// A pair for the loopback address, as the command line makes it.
struct Pair {
    directory: TempDir,
    certificate: String,
    key: String,
}

impl Pair {
    fn mint() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let made = run(directory.path(), "certificate made", b"");
        assert_eq!(made.status, Some(0), "{made}");
        let read = |name| fs::read_to_string(directory.path().join("made").join(name));
        Self {
            certificate: read("tls.crt").expect("a file"),
            key: read("tls.key").expect("a file"),
            directory,
        }
    }

    fn authority(&self) -> PathBuf {
        self.directory.path().join("made/ca.crt")
    }
}

#[tokio::test]
async fn a_replaced_certificate_is_served_and_a_bad_one_is_not() {
    let [first, second] = [Pair::mint(), Pair::mint()];
    let mut volume = Volume::new(&["tls.crt", "tls.key"]);
    volume.write(&[("tls.crt", &first.certificate), ("tls.key", &first.key)]);
    let (certificate, key) = (volume.path("tls.crt"), volume.path("tls.key"));
    let flags = ["--tls-cert", text(&certificate), "--tls-key", text(&key)];
    let server = Serving::start_with(&flags);
    let trusts = async |pair: &Pair| {
        let address = Address {
            authority: pair.authority(),
            ..server.address()
        };
        address.tls(b"http/1.1").await.is_ok()
    };
    assert!(trusts(&first).await && !trusts(&second).await);
    let refused = "tunnelguard_tls_handshake_failures_total{reason=\"refused_by_client\"}";
    becomes(&server, refused, "1").await;
    let ends = "tunnelguard_certificate_not_after_seconds";
    assert_ne!(server.metric(ends).await, "0.0");

    // The certificate of one, the key of the other.
    volume.write(&[("tls.crt", &second.certificate), ("tls.key", &first.key)]);
    let failures = "tunnelguard_certificate_reloads_total{result=\"failure\"}";
    becomes(&server, failures, "1").await;
    assert!(trusts(&first).await && !trusts(&second).await);
    let last = "tunnelguard_certificate_last_reload_successful";
    assert_eq!(server.metric(last).await, "0");
    server.logged(&["ERROR", "tls.crt", "does not match", "last good one stays"]);

    volume.write(&[("tls.crt", &second.certificate), ("tls.key", &second.key)]);
    let successes = "tunnelguard_certificate_reloads_total{result=\"success\"}";
    becomes(&server, successes, "1").await;
    assert!(!trusts(&first).await && trusts(&second).await);
    assert_eq!(server.metric(last).await, "1");
}

#[test]
fn what_cannot_be_served_with_ends_the_start() {
    let pair = Pair::mint();
    let directory = pair.directory.path();
    fs::write(
        directory.join("bad.yaml"),
        "kind: ConnectProxyPolicy\nspec: {mod: Audit}\n",
    )
    .expect("written");
    let place = "--listen 127.0.0.1:0 --health-listen 127.0.0.1:0";
    for (flags, words) in [
        (
            "--policy bad.yaml",
            ["bad.yaml:2:8: spec.mod: ", "did you mean `mode`?"],
        ),
        ("--policy none.yaml", ["none.yaml", "no such file"]),
        ("--tls-cert made/tls.crt", ["--tls-key", "required"]),
        ("--tls-key made/tls.key", ["--tls-cert", "required"]),
        (
            "--tls-cert made/ca.crt --tls-key made/tls.key",
            ["made/ca.crt", "leaf must come first"],
        ),
        (
            "--tls-cert made/tls.crt --tls-key none",
            ["none", "No such file"],
        ),
        (
            "--tls-cert made/tls.crt --tls-key made/tls.key --tls-name tunnelguard.other.svc",
            ["made/tls.crt", "is not for tunnelguard.other.svc"],
        ),
        (
            "--tls-name tunnelguard.other.svc",
            ["--tls-cert", "required"],
        ),
        (
            "--tls-cert made/tls.crt --tls-key made/tls.key --tls-name a/b",
            ["--tls-name", "write <service>.<namespace>.svc"],
        ),
        (
            "--tls-cert made/tls.crt --tls-key made/tls.key --tls-ca bad.yaml",
            ["bad.yaml", "has no line `-----BEGIN CERTIFICATE-----`"],
        ),
        ("--kubeconfig none", ["the kubeconfig none", "No such file"]),
        (
            "--kubeconfig bad.yaml",
            ["the kubeconfig bad.yaml", "cannot be used"],
        ),
        ("--kubeconfig none --offline", ["--kubeconfig", "--offline"]),
        ("--max-connections 0", ["--max-connections", "0"]),
        ("--max-reviews many", ["--max-reviews", "many"]),
        ("--listen localhost", ["--listen", "localhost"]),
    ] {
        let place = if flags.contains("--listen") {
            ""
        } else {
            place
        };
        let ended = run(directory, &format!("serve {place} {flags}"), b"");
        assert_eq!(ended.status, Some(2), "{flags}: {ended}");
        assert!(ended.stdout.is_empty(), "{flags}: {ended}");
        for word in words {
            assert!(ended.stderr.contains(word), "{flags}, {word}: {ended}");
        }
    }
}

#[tokio::test]
async fn a_policy_file_with_ten_thousand_proxies_is_served_and_mended() {
    let large = document();
    let mut volume = Volume::new(&["policy.yaml"]);
    volume.write(&[("policy.yaml", &large)]);
    let server = Serving::start_with(&["--policy", text(volume.directory.path())]);
    let declared = "tunnelguard_declared_proxies";
    assert_eq!(server.metric(declared).await, PROXIES.to_string());
    for (host, port, is_allowed) in [("p7.squid.corp", 3129, false), ("a.test", 3129, true)] {
        let asked = review("CREATE", &entry_of(host, "192.0.2.1", port), &Value::Null);
        let response = server.client().await.ask("/validate", &asked).await;
        assert_eq!(response["allowed"], is_allowed, "{host}: {response}");
    }
    // One of them is written wrong: the others are in force as they were, as is its last good form.
    let wrong = large.replacen("hosts: [p7.squid.corp]", "hosts: [p7_squid:corp]", 1);
    assert_ne!(wrong, large);
    volume.write(&[("policy.yaml", &wrong)]);
    let last = "tunnelguard_policy_last_reload_successful";
    becomes(&server, last, "0").await;
    server.logged(&["policy.yaml:", "p7_squid:corp", "last good one stays"]);
    assert_eq!(server.metric(declared).await, PROXIES.to_string());
    volume.write(&[("policy.yaml", &large)]);
    becomes(&server, last, "1").await;
}

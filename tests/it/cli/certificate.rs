//! `certificate`: which files it writes, which it leaves alone, and what it says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::RootCertStore;
use rustls::client::{WebPkiServerVerifier, danger::ServerCertVerifier as _};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
use serde_json::json;
use time::OffsetDateTime;
use tunnelguard::pki::{CertificateFiles, rfc3339};

use crate::support::{Files, run};

const FILES: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];

/// A directory's files with their content.
fn contents(directory: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(directory).expect("a directory");
    let contents = files.map(|file| {
        let file = file.expect("a file");
        let content = fs::read_to_string(file.path()).unwrap_or_default();
        (file.file_name().into_string().expect("UTF-8"), content)
    });
    contents.collect()
}

/// Arguments behind `certificate`, the status, and what stderr says.
const STATUSES: [(&str, i32, &str); 13] = [
    ("out", 0, ""),
    ("out/deeper/still", 0, ""),
    ("out --name tunnelguard.tunnelguard-system.svc", 0, ""),
    ("out --address 10.0.0.1 --address 2001:db8::1", 0, ""),
    ("out --days 1", 0, ""),
    ("out --days 65535", 0, ""),
    ("", 2, "<DIRECTORY>"),
    ("out --days 0", 2, "0 is not in 1..=65535"),
    ("out --days 65536", 2, "65536 is not in 1..=65535"),
    ("out --name a..svc", 2, "\"a..svc\" is not a DNS name"),
    ("out --name 10.0.0.1", 2, "give it as --address 10.0.0.1"),
    ("out --address localhost", 2, "localhost"),
    ("taken", 2, "cannot make the directory taken"),
];

#[test]
fn statuses() {
    for (line, status, said) in STATUSES {
        for format in ["human", "json"] {
            let files = Files::new(&[("taken", "a file")]);
            let line = format!("certificate {line} --format {format}");
            let ended = run(files.path(), &line, b"");
            assert_eq!(ended.status, Some(status), "{line}: {ended}");
            assert!(ended.stderr.contains(said), "{line}: {ended}");
            assert_eq!(ended.stderr.is_empty(), status == 0, "{line}: {ended}");
            assert_eq!(ended.stdout.is_empty(), status == 2, "{line}: {ended}");
            let written = files.path().join("out").exists();
            assert_eq!(written, status == 0, "{line}: {ended}");
        }
    }
}

#[test]
fn the_pair_can_be_served_and_its_authority_vouches_for_every_name() {
    for (flags, names) in [
        ("", vec!["localhost", "127.0.0.1", "::1"]),
        ("--name a.b.svc", vec!["a.b.svc"]),
        ("--address ::1", vec!["::1"]),
        (
            "--address 10.0.0.1 --name a.b.svc --name c",
            vec!["a.b.svc", "c", "10.0.0.1"],
        ),
    ] {
        let files = Files::new::<&str>(&[]);
        let line = format!("certificate out {flags} --days 7 --format json");
        let ended = run(files.path(), &line, b"");
        let [authority, certificate, key] = FILES.map(|name| files.path().join("out").join(name));

        let mut pair = CertificateFiles::new(certificate, key);
        let pair = pair.load(OffsetDateTime::now_utc()).expect("a good pair");
        let authority = fs::read(authority).expect("ca.crt");
        let expected = json!({
            "certificate": "out/tls.crt",
            "key": "out/tls.key",
            "authority": "out/ca.crt",
            "names": names,
            "notAfter": rfc3339(pair.not_after),
            "caBundle": BASE64_STANDARD.encode(&authority),
        });
        assert_eq!(ended.json(), expected, "{flags}");

        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(&authority).expect("PEM");
        roots.add(root).expect("a root");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().expect("a verifier");
        let leaf = &pair.certified_key.cert[0];
        for (name, is_vouched_for) in names.iter().map(|name| (*name, true)).chain([("x", false)]) {
            let name = ServerName::try_from(name).expect("a name");
            let verified = verifier.verify_server_cert(leaf, &[], &name, &[], UnixTime::now());
            assert_eq!(verified.is_ok(), is_vouched_for, "{flags}: {name:?}");
        }
    }
}

#[test]
fn files_that_exist_are_replaced_by_force_only() {
    for existing in FILES {
        let files = Files::new(&[(&*format!("out/{existing}"), "precious")]);
        let out = files.path().join("out");
        let before = contents(&out);

        let ended = run(files.path(), "certificate out", b"");
        let said = format!("out/{existing} exists; ");
        assert_eq!(ended.status, Some(2), "{ended}");
        assert!(ended.stderr.contains(&said), "{ended}");
        assert!(ended.stderr.contains("--force"), "{ended}");
        assert_eq!(contents(&out), before, "nothing is written");

        let ended = run(files.path(), "certificate out --force", b"");
        assert_eq!(ended.status, Some(0), "{ended}");
        let after = contents(&out);
        assert!(after.keys().eq(FILES), "{:?}", after.keys());
        assert!(after.values().all(|text| text.starts_with("-----BEGIN")));
    }
}

#[test]
fn a_link_is_a_file_that_exists() {
    let files = Files::new(&[("elsewhere/tls.key", "precious"), ("out/.keep", "")]);
    let link = files.path().join("out/tls.key");
    for target in ["../elsewhere/tls.key", "nowhere"] {
        symlink(target, &link).expect("a link");
        let ended = run(files.path(), "certificate out", b"");
        assert_eq!(ended.status, Some(2), "{target}: {ended}");
        assert!(!files.path().join("out/nowhere").exists());
        fs::remove_file(&link).expect("removed");
    }
    symlink("../elsewhere/tls.key", &link).expect("a link");
    let ended = run(files.path(), "certificate out --force", b"");
    assert_eq!(ended.status, Some(0), "{ended}");
    assert!(!link.is_symlink(), "the link is replaced");
    let target = contents(&files.path().join("elsewhere"));
    assert_eq!(target["tls.key"], "precious", "and not what it led to");
}

#[test]
fn only_the_owner_may_read_the_key() {
    let files = Files::new(&[("forced/tls.key", "readable by everyone")]);
    for line in ["certificate new", "certificate forced --force"] {
        let ended = run(files.path(), line, b"");
        assert_eq!(ended.status, Some(0), "{ended}");
        let directory = line.split(' ').nth(1).expect("a directory");
        let key = files.path().join(directory).join("tls.key");
        let mode = fs::metadata(key).expect("a key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{line}");
    }
}

#[test]
fn a_failure_leaves_no_temporary_file() {
    let files = Files::new(&[("out/tls.key/file", "")]);
    let ended = run(files.path(), "certificate out --force", b"");
    assert_eq!(ended.status, Some(2), "{ended}");
    assert!(ended.stderr.contains("cannot write out/tls.key"), "{ended}");
    assert!(contents(&files.path().join("out")).keys().eq(FILES));
}

#[test]
fn people_are_told_what_to_do_next() {
    let files = Files::new::<&str>(&[]);
    let ended = run(files.path(), "certificate out --name a.svc --days 2", b"");
    let written = contents(&files.path().join("out"));
    let bundle = BASE64_STANDARD.encode(&written["ca.crt"]);
    let mut lines = ended.stdout.lines();
    let until = lines.find(|line| line.starts_with("valid until "));
    let until = until.expect("how long it is valid");
    assert_eq!(until.len(), "valid until 2027-01-15T08:00:00Z".len());
    let expected = format!(
        "out/ca.crt: the authority that clients trust\n\
         out/tls.crt: the certificate for a.svc\n\
         out/tls.key: its private key; keep it out of Git\n\
         {until}\n\
         \n\
         # Serve with it\n\
         tunnelguard serve --tls-cert out/tls.crt --tls-key out/tls.key\n\
         \n\
         # In the webhook configuration, under clientConfig\n\
         caBundle: {bundle}\n"
    );
    assert_eq!(ended.stdout, expected);
    assert!(!ended.stdout.contains("PRIVATE"));
}

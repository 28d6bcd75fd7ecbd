//! Which certificate and key files are taken, and what is said of the others.

use rcgen::{
    BasicConstraints, ExtendedKeyUsagePurpose::*, IsCa, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, SanType,
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use time::Duration;

use super::material::{Material, NAME, now, pem};
use crate::pki::{Authority, CertificateFileError, CertificateFiles, ServingPair};

/// Loads the two contents from files.
fn load(certificate: &[u8], key: &[u8]) -> Result<ServingPair, CertificateFileError> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let [certificate, key] = [("tls.crt", certificate), ("tls.key", key)].map(|(name, content)| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    });
    CertificateFiles::new(certificate, key).load(now())
}

fn authority() -> Authority {
    Authority::mint(now(), Duration::days(30)).expect("an authority")
}

fn signed_by(authority: &Authority) -> Material {
    let leaf = authority.sign_leaf(&[NAME.to_owned()], &[], now(), Duration::days(30));
    let leaf = leaf.expect("a leaf");
    Material {
        certificate: leaf.certificate_pem(),
        key: leaf.key_pem(),
    }
}

/// A self-signed certificate that is an authority's, as `openssl req -x509` makes them.
fn own_authority() -> Material {
    Material::with(|it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
}

fn named(name: SanType) -> Material {
    Material::with(|it| it.subject_alt_names = vec![name])
}

fn email() -> SanType {
    SanType::Rfc822Name("a@example.com".try_into().expect("ASCII"))
}

/// Self-signed pairs that are served.
fn good() -> Vec<(&'static str, Material)> {
    let authority = authority();
    let mut chain = signed_by(&authority);
    chain.certificate += &authority.certificate_pem();
    let mut text = Material::new();
    text.certificate = format!("subject=CN = x\n\n{}", text.certificate).replace('\n', "\r\n");
    let mut parameters = Material::new();
    parameters.key = pem("EC PARAMETERS", &[6, 1, 0]) + &parameters.key;
    let mut combined = Material::new();
    combined.certificate += &combined.key;
    combined.key = combined.certificate.clone();
    vec![
        ("ECDSA", Material::new()),
        ("ECDSA P-384", Material::of(&PKCS_ECDSA_P384_SHA384, |_| {})),
        ("Ed25519", Material::of(&PKCS_ED25519, |_| {})),
        ("RSA", Material::of(&PKCS_RSA_SHA256, |_| {})),
        (
            "PKCS#1",
            Material::of(&PKCS_RSA_SHA256, |_| {}).traditional_key("RSA PRIVATE KEY"),
        ),
        (
            "SEC1",
            Material::of(&PKCS_ECDSA_P256_SHA256, |_| {}).traditional_key("EC PRIVATE KEY"),
        ),
        ("signed by an authority", signed_by(&authority)),
        ("with its authority behind it", chain),
        ("its own authority", own_authority()),
        ("text and CRLF around", text),
        ("parameters before the key", parameters),
        ("everything in one file", combined),
        (
            "an address alone",
            named(SanType::IpAddress([127, 0, 0, 1].into())),
        ),
        (
            "no usage",
            Material::with(|it| it.extended_key_usages = vec![]),
        ),
        (
            "any usage",
            Material::with(|it| it.extended_key_usages = vec![Any]),
        ),
        (
            "one usage more",
            Material::with(|it| it.extended_key_usages = vec![ClientAuth, ServerAuth]),
        ),
        ("its last second", Material::with(|it| it.not_after = now())),
        (
            "tomorrow",
            Material::with(|it| it.not_before = now() + Duration::HOUR),
        ),
    ]
}

#[test]
fn good_pairs_are_taken() {
    for (name, material) in good() {
        let pair = load(material.certificate.as_bytes(), material.key.as_bytes());
        let pair = pair.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(pair.certified_key.cert, material.chain(), "{name}");
        let keys = pair.certified_key.keys_match();
        // What rustls itself would have checked.
        assert!(keys.is_ok(), "{name}: {keys:?}");
    }
}

#[test]
fn a_pair_from_files_is_the_one_in_memory() {
    let fraction = now() + Duration::milliseconds(500);
    let authority = Authority::mint(fraction, Duration::days(30)).expect("an authority");
    let leaf = authority.sign_leaf(&[NAME.to_owned()], &[], fraction, Duration::days(7));
    let leaf = leaf.expect("a leaf");
    let in_memory = leaf.serving_pair().expect("a pair");
    let from_files = load(leaf.certificate_pem().as_bytes(), leaf.key_pem().as_bytes());
    let from_files = from_files.expect("a pair");
    assert_eq!(in_memory.not_after, from_files.not_after);
    assert_eq!(in_memory.not_after, now() + Duration::days(7));
    assert_eq!(in_memory.certified_key.cert, from_files.certified_key.cert);
}

/// A name, the certificate file, the key file, and what is said of which.
type Refused = (&'static str, Vec<u8>, Vec<u8>, &'static str);

/// Files that do not hold what they should.
fn unreadable() -> Vec<Refused> {
    let good = Material::new();
    let certificate = good.certificate.clone().into_bytes();
    let key = good.key.clone().into_bytes();
    let certificate_der = good.chain()[0].to_vec();
    let key_der = PrivatePkcs8KeyDer::from_pem_slice(&key).expect("PKCS#8");
    let key_der = key_der.secret_pkcs8_der().to_vec();
    let encrypted = pem("ENCRYPTED PRIVATE KEY", &key_der).into_bytes();
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                  DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let in_crt = |name, content: &[u8], said| (name, content.to_vec(), key.clone(), said);
    let in_key = |name, content: &[u8], said| (name, certificate.clone(), content.to_vec(), said);
    vec![
        in_crt("empty", b"", "tls.crt: is empty; "),
        in_key("blank", b" \n\n", "tls.key: is empty; "),
        in_crt("DER", &certificate_der, "tls.crt: is binary, not PEM; "),
        in_key("DER key", &key_der, "tls.key: is binary, not PEM; "),
        in_crt("words", b"TODO\n", "tls.crt: has no line `-----BEGIN CERT"),
        in_key("word", b"TODO\n", "tls.key: has no line `-----BEGIN PRIV"),
        in_crt("only the key", &key, "tls.crt: holds a private key and no "),
        in_key(
            "the certificate",
            &certificate,
            "tls.key: holds a certificate and no ",
        ),
        in_key(
            "two keys",
            &key.repeat(2),
            "tls.key: holds 2 private keys; ",
        ),
        in_key(
            "encrypted",
            &encrypted,
            "tls.key: holds an encrypted private",
        ),
        in_key(
            "of old",
            legacy.as_bytes(),
            "tls.key: holds an encrypted private",
        ),
        in_crt(
            "cut short",
            &certificate[..certificate.len() / 2],
            "tls.crt: is damaged: a section has no END line; ",
        ),
        in_key(
            "no line breaks",
            good.key.replace('\n', "").as_bytes(),
            "tls.key: is damaged: a section has no END line; ",
        ),
        in_key(
            "a dash short",
            good.key.replacen("KEY-----", "KEY----", 1).as_bytes(),
            "tls.key: is damaged: a BEGIN line does not end",
        ),
        in_crt(
            "not base64",
            good.certificate.replacen("MII", "M!I", 1).as_bytes(),
            "tls.crt: is damaged: a section is not base64; ",
        ),
        in_crt(
            "not X.509 behind the leaf",
            (good.certificate.clone() + &pem("CERTIFICATE", &key_der)).as_bytes(),
            "tls.crt: its certificate 2 is not an X.509",
        ),
        in_crt(
            "more than a certificate",
            pem("CERTIFICATE", &certificate_der.repeat(2)).as_bytes(),
            "tls.crt: its certificate 1 is not an X.509",
        ),
        in_key(
            "no key inside",
            pem("PRIVATE KEY", &certificate_der).as_bytes(),
            "tls.key: holds a private key that TLS cannot",
        ),
    ]
}

/// Pairs that a client would refuse.
fn unusable() -> Vec<Refused> {
    let authority = authority();
    let root = &*authority.certificate_pem();
    let leaf = signed_by(&authority);
    let other = signed_by(&authority);
    let pair = |name, material: &Material, said| {
        let Material { certificate, key } = material.clone();
        (name, certificate.into_bytes(), key.into_bytes(), said)
    };
    let with_chain = |chain: &[&str]| Material {
        certificate: chain.concat(),
        key: leaf.key.clone(),
    };
    vec![
        pair(
            "authority first",
            &with_chain(&[root, &leaf.certificate]),
            "tls.crt: its certificate 2 is the key's, and the first is not: the leaf must come first; ",
        ),
        pair(
            "leaf last",
            &with_chain(&[&other.certificate, root, &leaf.certificate]),
            "tls.crt: its certificate 3 is the key's, and the first is not: the leaf must come first; ",
        ),
        pair(
            "authority alone",
            &with_chain(&[root]),
            "tls.crt: its first certificate is an authority's, and none is the key's: the leaf must",
        ),
        pair(
            "another key",
            &with_chain(&[&other.certificate, root]),
            "tls.crt: its certificate does not match the key in ",
        ),
        pair(
            "common name only",
            &Material::with(|it| it.subject_alt_names = vec![]),
            "tls.crt: its certificate has no DNS name or IP address as subject alternative name",
        ),
        pair(
            "no server's name",
            &named(email()),
            "tls.crt: its certificate has no DNS name or IP address as subject alternative name",
        ),
        pair(
            "for clients",
            &Material::with(|it| it.extended_key_usages = vec![ClientAuth]),
            "tls.crt: its certificate is not for servers; ",
        ),
        pair(
            "a second too old",
            &Material::with(|it| it.not_after = now() - Duration::SECOND),
            "tls.crt: its certificate was valid until 2027-01-15T07:59:59Z and is not now; ",
        ),
    ]
}

#[test]
fn bad_pairs_are_refused_with_the_file_and_the_way_out() {
    for (name, certificate, key, expected) in unreadable().into_iter().chain(unusable()) {
        let error = load(&certificate, &key).expect_err(name);
        let file = error.path.file_name().unwrap_or_default().display();
        let said = format!("{file}: {}", error.problem);
        assert!(said.starts_with(expected), "{name}: {said}");
        assert!(said.contains("; "), "{name}: no way out: {said}");
        // Too short for a key to be quoted, in whatever form.
        assert!(said.len() < 300 && !said.contains('\n'), "{name}: {said}");
    }
}

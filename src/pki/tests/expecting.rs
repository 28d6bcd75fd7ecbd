//! What is served where it is said which name is dialled, and whose authority is trusted.

use rcgen::SanType;
use rustls::pki_types::ServerName;
use time::Duration;

use super::material::{Material, NAME, now};
use crate::pki::{Authority, CertificateFileError, CertificateFiles, ServingPair};

struct Case {
    name: &'static str,
    pair: Material,
    dialled: Option<&'static str>,
    authorities: Option<String>,
    /// What is said of it; nothing where it is served.
    said: Option<&'static str>,
}

fn load(case: &Case) -> Result<ServingPair, CertificateFileError> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let written = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    };
    let certificate = written("tls.crt", &case.pair.certificate);
    let key = written("tls.key", &case.pair.key);
    let dialled = case
        .dialled
        .map(|name| ServerName::try_from(name).expect("a name"));
    let authorities = case.authorities.as_ref();
    let authorities = authorities.map(|authorities| written("ca.crt", authorities));
    let files = CertificateFiles::new(certificate, key);
    files.expecting(dialled, authorities).load(now())
}

fn cases() -> Vec<Case> {
    let [ours, other] = [(); 2].map(|()| Authority::mint(now(), Duration::days(30)).expect("one"));
    let [trusted, untrusted] = [&ours, &other].map(Authority::certificate_pem);
    let signed_at = |begin| {
        let leaf = ours.sign_leaf(&[NAME.to_owned()], &[], begin, Duration::days(7));
        let leaf = leaf.expect("a leaf");
        Material {
            certificate: leaf.certificate_pem(),
            key: leaf.key_pem(),
        }
    };
    let signed = signed_at(now());
    let with_authorities = |name, authorities: &str, said| Case {
        name,
        pair: signed.clone(),
        dialled: Some(NAME),
        authorities: Some(authorities.to_owned()),
        said,
    };
    let of_name = |name, pair, dialled, said| Case {
        name,
        pair,
        dialled: Some(dialled),
        authorities: None,
        said,
    };
    let at = |address: [u8; 4]| {
        Material::with(|it| it.subject_alt_names = vec![SanType::IpAddress(address.into())])
    };
    let elsewhere = "tls.crt: its certificate is not for ";
    let stranger = "tls.crt: whoever trusts ";
    vec![
        of_name("its name", Material::new(), NAME, None),
        of_name(
            "another Service's",
            Material::new(),
            "other.tunnelguard-system.svc",
            Some(elsewhere),
        ),
        of_name("its address", at([10, 0, 0, 1]), "10.0.0.1", None),
        of_name(
            "another address",
            at([10, 0, 0, 1]),
            "10.0.0.2",
            Some(elsewhere),
        ),
        of_name(
            "an address for a name",
            at([10, 0, 0, 1]),
            NAME,
            Some(elsewhere),
        ),
        with_authorities("its authority", &trusted, None),
        with_authorities("beside another", &[&*untrusted, &trusted].concat(), None),
        with_authorities("another authority", &untrusted, Some(stranger)),
        with_authorities(
            "no authority",
            "TODO\n",
            Some("ca.crt: has no line `-----BEGIN CERT"),
        ),
        with_authorities("nothing", "", Some("ca.crt: is empty; ")),
        Case {
            pair: signed_at(now() + Duration::HOUR),
            ..with_authorities("not valid yet", &trusted, None)
        },
        Case {
            dialled: Some("other.tunnelguard-system.svc"),
            ..with_authorities("its authority, another name", &trusted, Some(elsewhere))
        },
    ]
}

#[test]
fn only_what_is_dialled_and_trusted_is_served() {
    for case in cases() {
        let name = case.name;
        let Some(expected) = case.said else {
            load(&case).unwrap_or_else(|error| panic!("{name}: {error}"));
            continue;
        };
        let error = load(&case).expect_err(name);
        let file = error.path.file_name().unwrap_or_default().display();
        let said = format!("{file}: {}", error.problem);
        assert!(said.starts_with(expected), "{name}: {said}");
        assert!(said.contains("; "), "{name}: no way out: {said}");
    }
}

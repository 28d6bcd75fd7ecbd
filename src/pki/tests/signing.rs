//! What an authority signs, and who refuses it.

use std::sync::Arc;

use rustls::{
    CertificateError::{self, *},
    Error, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use time::{Duration, OffsetDateTime};

use crate::pki::{Authority, AuthorityError, Leaf};

const NAME: &str = "tunnelguard.tunnelguard-system.svc";
const DAY: i64 = 24 * 60 * 60;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a date in 2027")
}

fn leaf(authority: &Authority) -> Leaf {
    let addresses = ["127.0.0.1", "::1"].map(|address| address.parse().expect("an address"));
    let leaf = authority.sign_leaf(&[NAME.to_owned()], &addresses, now(), Duration::days(90));
    leaf.expect("a leaf")
}

fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes());
    roots.add(root.expect("a PEM certificate")).expect("a root");
    roots
}

/// Why a client that trusts `authority` alone refuses `leaf`, `after` seconds from now.
fn refusal(authority: &Authority, leaf: &Leaf, name: &str, after: i64) -> Option<CertificateError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = Arc::new(roots(authority));
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
    let name = ServerName::try_from(name.to_owned()).expect("a server name");
    let moment = u64::try_from(now().unix_timestamp() + after).expect("a time after 1970");
    let moment = UnixTime::since_unix_epoch(std::time::Duration::from_secs(moment));
    let verifier = verifier.expect("a verifier");
    match verifier.verify_server_cert(leaf.certificate.der(), &[], &name, &[], moment) {
        Ok(_) => None,
        Err(Error::InvalidCertificate(reason)) => Some(reason),
        Err(other) => panic!("not about the certificate: {other}"),
    }
}

#[test]
fn leaf_verifies_for_every_name_within_its_validity() {
    let authority = Authority::mint(now(), Duration::days(365)).expect("an authority");
    let leaf = leaf(&authority);
    for name in [NAME, "127.0.0.1", "::1"] {
        for after in [-59 * 60, 0, 90 * DAY] {
            assert_eq!(refusal(&authority, &leaf, name, after), None, "{name}");
        }
    }
}

#[test]
fn another_name_time_or_authority_is_refused() {
    let authority = Authority::mint(now(), Duration::days(365)).expect("an authority");
    let leaf = leaf(&authority);
    let misnamed = refusal(&authority, &leaf, "other.svc", 0);
    assert!(matches!(misnamed, Some(NotValidForNameContext { .. })));
    let expired = refusal(&authority, &leaf, NAME, 90 * DAY + 1);
    assert!(matches!(expired, Some(ExpiredContext { .. })));
    let early = refusal(&authority, &leaf, NAME, -61 * 60);
    assert!(matches!(early, Some(NotValidYetContext { .. })));

    let stranger = Authority::mint(now(), Duration::days(365)).expect("an authority");
    let strange = refusal(&stranger, &leaf, NAME, 0);
    assert_eq!(strange, Some(UnknownIssuer));
}

#[test]
fn leaf_never_outlives_its_authority() {
    let authority = Authority::mint(now(), Duration::days(30)).expect("an authority");
    assert_eq!(leaf(&authority).not_after(), now() + Duration::days(30));
}

#[test]
fn authorities_differ_in_subject() {
    let [one, two] = [(); 2].map(|()| {
        let authority = Authority::mint(now(), Duration::DAY).expect("an authority");
        roots(&authority).roots[0].subject.to_vec()
    });
    assert_ne!(one, two);
}

#[test]
fn impossible_requests_are_errors() {
    let authority = Authority::mint(now(), Duration::DAY).expect("an authority");
    let nothing = authority.sign_leaf(&[], &[], now(), Duration::DAY);
    assert!(matches!(nothing, Err(AuthorityError::NoNames)));
    for name in ["", "a b", "ünicode.svc", "a..svc"] {
        let bad = authority.sign_leaf(&[name.to_owned()], &[], now(), Duration::DAY);
        assert!(matches!(bad, Err(AuthorityError::Name { .. })), "{name:?}");
    }
    let last_day = OffsetDateTime::new_utc(time::Date::MAX, time::Time::MIDNIGHT);
    let beyond = Authority::mint(last_day, Duration::DAY);
    assert!(matches!(beyond, Err(AuthorityError::Validity { .. })));
}

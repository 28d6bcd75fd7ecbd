//! What can be wrong with whom the API server trusts, and what is said of it.

use serde_json::json;

use super::healthy::{
    authority, certificate_from_elsewhere, keep, object, own_authority, trust, trust_of_one,
    validating,
};
use super::rows::Row;
use crate::commands::doctor::facts::Seen;

pub(super) const AUTHORITY_ROWS: &[Row] = &[
    (
        "no caBundle",
        |facts| trust(facts, b""),
        &["FAIL caBundle: not set"],
    ),
    (
        "a caBundle that is none",
        |facts| trust(facts, b"MIIB"),
        &["FAIL caBundle: it holds no certificate"],
    ),
    (
        "a damaged caBundle",
        |facts| {
            trust(
                facts,
                b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
            )
        },
        &["FAIL caBundle: a certificate in it is damaged"],
    ),
    (
        "an authority that has expired",
        |facts| trust(facts, authority(-40, 30).as_bytes()),
        &["FAIL caBundle: nothing in it is valid now; it goes until 2027-01-05"],
    ),
    (
        "an authority that was not renewed",
        |facts| trust(facts, authority(-28, 30).as_bytes()),
        &["FAIL caBundle: ends in 2 days"],
    ),
    (
        "an authority of ten years that has a year left",
        |facts| trust(facts, authority(-3290, 3650).as_bytes()),
        &[],
    ),
    (
        "an authority of ten years that has a month left, less a day",
        |facts| trust(facts, authority(-3621, 3650).as_bytes()),
        &["FAIL caBundle: ends in 29 days"],
    ),
    (
        "an authority that lives for a day",
        |facts| trust(facts, authority(0, 1).as_bytes()),
        &[],
    ),
    (
        "the next authority beside one that has expired",
        |facts| {
            trust(
                facts,
                [authority(-40, 30), authority(0, 30)].concat().as_bytes(),
            )
        },
        &[],
    ),
    (
        "another authority than the guard's own",
        |facts| own_authority(facts, authority(0, 30)),
        &["FAIL caBundle: the authority in Secret tunnelguard-ca is not in it"],
    ),
    (
        "Secret left over",
        |facts| {
            own_authority(facts, authority(0, 30));
            certificate_from_elsewhere(facts);
        },
        &[],
    ),
    (
        "Secret left over, and a bundle that nobody wrote yet",
        |facts| {
            certificate_from_elsewhere(facts);
            validating(facts).webhooks[0].client_config.ca_bundle = None;
        },
        &["FAIL caBundle: not set"],
    ),
    (
        "the previous authority alone, where another one signs",
        |facts| {
            let previous = authority(0, 30);
            trust(facts, previous.as_bytes());
            own_authority(facts, authority(0, 30));
            keep(facts, "previous.crt", previous);
        },
        &["FAIL caBundle: the authority in Secret tunnelguard-ca is not in it"],
    ),
    (
        "the previous authority beside the one that signs",
        |facts| {
            let (own, previous) = (authority(0, 30), authority(-20, 30));
            trust(facts, [&*own, &*previous].concat().as_bytes());
            own_authority(facts, own);
            keep(facts, "previous.crt", previous);
        },
        &[],
    ),
    (
        "a Secret without the authority that signs",
        |facts| facts.authority = Seen::Found(object(json!({"metadata": {}}))),
        &["FAIL caBundle: Secret tunnelguard-ca has no ca.crt"],
    ),
    (
        "a webhook that trusts one authority more than the others",
        |facts| {
            let own = authority(0, 30);
            trust(facts, own.as_bytes());
            let both = [own.clone(), authority(0, 30)].concat();
            trust_of_one(facts, &both);
            own_authority(facts, own);
        },
        &["FAIL caBundle: trust different authorities"],
    ),
    (
        "the same authorities in another order",
        |facts| {
            let (one, other) = (authority(0, 30), authority(0, 30));
            trust(facts, [&*one, &*other].concat().as_bytes());
            trust_of_one(facts, &[&*other, &*one].concat());
        },
        &[],
    ),
    (
        "another Service's webhook, with an authority of its own",
        |facts| {
            trust_of_one(facts, &authority(0, 30));
            facts.authority = Seen::Absent;
            let config = &mut validating(facts).webhooks[0].client_config;
            config.service.as_mut().expect("one").name = "other".to_owned();
        },
        &["FAIL validate.tunnelguard.dev: not the Service tunnelguard-system/tunnelguard"],
    ),
];

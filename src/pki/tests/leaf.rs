//! Each decision of a replica about its own certificate.

use time::{Duration, OffsetDateTime};

use super::material::now;
use super::planning::{DAY, LEAF, MINUTE, authorities, lives, mint, trusting};
use crate::pki::Root;
use crate::pki::authorities::Kept;
use crate::pki::plan::leaf::{self, Serving};

#[test]
fn a_replicas_certificate() {
    let ours = authorities(DAY);
    let signing = ours.signing.root();
    let stranger = mint(DAY).root().clone();
    let both = format!("{}{}", ours.bundle(), stranger.pem());
    let serving = |authority: &Root, age: Duration, jitter| Serving {
        authority: authority.clone(),
        made: now() - age,
        not_after: now() - age + LEAF,
        jitter,
    };
    let (trusts_us, trusts_other) = (ours.bundle(), stranger.pem());
    let second = Duration::SECOND;
    for (case, serving, bundle, since, expected) in [
        ("the first", None, &trusts_us, Duration::ZERO, "sign"),
        ("nobody trusts it", None, &trusts_other, DAY, "wait"),
        (
            "young",
            Some(serving(signing, DAY, 0.5)),
            &trusts_us,
            DAY,
            "keep",
        ),
        (
            "before two thirds",
            Some(serving(signing, DAY * 20 - second, 0.0)),
            &trusts_us,
            DAY,
            "keep",
        ),
        (
            "two thirds",
            Some(serving(signing, DAY * 20, 0.0)),
            &trusts_us,
            DAY,
            "sign",
        ),
        (
            "jitter is early",
            Some(serving(signing, DAY * 17, 1.0)),
            &trusts_us,
            DAY,
            "sign",
        ),
        (
            "a tenth at most",
            Some(serving(signing, DAY * 17 - second, 1.0)),
            &trusts_us,
            DAY,
            "keep",
        ),
        (
            "renewed, whoever trusts it",
            Some(serving(signing, DAY * 20, 0.0)),
            &trusts_other,
            DAY,
            "sign",
        ),
        (
            "signed in what is the future by now",
            Some(serving(signing, -DAY, 0.0)),
            &trusts_us,
            DAY,
            "sign",
        ),
        (
            "another signs",
            Some(serving(&stranger, DAY, 0.0)),
            &both,
            MINUTE,
            "sign",
        ),
        (
            "too early",
            Some(serving(&stranger, DAY, 0.0)),
            &both,
            MINUTE - second,
            "keep",
        ),
        (
            "another signs, and is not trusted",
            Some(serving(&stranger, DAY, 0.0)),
            &trusts_other,
            DAY,
            "keep",
        ),
        (
            "ours is trusted no longer",
            Some(serving(&stranger, DAY, 0.0)),
            &trusts_us,
            Duration::ZERO,
            "sign",
        ),
        (
            "ours has ended",
            Some(serving(&stranger, LEAF, 0.0)),
            &both,
            Duration::ZERO,
            "sign",
        ),
        (
            "ended, and nobody trusts another",
            Some(serving(&stranger, LEAF, 0.0)),
            &trusts_other,
            DAY,
            "wait",
        ),
    ] {
        let kept = Kept::Authorities(ours.clone());
        let trusted = trusting(bundle, since);
        let next = leaf::next(serving.as_ref(), &kept, &trusted, lives(), now());
        assert_eq!(word(&next), expected, "{case}");
    }
    for kept in [Kept::Nothing, Kept::Foreign] {
        let trusted = trusting(&trusts_us, DAY);
        let alone = leaf::next(None, &kept, &trusted, lives(), now());
        assert_eq!(word(&alone), "wait");
        let with = serving(signing, DAY * 25, 0.0);
        let next = leaf::next(Some(&with), &kept, &trusted, lives(), now());
        assert_eq!(word(&next), "keep", "the last good one goes on");
    }
}

fn word(next: &leaf::Next<'_>) -> &'static str {
    match next {
        leaf::Next::Keep => "keep",
        leaf::Next::Sign(_) => "sign",
        leaf::Next::Wait(_) => "wait",
    }
}

#[test]
fn a_leaf_is_verified_before_it_serves() {
    let [ours, stranger] = [DAY, DAY].map(mint);
    let name = [super::material::NAME.to_owned()];
    let leaf = ours.sign_leaf(&name, &[], now(), LEAF).unwrap();
    assert!(leaf.verify(ours.root(), &name, now()).is_ok());
    let other = ["other.svc".to_owned()];
    for (root, names, moment) in [
        (stranger.root(), &name, now()),
        (ours.root(), &other, now()),
        (ours.root(), &name, now() + LEAF + Duration::SECOND),
        (ours.root(), &name, now() - DAY),
        (ours.root(), &name, OffsetDateTime::UNIX_EPOCH - DAY),
    ] {
        assert!(
            leaf.verify(root, names, moment).is_err(),
            "{names:?} {moment}"
        );
    }
}

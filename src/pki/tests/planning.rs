//! Each decision about the authorities, with what it is made from.

use std::sync::Arc;

use rcgen::{BasicConstraints, IsCa};
use time::Duration;

use super::material::{Material, now};
use crate::pki::authorities::Kept;
use crate::pki::plan::{self, Lives, Step, Trusted};
use crate::pki::{Authorities, Authority, Bundle, Root};

pub(super) const LEAF: Duration = Duration::days(30);

pub(super) fn lives() -> Lives {
    Lives::new(Duration::days(365), LEAF).expect("lives that fit")
}

pub(super) fn mint(age: Duration) -> Arc<Authority> {
    Arc::new(Authority::mint(now() - age, Duration::days(365)).expect("an authority"))
}

/// One that signs, of that age.
pub(super) fn authorities(age: Duration) -> Authorities {
    Authorities {
        signing: mint(age),
        next: None,
        previous: Vec::new(),
        previous_until: now(),
        generation: 3,
        rotation_asked: false,
    }
}

/// Both configurations have had that for so long.
pub(super) fn trusting(bundle: &str, since: Duration) -> Trusted {
    Trusted {
        bundles: vec![Bundle::read(bundle.as_bytes().to_vec()); 2],
        since: now() - since,
    }
}

pub(super) const DAY: Duration = Duration::DAY;
pub(super) const MINUTE: Duration = Duration::MINUTE;

#[test]
fn the_next_step() {
    let young = authorities(DAY);
    let old = authorities(DAY * 244);
    let asked = Authorities {
        rotation_asked: true,
        ..young.clone()
    };
    let replacing = Authorities {
        next: Some(mint(DAY)),
        ..old.clone()
    };
    let ended_next = Authorities {
        next: Some(mint(DAY * 366)),
        ..old.clone()
    };
    let replaced = |until| Authorities {
        previous: vec![mint(DAY * 300).root().clone()],
        previous_until: now() + until,
        ..young.clone()
    };
    use Step::*;
    for (case, authorities, since, expected) in [
        ("nothing is due", &young, MINUTE, None),
        (
            "243 days of 365 are two thirds",
            &authorities(DAY * 243),
            MINUTE,
            None,
        ),
        ("two thirds are over", &old, Duration::ZERO, Some(Introduce)),
        ("somebody asks", &asked, Duration::ZERO, Some(Introduce)),
        (
            "not everybody may have heard",
            &replacing,
            MINUTE - Duration::SECOND,
            None,
        ),
        ("everybody has", &replacing, MINUTE, Some(Switch)),
        (
            "what was to sign has ended",
            &ended_next,
            MINUTE,
            Some(Introduce),
        ),
        ("leaves may be left", &replaced(Duration::ZERO), DAY, None),
        (
            "none is left",
            &replaced(-Duration::SECOND),
            DAY,
            Some(Retire),
        ),
        (
            "asked again meanwhile",
            &Authorities {
                rotation_asked: true,
                ..replaced(DAY)
            },
            DAY,
            Some(Introduce),
        ),
        (
            "it has ended",
            &Authorities {
                signing: mint(DAY * 366),
                ..young.clone()
            },
            DAY,
            Some(Establish),
        ),
    ] {
        let trusted = trusting(&authorities.bundle(), since);
        let kept = Kept::Authorities(authorities.clone());
        assert_eq!(
            plan::next(&kept, &trusted, lives(), now()),
            expected,
            "{case}"
        );
    }
}

#[test]
fn what_is_not_trusted_comes_before_what_is_due() {
    let replacing = Authorities {
        next: Some(mint(DAY)),
        ..authorities(DAY * 244)
    };
    let kept = Kept::Authorities(replacing.clone());
    let bundle = replacing.bundle();
    let other = mint(DAY).certificate_pem();
    let [one, absent, more] = [
        &replacing.signing.certificate_pem(),
        "",
        &format!("{bundle}{other}"),
    ]
    .map(|text| Bundle::read(text.as_bytes().to_vec()));
    let right = Bundle::read(bundle.into_bytes());
    for wrong in [&one, &absent, &more] {
        for bundles in [
            vec![right.clone(), wrong.clone()],
            vec![wrong.clone(), right.clone()],
        ] {
            let trusted = Trusted {
                bundles,
                since: now() - DAY,
            };
            assert_eq!(
                plan::next(&kept, &trusted, lives(), now()),
                Some(Step::Trust)
            );
        }
    }
    // Nobody calls us: nobody has to trust anybody.
    let trusted = Trusted {
        bundles: Vec::new(),
        since: now() - DAY,
    };
    assert_eq!(
        plan::next(&kept, &trusted, lives(), now()),
        Some(Step::Switch)
    );
}

#[test]
fn whoever_was_trusted_stays_so_when_the_secret_is_lost() {
    let [one, other, ended] = [DAY, DAY * 2, DAY * 366].map(|age| mint(age).root().clone());
    let trusted = Trusted {
        bundles: [[&one, &ended], [&other, &one]]
            .map(|roots| Bundle::read(roots.map(Root::pem).concat().into_bytes()))
            .into(),
        since: now(),
    };
    let made = Step::Establish
        .kept(&Kept::Nothing, &trusted, lives(), now())
        .unwrap();
    assert_eq!(made.previous, [one, other]);
    assert_eq!(made.generation, 1);
    assert_eq!(made.previous_until, now() + LEAF + Duration::HOUR);
}

/// What the Secret of a backup keeps, and what the webhooks trust; `foreign` is an authority that we did not
/// make. Authorities are named by their age in days.
#[test]
fn a_secret_from_a_backup_does_not_sign() {
    let authority = |age| mint(DAY * age);
    let [first, second, third] = [200, 100, 1].map(authority);
    let foreign = Material::with(|params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = now();
    });
    let (foreign, ended) = (foreign.certificate, ended_yesterday());
    let bundle = |authorities: &[&Arc<Authority>]| -> String {
        authorities
            .iter()
            .map(|one| one.certificate_pem())
            .collect()
    };
    let kept = |signing: &Arc<Authority>, next: Option<&Arc<Authority>>| Authorities {
        signing: Arc::clone(signing),
        next: next.cloned(),
        ..authorities(DAY)
    };
    let with = |authorities: &[&Arc<Authority>], other: &str| bundle(authorities) + other;
    for (case, kept, trusted, expected) in [
        (
            "replaced since, and retired",
            kept(&first, None),
            bundle(&[&second]),
            true,
        ),
        (
            "and not retired",
            kept(&first, None),
            bundle(&[&first, &second]),
            true,
        ),
        (
            "being replaced",
            kept(&first, None),
            bundle(&[&first, &third]),
            true,
        ),
        (
            "twice since",
            kept(&first, Some(&second)),
            bundle(&[&second, &third]),
            true,
        ),
        (
            "its next one signs",
            kept(&first, Some(&second)),
            bundle(&[&second]),
            false,
        ),
        (
            "retired, and trusted still",
            kept(&second, None),
            bundle(&[&first, &second]),
            false,
        ),
        (
            "another's",
            kept(&first, None),
            with(&[&first], &foreign),
            false,
        ),
        (
            "one that has ended",
            kept(&first, None),
            with(&[&first], &ended),
            false,
        ),
    ] {
        let seen = trusting(&trusted, DAY);
        let before = Kept::Authorities(kept.clone());
        let step = plan::next(&before, &seen, lives(), now());
        assert_eq!(step == Some(Step::Establish), expected, "{case}: {step:?}");
        if !expected {
            continue;
        }
        let after = Step::Establish
            .kept(&before, &seen, lives(), now())
            .unwrap();
        let trusted = Root::all_of(trusted.as_bytes());
        for root in kept.roots().into_iter().chain(&trusted) {
            assert!(
                after.previous.contains(root),
                "{case}: whoever may be served stays trusted"
            );
            assert!(after.signing.root() != root, "{case}");
        }
        let next = plan::next(&Kept::Authorities(after), &seen, lives(), now());
        assert_eq!(next, Some(Step::Trust), "{case}: once");
    }
}

/// An authority of ours that was made later than most, and for a short life.
fn ended_yesterday() -> String {
    let authority = Authority::mint(now() - DAY * 2, DAY).expect("an authority");
    authority.certificate_pem()
}

#[test]
fn an_authority_outlives_what_it_signs() {
    assert!(Lives::new(LEAF * 3, LEAF).is_some());
    assert!(Lives::new(LEAF * 3 - Duration::SECOND, LEAF).is_none());
}

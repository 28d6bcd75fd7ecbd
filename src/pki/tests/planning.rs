//! Each decision about certificates that look after themselves, with what it is made from.

use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::material::now;
use crate::pki::authorities::{Contents, Kept, MANAGED_BY, Texts};
use crate::pki::plan::leaf::{self, Serving};
use crate::pki::plan::{self, Lives, Step, Trusted};
use crate::pki::{Authorities, Authority, Bundle, Root};

pub(super) const LEAF: Duration = Duration::days(30);

pub(super) fn lives() -> Lives {
    Lives::new(Duration::days(365), LEAF).expect("lives that fit")
}

fn mint(age: Duration) -> Arc<Authority> {
    Arc::new(Authority::mint(now() - age, Duration::days(365)).expect("an authority"))
}

/// One that signs, of that age.
fn authorities(age: Duration) -> Authorities {
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
fn trusting(bundle: &str, since: Duration) -> Trusted {
    Trusted {
        bundles: vec![Bundle::read(bundle.as_bytes().to_vec()); 2],
        since: now() - since,
    }
}

const DAY: Duration = Duration::DAY;
const MINUTE: Duration = Duration::MINUTE;

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

/// What is done to the Secret, what it is taken for, how many authorities can still be told, and what
/// comes next.
#[test]
fn a_secret_that_others_wrote() {
    let replacing = Authorities {
        next: Some(mint(DAY)),
        previous: vec![mint(DAY * 300).root().clone()],
        ..authorities(DAY)
    };
    let other = mint(DAY);
    type Damage<'a> = &'a dyn Fn(&mut Contents);
    let cut = |key: &'static str| {
        move |contents: &mut Contents| contents.get_mut(key).unwrap().truncate(100)
    };
    let exchange =
        |contents: &mut Contents| drop(contents.insert("ca.key".into(), other.key_pem().into()));
    let twice = |contents: &mut Contents| {
        let text = [other.certificate_pem(), replacing.signing.certificate_pem()].concat();
        contents.insert("ca.crt".into(), text.into());
    };
    let cases: [(Damage<'_>, &str, usize, Option<Step>); 9] = [
        (&|_| {}, "", 3, None),
        (
            &|contents| contents.clear(),
            "nothing",
            0,
            Some(Step::Establish),
        ),
        (
            &|contents| drop(contents.remove("ca.key")),
            "ca.key is missing",
            3,
            Some(Step::Establish),
        ),
        (
            &|contents| drop(contents.insert("ca.crt".into(), Vec::new())),
            "ca.crt is missing",
            2,
            Some(Step::Establish),
        ),
        (
            &cut("ca.key"),
            "its key cannot be read",
            3,
            Some(Step::Establish),
        ),
        (
            &cut("ca.crt"),
            "its certificate is not that of one authority",
            2,
            Some(Step::Establish),
        ),
        (
            &exchange,
            "its key is not its certificate's",
            3,
            Some(Step::Establish),
        ),
        (
            &twice,
            "its certificate is not that of one authority",
            4,
            Some(Step::Establish),
        ),
        // It has signed nothing yet: it is made again, once everybody trusts the other two.
        (&cut("next.key"), "", 2, Some(Step::Trust)),
    ];
    for (damage, expected, roots, step) in cases {
        let mut contents = replacing.contents();
        damage(&mut contents);
        let mut annotations = Texts::new();
        replacing.annotate(&mut annotations);
        let kept = Kept::read(&ours(), &annotations, &contents);
        let (said, told, generation) = match &kept {
            Kept::Authorities(read) => ("", read.roots().len(), read.generation),
            Kept::Damaged {
                why,
                roots,
                generation,
            } => (&**why, roots.len(), *generation),
            Kept::Nothing => ("nothing", 0, 3),
            Kept::Foreign => panic!("ours"),
        };
        assert!(said.contains(expected), "{said:?}: {expected:?}");
        assert_eq!((told, generation), (roots, 3), "{expected}");
        let trusted = trusting(&replacing.bundle(), Duration::ZERO);
        assert_eq!(
            plan::next(&kept, &trusted, lives(), now()),
            step,
            "{expected}"
        );
    }
    let foreign = Kept::read(&Texts::new(), &Texts::new(), &replacing.contents());
    assert!(matches!(foreign, Kept::Foreign));
    let trusted = trusting("", DAY);
    assert_eq!(
        plan::next(&foreign, &trusted, lives(), now()),
        None,
        "it is not ours to write over"
    );
}

fn ours() -> Texts {
    Texts::from([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())])
}

#[test]
fn a_secret_says_what_was_kept() {
    let before = Authorities {
        next: Some(mint(DAY)),
        previous: vec![mint(DAY * 300).root().clone()],
        previous_until: now() + DAY,
        ..authorities(DAY)
    };
    let mut annotations = Texts::from([("tunnelguard.dev/rotate".to_owned(), "now".to_owned())]);
    let read = |annotations: &Texts| match Kept::read(&ours(), annotations, &before.contents()) {
        Kept::Authorities(read) => read,
        other => panic!("{other:?}"),
    };
    assert!(read(&annotations).rotation_asked);
    before.annotate(&mut annotations);
    let after = read(&annotations);
    assert_eq!(after.bundle(), before.bundle());
    assert_eq!(after.contents(), before.contents());
    assert_eq!((after.generation, after.previous_until), (3, now() + DAY));
    assert!(!after.rotation_asked, "every write answers it");
    // Where it does not say until when, it is as long as they are valid.
    annotations.remove("tunnelguard.dev/previous-trusted-until");
    assert_eq!(
        read(&annotations).previous_until,
        before.previous[0].not_after()
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
fn an_authority_outlives_what_it_signs() {
    assert!(Lives::new(LEAF * 3, LEAF).is_some());
    assert!(Lives::new(LEAF * 3 - Duration::SECOND, LEAF).is_none());
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

//! What a Secret is taken for.

use time::Duration;

use super::material::now;
use super::planning::{DAY, authorities, lives, mint, trusting};
use crate::pki::Authorities;
use crate::pki::authorities::{Contents, Kept, MANAGED_BY, Texts};
use crate::pki::plan::{self, Step};

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

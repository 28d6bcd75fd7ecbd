//! A cluster that promises what an API server does, and replicas that see it late.

use time::{Duration, OffsetDateTime};

use super::super::material::{NAME, now};
use super::super::planning::{LEAF, lives};
use crate::pki::Bundle;
use crate::pki::authorities::{Contents, Kept, MANAGED_BY, Texts};
use crate::pki::plan::leaf::{self, Serving};
use crate::pki::plan::{self, Step, Trusted};

/// As long as an API server may take to hear of a `caBundle`.
pub(super) const HEARING: Duration = Duration::MINUTE;

/// An object as it was at a version.
#[derive(Clone, Debug)]
pub(super) struct Version<T> {
    pub(super) number: u64,
    pub(super) object: T,
}

pub(super) type Secret = Option<(Texts, Contents)>;

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) now: OffsetDateTime,
    pub(super) versions: u64,
    pub(super) secret: Version<Secret>,
    /// What the Secret ever was.
    pub(super) backups: Vec<Secret>,
    pub(super) bundles: [Version<String>; 2],
    /// What both were, and until when.
    pub(super) before: Vec<([String; 2], OffsetDateTime)>,
    /// When what others did to the bundles was put right, if it is.
    pub(super) wronged: Option<OffsetDateTime>,
}

#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) secret: Version<Secret>,
    pub(super) bundles: [Version<String>; 2],
    pub(super) at: OffsetDateTime,
    pub(super) kept: Kept,
    pub(super) trusted: Trusted,
}

#[derive(Debug, Default)]
pub(super) struct Replica {
    pub(super) view: Option<View>,
    pub(super) serving: Option<Serving>,
    /// Since when it serves without a pause.
    pub(super) ready: Option<OffsetDateTime>,
}

pub(super) fn read(secret: &Secret) -> Kept {
    let Some((annotations, contents)) = secret else {
        return Kept::Nothing;
    };
    let labels = Texts::from([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())]);
    Kept::read(&labels, annotations, contents)
}

impl Cluster {
    pub(super) fn empty() -> Self {
        Self {
            now: now(),
            versions: 1,
            secret: Version {
                number: 0,
                object: None,
            },
            backups: Vec::new(),
            bundles: [(); 2].map(|()| Version {
                number: 0,
                object: String::new(),
            }),
            before: Vec::new(),
            wronged: None,
        }
    }

    pub(super) fn write_secret(&mut self, read: u64, secret: Secret) {
        if read == self.secret.number {
            // Of which authority is older, their seconds tell.
            self.now += Duration::SECOND;
            self.versions += 1;
            self.backups.push(secret.clone());
            self.secret = Version {
                number: self.versions,
                object: secret,
            };
        }
    }

    pub(super) fn write_bundle(&mut self, which: usize, read: u64, text: String) {
        if read == self.bundles[which].number {
            self.before
                .push((self.bundles.clone().map(|bundle| bundle.object), self.now));
            self.versions += 1;
            self.bundles[which] = Version {
                number: self.versions,
                object: text,
            };
        }
    }

    /// Whether the authority that signs in a Secret was ever trusted by both.
    pub(super) fn has_trusted(&self, secret: &Secret) -> bool {
        let Kept::Authorities(authorities) = read(secret) else {
            return true;
        };
        let authority = authorities.signing.root().pem();
        let current = self.bundles.clone().map(|bundle| bundle.object);
        let all = self
            .before
            .iter()
            .map(|(bundles, _)| bundles)
            .chain([&current]);
        let mut all = all.map(|bundles| bundles.iter().all(|bundle| bundle.contains(&authority)));
        all.any(|trusted| trusted)
    }

    /// What an API server may take the bundles for, of all that was not over by `since`.
    pub(super) fn heard(&self, since: OffsetDateTime) -> Vec<[String; 2]> {
        let current = self.bundles.clone().map(|bundle| bundle.object);
        let before = self
            .before
            .iter()
            .filter(|(_, until)| *until > since && self.now - *until < HEARING);
        before
            .map(|(bundles, _)| bundles.clone())
            .chain([current])
            .collect()
    }
}

impl Replica {
    pub(super) fn observe(&mut self, cluster: &Cluster) {
        let seen = self.view.as_ref();
        let kept = seen.filter(|view| view.secret.number == cluster.secret.number);
        let numbers =
            |bundles: &[Version<String>; 2]| bundles.each_ref().map(|bundle| bundle.number);
        let trusted = seen.filter(|view| numbers(&view.bundles) == numbers(&cluster.bundles));
        let bundles = || {
            cluster
                .bundles
                .iter()
                .map(|bundle| Bundle::read(bundle.object.clone().into_bytes()))
        };
        self.view = Some(View {
            kept: kept.map_or_else(|| read(&cluster.secret.object), |view| view.kept.clone()),
            trusted: trusted.map_or_else(
                || Trusted {
                    bundles: bundles().collect(),
                    since: cluster.now,
                },
                |view| view.trusted.clone(),
            ),
            secret: cluster.secret.clone(),
            bundles: cluster.bundles.clone(),
            at: cluster.now,
        });
    }

    /// Takes one step: of two bundles, one at a time, as if it ended between them.
    pub(super) fn act(&self, cluster: &mut Cluster) {
        let Some(view) = &self.view else { return };
        let View {
            kept,
            trusted,
            secret,
            bundles,
            ..
        } = view;
        let Some(step) = plan::next(kept, trusted, lives(), cluster.now) else {
            return;
        };
        if let (Step::Trust, Kept::Authorities(authorities)) = (step, kept) {
            let bundle = authorities.bundle();
            let wrong = bundles.iter().position(|seen| seen.object != bundle);
            let which = wrong.expect("one to put right");
            return cluster.write_bundle(which, bundles[which].number, bundle);
        }
        let after = step
            .kept(kept, trusted, lives(), cluster.now)
            .expect("authorities");
        let annotations = secret
            .object
            .as_ref()
            .map(|(annotations, _)| annotations.clone());
        let mut annotations = annotations.unwrap_or_default();
        after.annotate(&mut annotations);
        cluster.write_secret(secret.number, Some((annotations, after.contents())));
    }

    pub(super) fn renew(&mut self, cluster: &Cluster, jitter: f64) {
        let Some(View { kept, trusted, .. }) = &self.view else {
            return;
        };
        if let leaf::Next::Sign(authorities) =
            leaf::next(self.serving.as_ref(), kept, trusted, lives(), cluster.now)
        {
            let names = [NAME.to_owned()];
            let leaf = authorities
                .signing
                .sign_leaf(&names, &[], cluster.now, LEAF);
            let leaf = leaf.expect("a leaf");
            let authority = authorities.signing.root().clone();
            assert!(leaf.verify(&authority, &names, cluster.now).is_ok());
            let not_after = leaf.not_after();
            self.serving = Some(Serving {
                authority,
                made: cluster.now,
                not_after,
                jitter,
            });
            self.ready.get_or_insert(cluster.now);
        }
    }
}

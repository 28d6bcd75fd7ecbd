//! What happens, to whom, and what has to hold whatever does.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use time::Duration;

use super::model::{Cluster, HEARING, Replica, read};
use crate::pki::Authorities;
use crate::pki::authorities::Kept;
use crate::pki::plan::leaf::Serving;

/// Longer, nobody goes without looking at the cluster: a connection that says nothing is cut by then.
pub(super) const SILENCE: Duration = Duration::minutes(5);
/// What happens next, and to whom.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Observe(usize),
    Act(usize),
    Renew(usize),
    Crash(usize),
    Seconds(i64),
    Days(i64),
    Rotate,
    LoseSecret,
    /// From a backup of that age.
    RestoreSecret(usize),
    CutKey,
    ForeignBundle(usize),
}

pub(super) fn events() -> impl Strategy<Value = Vec<Event>> {
    let who = 0..5usize;
    let event = prop_oneof![
        8 => who.clone().prop_map(Event::Observe),
        8 => who.clone().prop_map(Event::Act),
        6 => who.clone().prop_map(Event::Renew),
        1 => who.prop_map(Event::Crash),
        4 => (1..45i64).prop_map(Event::Seconds),
        2 => (1..7i64).prop_map(Event::Days),
        1 => Just(Event::Rotate),
        1 => Just(Event::LoseSecret),
        1 => (0..20usize).prop_map(Event::RestoreSecret),
        1 => Just(Event::CutKey),
        1 => (0..2usize).prop_map(Event::ForeignBundle),
    ];
    prop::collection::vec(event, 1..120)
}

pub(super) struct World {
    pub(super) cluster: Cluster,
    pub(super) replicas: Vec<Replica>,
}

impl World {
    pub(super) fn of(replicas: usize) -> Self {
        Self {
            cluster: Cluster::empty(),
            replicas: (0..replicas).map(|_| Replica::default()).collect(),
        }
    }

    pub(super) fn happen(&mut self, event: Event) {
        let was_wrong = self.is_wrong();
        let Self { cluster, replicas } = self;
        let count = replicas.len();
        match event {
            Event::Observe(who) => replicas[who % count].observe(cluster),
            Event::Act(who) => replicas[who % count].act(cluster),
            Event::Renew(who) => replicas[who % count].renew(cluster, who as f64 / 5.0),
            Event::Crash(who) => replicas[who % count] = Replica::default(),
            Event::Seconds(seconds) => self.pass(Duration::seconds(seconds)),
            Event::Days(days) => self.pass(Duration::days(days)),
            Event::Rotate => {
                let secret = cluster.secret.clone();
                if let Some((mut annotations, contents)) = secret.object {
                    annotations.insert("tunnelguard.dev/rotate".to_owned(), String::new());
                    cluster.write_secret(secret.number, Some((annotations, contents)));
                }
            }
            Event::LoseSecret => cluster.write_secret(cluster.secret.number, None),
            Event::RestoreSecret(age) => {
                // Of an authority that was in use: one that nobody ever trusted is younger than what replicas
                // serve, and is taken for the next one.
                let backups = cluster.backups.iter().rev();
                let mut backups = backups.filter(|secret| cluster.has_trusted(secret));
                if let Some(secret) = backups.nth(age).cloned() {
                    cluster.write_secret(cluster.secret.number, secret);
                }
            }
            Event::CutKey => {
                let secret = cluster.secret.clone();
                if let Some((annotations, mut contents)) = secret.object {
                    contents
                        .entry("ca.key".to_owned())
                        .or_default()
                        .truncate(60);
                    cluster.write_secret(secret.number, Some((annotations, contents)));
                }
            }
            Event::ForeignBundle(which) => {
                cluster.write_bundle(which, cluster.bundles[which].number, "nobody".to_owned());
                cluster.wronged = Some(cluster.now);
            }
        }
        if self.is_wrong() || (was_wrong && self.serves_untrusted()) {
            self.cluster.wronged = Some(self.cluster.now);
        }
    }

    /// Whether others have changed a bundle, or what they did is not over: a certificate is served that their
    /// change, with the Secret lost at the same time, took the trust from.
    fn is_wrong(&self) -> bool {
        let Cluster {
            bundles,
            wronged,
            now,
            ..
        } = &self.cluster;
        let was_wrong = wronged.is_some_and(|put_right| *now - put_right <= HEARING);
        bundles.iter().any(|bundle| bundle.object == "nobody")
            || (was_wrong && self.serves_untrusted())
    }

    fn serves_untrusted(&self) -> bool {
        let is_trusted = |serving: &Serving| {
            let authority = serving.authority.pem();
            let mut bundles = self.cluster.bundles.iter();
            bundles.all(|bundle| bundle.object.contains(&authority))
        };
        let served = self.replicas.iter();
        let mut served = served.filter_map(|replica| replica.serving.as_ref());
        !served.all(is_trusted)
    }

    /// Time passes. Whose certificate has ended is not asked any more. Nobody has seen the cluster longer ago than a
    /// silence lasts; and after days, everybody looks at once.
    pub(super) fn pass(&mut self, time: Duration) {
        self.cluster.now += time;
        let now = self.cluster.now;
        for replica in &mut self.replicas {
            let serving = replica.serving.as_ref();
            if serving.is_some_and(|serving| serving.not_after <= now) {
                (replica.serving, replica.ready) = (None, None);
            }
            let view = replica.view.as_ref();
            if view.is_some_and(|view| now - view.at > SILENCE) {
                replica.observe(&self.cluster);
                replica.renew(&self.cluster, 0.5);
            }
        }
    }

    /// Whatever is served is valid, and trusted by whoever may call.
    pub(super) fn check(&self) -> Result<(), TestCaseError> {
        let Cluster { now, wronged, .. } = self.cluster;
        if wronged.is_some_and(|put_right| now - put_right <= HEARING) {
            return Ok(());
        }
        for (number, replica) in self.replicas.iter().enumerate() {
            let (Some(serving), Some(ready)) = (&replica.serving, replica.ready) else {
                continue;
            };
            prop_assert!(
                serving.not_after > now,
                "replica {number} serves what has ended"
            );
            let authority = serving.authority.pem();
            for bundle in self.cluster.heard(ready).into_iter().flatten() {
                let holds = bundle.contains(&authority);
                prop_assert!(holds, "replica {number} serves what is not trusted");
            }
        }
        Ok(())
    }

    /// Everybody looks, in turn, every ten seconds for some minutes, and then every five days for some months.
    pub(super) fn settle(&mut self) -> Result<(), TestCaseError> {
        for (rounds, pause) in [(20, Duration::seconds(10)), (15, Duration::DAY * 5)] {
            for _ in 0..rounds {
                for who in 0..self.replicas.len() {
                    for event in [
                        Event::Observe(who),
                        Event::Act(who),
                        Event::Observe(who),
                        Event::Renew(who),
                    ] {
                        self.happen(event);
                        self.check()?;
                    }
                }
                self.cluster.now += pause;
            }
        }
        Ok(())
    }

    pub(super) fn agreed(&self) -> Authorities {
        let Kept::Authorities(authorities) = read(&self.cluster.secret.object) else {
            panic!("no authority: {:?}", self.cluster.secret);
        };
        for bundle in &self.cluster.bundles {
            assert_eq!(bundle.object, authorities.bundle());
        }
        for replica in &self.replicas {
            let serving = replica.serving.as_ref().expect("every replica serves");
            assert!(serving.authority == *authorities.signing.root());
        }
        authorities
    }
}

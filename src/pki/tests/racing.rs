//! Replicas that look after their certificates at once, on what they saw a while ago, and end anywhere:
//! whatever is served is trusted at every moment, and in the end all agree.
//!
//! The API server is a model of what it promises: a write is refused where what was read is not what is
//! there any more.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use time::{Duration, OffsetDateTime};

use super::material::{NAME, now};
use super::planning::{LEAF, lives};
use crate::pki::authorities::{Contents, Kept, MANAGED_BY, Texts};
use crate::pki::plan::leaf::{self, Serving};
use crate::pki::plan::{self, Step, Trusted};
use crate::pki::{Authorities, Bundle};

/// As long as an API server may take to hear of a `caBundle`.
const HEARING: Duration = Duration::MINUTE;

/// Longer, nobody goes without looking at the cluster: a connection that says nothing is cut by then.
const SILENCE: Duration = Duration::minutes(5);

/// An object as it was at a version.
#[derive(Clone, Debug)]
struct Version<T> {
    number: u64,
    object: T,
}

type Secret = Option<(Texts, Contents)>;

#[derive(Debug)]
struct Cluster {
    now: OffsetDateTime,
    versions: u64,
    secret: Version<Secret>,
    bundles: [Version<String>; 2],
    /// What both were, and until when.
    before: Vec<([String; 2], OffsetDateTime)>,
    /// When what others did to the bundles was put right, if it is.
    wronged: Option<OffsetDateTime>,
}

#[derive(Clone, Debug)]
struct View {
    secret: Version<Secret>,
    bundles: [Version<String>; 2],
    at: OffsetDateTime,
    kept: Kept,
    trusted: Trusted,
}

#[derive(Debug, Default)]
struct Replica {
    view: Option<View>,
    serving: Option<Serving>,
    /// Since when it serves without a pause.
    ready: Option<OffsetDateTime>,
}

fn read(secret: &Secret) -> Kept {
    let Some((annotations, contents)) = secret else {
        return Kept::Nothing;
    };
    let labels = Texts::from([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())]);
    Kept::read(&labels, annotations, contents)
}

impl Cluster {
    fn empty() -> Self {
        Self {
            now: now(),
            versions: 1,
            secret: Version {
                number: 0,
                object: None,
            },
            bundles: [(); 2].map(|()| Version {
                number: 0,
                object: String::new(),
            }),
            before: Vec::new(),
            wronged: None,
        }
    }

    fn write_secret(&mut self, read: u64, secret: Secret) {
        if read == self.secret.number {
            self.versions += 1;
            self.secret = Version {
                number: self.versions,
                object: secret,
            };
        }
    }

    fn write_bundle(&mut self, which: usize, read: u64, text: String) {
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

    /// What an API server may take the bundles for, of all that was not over by `since`.
    fn heard(&self, since: OffsetDateTime) -> Vec<[String; 2]> {
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
    fn observe(&mut self, cluster: &Cluster) {
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
    fn act(&self, cluster: &mut Cluster) {
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

    fn renew(&mut self, cluster: &Cluster, jitter: f64) {
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

/// What happens next, and to whom.
#[derive(Clone, Copy, Debug)]
enum Event {
    Observe(usize),
    Act(usize),
    Renew(usize),
    Crash(usize),
    Seconds(i64),
    Days(i64),
    Rotate,
    LoseSecret,
    CutKey,
    ForeignBundle(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
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
        1 => Just(Event::CutKey),
        1 => (0..2usize).prop_map(Event::ForeignBundle),
    ];
    prop::collection::vec(event, 1..120)
}

struct World {
    cluster: Cluster,
    replicas: Vec<Replica>,
}

impl World {
    fn of(replicas: usize) -> Self {
        Self {
            cluster: Cluster::empty(),
            replicas: (0..replicas).map(|_| Replica::default()).collect(),
        }
    }

    fn happen(&mut self, event: Event) {
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
        let wronged = self
            .cluster
            .bundles
            .iter()
            .any(|bundle| bundle.object == "nobody");
        if wronged {
            self.cluster.wronged = Some(self.cluster.now);
        }
    }

    /// Time passes. Nobody has seen the cluster longer ago than a silence lasts; and after days, everybody
    /// looks at once.
    fn pass(&mut self, time: Duration) {
        self.cluster.now += time;
        for replica in &mut self.replicas {
            let is_old = replica
                .view
                .as_ref()
                .is_some_and(|view| self.cluster.now - view.at > SILENCE);
            if is_old {
                replica.observe(&self.cluster);
                replica.renew(&self.cluster, 0.5);
            }
        }
    }

    /// Whatever is served is valid, and trusted by whoever may call.
    fn check(&self) -> Result<(), TestCaseError> {
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
    fn settle(&mut self) -> Result<(), TestCaseError> {
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

    fn agreed(&self) -> Authorities {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(replicas in 1..=5usize, events in events()) {
        let mut world = World::of(replicas);
        for event in events {
            world.happen(event);
            world.check()?;
        }
        world.settle()?;
        let left = world.agreed();
        prop_assert!(left.next.is_none() && left.previous.is_empty(), "{left:?}");
    }
}

/// So many begin on an empty cluster, all of them having seen nothing: one authority comes of it.
#[test]
fn replicas_race_on_an_empty_cluster() {
    for replicas in [2, 5] {
        let mut world = World::of(replicas);
        let each = |world: &mut World, event: fn(usize) -> Event| {
            for who in 0..replicas {
                world.happen(event(who));
                world.check().unwrap();
            }
        };
        for _ in 0..4 {
            each(&mut world, Event::Observe);
            each(&mut world, Event::Act);
        }
        each(&mut world, Event::Observe);
        each(&mut world, Event::Renew);
        let authorities = world.agreed();
        assert_eq!((authorities.generation, authorities.previous.len()), (1, 0));
    }
}

/// Whoever replaces the authority ends after each number of steps, and another takes over.
#[test]
fn a_rotation_goes_on_wherever_it_was_left() {
    let mut all_steps = 0;
    for steps in 0.. {
        let mut world = World::of(2);
        world.settle().unwrap();
        world.happen(Event::Rotate);
        let mut taken = 0;
        while taken < steps {
            let versions = world.cluster.versions;
            for event in [
                Event::Observe(0),
                Event::Act(0),
                Event::Observe(1),
                Event::Renew(1),
            ] {
                world.happen(event);
                world.check().unwrap();
            }
            taken += usize::from(world.cluster.versions > versions);
            world.cluster.now += Duration::seconds(20);
            let kept = read(&world.cluster.secret.object);
            let is_over = matches!(kept, Kept::Authorities(left) if left.generation == 2);
            if is_over {
                break;
            }
        }
        world.happen(Event::Crash(0));
        world.settle().unwrap();
        let authorities = world.agreed();
        assert_eq!(
            (authorities.generation, authorities.previous.len()),
            (2, 0),
            "{steps}"
        );
        if taken < steps {
            all_steps = taken;
            break;
        }
    }
    assert_eq!(all_steps, 4, "introduced, two bundles, switched");
}

/// Nobody looked for so long that the certificates, or the authority as well, have ended.
#[test]
fn a_cluster_that_slept_begins_again() {
    for (days, generation) in [(29, 1), (31, 1), (400, 2)] {
        let mut world = World::of(2);
        world.settle().unwrap();
        world.cluster.now += Duration::days(days);
        // As after the start of every Pod.
        world.replicas = vec![Replica::default(), Replica::default()];
        world.settle().unwrap();
        assert_eq!(world.agreed().generation, generation, "{days} days");
    }
}

//! Replicas that look after their certificates at once, on what they saw a while ago, and end anywhere:
//! whatever is served is trusted at every moment, and in the end all agree.
//!
//! The API server is a model of what it promises: a write is refused where what was read is not what is
//! there any more.

mod model;
mod world;

use proptest::prelude::*;
use time::Duration;

use crate::pki::authorities::Kept;
use model::{Replica, read};
use world::{Event, World, events};

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

/// After two rotations the Secret is once more what it was at each step of them.
#[test]
fn a_secret_from_a_backup_costs_nothing() {
    for age in 1.. {
        let mut world = World::of(2);
        for _ in 0..2 {
            world.settle().unwrap();
            world.happen(Event::Rotate);
        }
        world.settle().unwrap();
        if age == world.cluster.backups.len() {
            return;
        }
        world.happen(Event::RestoreSecret(age));
        world.settle().unwrap();
        world.agreed();
    }
}

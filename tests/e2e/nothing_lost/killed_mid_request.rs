//! A replica is killed with reviews in flight on it. What that costs is in docs/operations.md.

use std::ops::AddAssign;
use std::thread::sleep;
use std::time::Duration;

use super::scene::Scene;
use super::tally::Outcome;
use super::users::Users;
use crate::harness::{ControlPlane, Guard, await_some};

const USERS: usize = 16;

/// How often each way.
const ROUNDS: usize = 5;

/// How long a Service goes on sending connections to a Pod that is gone.
const ENDPOINTS_DELAY: Duration = Duration::from_millis(250);

/// What died with a replica, and what of it users noticed.
#[derive(Debug, Default)]
struct Cost {
    /// Connections on which it owed an answer: calls, and handshakes that nobody may wait for.
    in_flight: usize,
    /// Connections that had an answer and were kept.
    at_rest: usize,
    /// Connections that were dialled when it was gone.
    dialled_later: usize,
    /// Calls of /mutate that failed, and were let through to /validate.
    mutate_lost: usize,
    /// Calls of /validate that failed.
    validate_lost: usize,
    /// Users who saw a denial although there is a repair.
    unrepaired: usize,
    /// Users who saw an error.
    failed: usize,
}

pub(super) fn play(plane: &ControlPlane) {
    let (scene, [mut victim, mut survivor]) = Scene::set(plane, "killed-mid-request", &[]);
    let users = scene.users(USERS);
    for delay in [Duration::ZERO, ENDPOINTS_DELAY] {
        let mut cost = Cost::default();
        for _ in 0..ROUNDS {
            cost += kill(&scene, &users, &victim, &survivor, delay);
            (victim, survivor) = (survivor, scene.start(&[]));
            let both = [&victim, &survivor].map(Guard::address);
            scene.balancer.forward_to(both);
            users.next(10 * USERS).assert_nothing_lost();
        }
        println!("{ROUNDS} killed, the Service hears of it after {delay:?}: {cost:?}");
    }
    let tally = users.end();
    println!("{tally}");
    assert_eq!(tally.of(Outcome::Unjudged), 0, "nothing broken is stored");
}

/// Kills a replica, of which the balancer hears after a delay.
fn kill(scene: &Scene, users: &Users, victim: &Guard, survivor: &Guard, delay: Duration) -> Cost {
    let (unanswered, refused) = (scene.unanswered(), scene.balancer.refused());
    let earlier = users.tally();
    // Stopped first, so that what is in flight surely dies with it.
    victim.signal("STOP");
    await_some("calls are in flight on the one who dies", || {
        (scene.balancer.in_flight(victim.address()) > 2).then_some(())
    });
    if delay.is_zero() {
        scene.balancer.forward_to([survivor.address()]);
    }
    let at_rest = scene.balancer.resting(victim.address());
    victim.signal("KILL");
    if !delay.is_zero() {
        sleep(delay);
        scene.balancer.forward_to([survivor.address()]);
    }
    // Each has one request at a time, so by then those of that moment have their outcome.
    users.next(4 * USERS);
    let tally = users.tally().since(&earlier);
    users.next(10 * USERS).assert_nothing_lost();

    let unanswered = scene.unanswered() - unanswered;
    let cost = Cost {
        in_flight: scene.balancer.cut_off(victim.address()),
        at_rest,
        dialled_later: scene.balancer.refused() - refused,
        mutate_lost: unanswered.let_through,
        validate_lost: unanswered.refused,
        unrepaired: tally.of(Outcome::Unrepaired),
        failed: tally.of(Outcome::Failed),
    };
    cost.assert_bounded(&tally.said);
    cost
}

impl Cost {
    fn assert_bounded(&self, said: &[String]) {
        let lost = self.mutate_lost + self.validate_lost;
        // So connections at rest cost nothing, unless a call was sent on one that was about to close: then
        // it was in flight. A user whose /mutate was lost may lose the /validate that follows, too.
        let bound = self.in_flight + self.dialled_later;
        assert!(lost <= bound, "{self:?} {said:#?}");
        assert!(lost > 0, "something was in flight: {self:?}");
        assert_eq!(self.failed, self.validate_lost, "{self:?} {said:#?}");
        // The rest of these had no repair to lose.
        assert!(self.unrepaired <= self.mutate_lost, "{self:?} {said:#?}");
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.in_flight += other.in_flight;
        self.at_rest += other.at_rest;
        self.dialled_later += other.dialled_later;
        self.mutate_lost += other.mutate_lost;
        self.validate_lost += other.validate_lost;
        self.unrepaired += other.unrepaired;
        self.failed += other.failed;
    }
}

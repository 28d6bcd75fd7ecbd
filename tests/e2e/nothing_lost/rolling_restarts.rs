//! One replica after the other is replaced, as a Deployment's rollout does it, under load.

use std::collections::VecDeque;
use std::env;
use std::thread::sleep;
use std::time::Duration;

use super::scene::{Scene, Unanswered};
use crate::harness::{ControlPlane, Guard};

/// How long a Service goes on sending connections to a Pod that was told to end: what it takes an
/// endpoint's change to reach every kube-proxy.
pub(super) const ENDPOINTS_DELAY: Duration = Duration::from_millis(250);

/// It has to cover the delay above.
const FLAGS: &[&str] = &["--drain-seconds", "1"];

const USERS: usize = 4;

/// How many restarts, if it is not to be `RESTARTS`.
const RESTARTS: usize = 100;

pub(super) fn play(plane: &ControlPlane) {
    let restarts = env::var("RESTARTS").map_or(RESTARTS, |text| text.parse().expect("a number"));
    let (scene, replicas) = Scene::set::<2>(plane, "rolling-restarts", FLAGS);
    let mut replicas = VecDeque::from(replicas);
    let before = scene.unanswered();
    let users = scene.users(USERS);
    let forward = |replicas: &VecDeque<Guard>| {
        scene
            .balancer
            .forward_to(replicas.iter().map(Guard::address));
    };

    let mut leaving: Option<Guard> = None;
    for _ in 0..restarts {
        // While the last one still drains, which saves half the time.
        replicas.push_back(scene.start(FLAGS));
        forward(&replicas);
        leaving.iter_mut().for_each(await_orderly_end);
        let old = replicas.pop_front().expect("at least two");
        old.signal("TERM");
        sleep(ENDPOINTS_DELAY);
        forward(&replicas);
        leaving = Some(old);
    }
    leaving.iter_mut().for_each(await_orderly_end);

    let tally = users.end();
    let unanswered = scene.unanswered() - before;
    println!("{restarts} restarts, {tally}; {unanswered:?}");
    tally.assert_nothing_lost();
    assert_eq!(unanswered, Unanswered::default());
    assert_eq!(
        scene.balancer.refused(),
        0,
        "the balancer knew who had ended"
    );
}

pub(super) fn await_orderly_end(replica: &mut Guard) {
    let status = replica.ended();
    assert!(status.success(), "{status}");
}

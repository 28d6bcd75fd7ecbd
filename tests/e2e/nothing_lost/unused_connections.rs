//! Connections that the API server dials and does not use: in a crowd they hold a place each.
//!
//! Go's `net/http.Transport` dials for every request that finds no connection at rest, and takes whichever is
//! first: the one that it dialled, or one that somebody else is done with. Where dialling is slower than
//! reviewing, most of what it dials comes to nothing and rests in its pool, unused.

use super::scene::Scene;
use crate::harness::{ControlPlane, await_some};

/// A quarter of the users.
const FLAGS: &[&str] = &["--max-connections", "8"];
const USERS: usize = 32;

/// All their calls of /mutate share one connection while what they dialled is on its way; it comes together
/// with what they dial for /validate, and may not keep that waiting for the 5 s of a webhook's `timeoutSeconds`.
pub(super) fn play(plane: &ControlPlane) {
    let (scene, [first]) = Scene::set(plane, "unused-connections", FLAGS);
    let guard = scene.start(FLAGS);
    scene.balancer.forward_to([guard.address()]);
    drop(first);
    let unanswered = scene.unanswered();

    scene.balancer.hold_after(1);
    let users = scene.users(USERS);
    await_some("all entries have passed /mutate", || {
        (guard.reviews("mutate") >= USERS as f64).then_some(())
    });
    scene.balancer.release();
    users.next(3 * USERS);
    let tally = users.end();
    let evicted = guard.metric("tunnelguard_connections_evicted_total");
    println!("{evicted} evicted: {tally}");
    tally.assert_nothing_lost();
    assert_eq!(scene.unanswered() - unanswered, Default::default());
    assert!(evicted > 0.0, "there was nothing unused");
}

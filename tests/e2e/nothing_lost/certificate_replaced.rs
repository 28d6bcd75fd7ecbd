//! The certificate is rotated under load, by the three steps of certs/README.md.

use std::fs;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::caller::Caller;
use super::scene::{Scene, Unanswered};
use super::stranger::Stranger;
use super::users::Users;
use crate::harness::{Certificate, ControlPlane, Guard, await_some, one_thread};

const ROTATIONS: usize = 5;

const USERS: usize = 4;

/// So many requests without a byte on the connections from before say that the API server has
/// heard of a new `caBundle`, which has it dial anew.
const HEARD: usize = 10 * USERS;

/// While files are replaced, the API server is made to shake hands again after so many requests.
const HANDSHAKE_EVERY: usize = USERS;

pub(super) fn play(plane: &ControlPlane) {
    let (scene, replicas) = Scene::set::<2>(plane, "certificate-replaced", &[]);
    let unanswered = scene.unanswered();
    let users = scene.users(USERS);
    let authority = scene.stage.certificate.authority();
    // Trusts what the API server trusts.
    let trusted = Arc::new(Mutex::new(Stranger::trusting(&authority)));
    let stranger = {
        let trusted = Arc::clone(&trusted);
        move || ready(trusted.lock().expect("no panic").clone())
    };
    let caller = Caller::begin(one_thread(), scene.stage.address, stranger);

    let mut old = authority;
    for _ in 0..ROTATIONS {
        let new = Certificate::of_service();
        let both = [old, new.authority()].concat();
        trust(&scene, &users, &trusted, &both);
        replace(&scene, &users, &replicas, &new, &both);
        trust(&scene, &users, &trusted, &new.authority());
        old = new.authority();
    }

    let tally = users.end();
    let calls = caller.end();
    let unanswered = scene.unanswered() - unanswered;
    let dialled = scene.balancer.dialled();
    println!("{ROTATIONS} rotations, {tally}; {unanswered:?}");
    println!(
        "{calls} calls with a handshake each, {dialled} handshakes with these and the API server's"
    );
    tally.assert_nothing_lost();
    assert_eq!(unanswered, Unanswered::default());
}

/// Has the API server and the caller trust these authorities, and waits until they do.
fn trust(scene: &Scene, users: &Users, trusted: &Mutex<Stranger>, bundle: &[u8]) {
    let before = Instant::now();
    scene.stage.trust(bundle);
    await_some("the API server has heard of a caBundle", || {
        let begin = Instant::now();
        users.next(HEARD);
        (!scene.balancer.used(before, begin)).then_some(())
    });
    *trusted.lock().expect("no panic") = Stranger::trusting(bundle);
}

/// Replaces the files, and has the API server shake hands again and again until both replicas have
/// noticed, and after that.
fn replace(scene: &Scene, users: &Users, replicas: &[Guard], new: &Certificate, bundle: &[u8]) {
    const NOTICED: &str = "tunnelguard_certificate_reloads_total{result=\"success\"}";
    let noticed = || {
        replicas
            .iter()
            .map(|replica| replica.metric(NOTICED))
            .sum::<f64>()
    };
    let before = noticed();
    for file in ["ca.crt", "tls.crt", "tls.key"] {
        fs::copy(new.file(file), scene.stage.certificate.file(file)).expect("a copy");
    }
    let mut bundle = bundle.to_owned();
    let mut shake_hands = || {
        // A blank line is trusted no less, and makes it another bundle: the API server keeps its
        // connections by the bundle's bytes.
        bundle.push(b'\n');
        scene.stage.trust(&bundle);
        users.next(HANDSHAKE_EVERY);
    };
    await_some("both replicas have read the new files", || {
        shake_hands();
        (noticed() >= before + 2.0).then_some(())
    });
    shake_hands();
}

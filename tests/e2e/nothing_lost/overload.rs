//! More than a replica takes on: from users, and from strangers besides.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use super::flood::{Flood, begin_reviews};
use super::scene::{Scene, Unanswered};
use super::stranger::Stranger;
use super::tally::Outcome;
use super::users::Users;
use crate::harness::{ControlPlane, Guard, await_some, get, one_thread};

/// Fewer than come, and reviews at most half of them.
const FLAGS: &[&str] = &["--max-connections", "8", "--max-reviews", "4"];
const REVIEWS: usize = 4;

/// Each has one request at a time.
const USERS: usize = 32;
const STRANGERS: usize = 32;

/// Strangers who hold every review come in so many waves.
const WAVES: usize = 3;

/// What the API server sends, and hundreds of times that. Eight connections, four reviews that hold
/// their body and what is read of it, and what the allocator keeps are below the limit on memory.
const ORDINARY: usize = 2 * 1024;
const LARGE: usize = 1024 * 1024;
const MEMORY: f64 = 48.0 * 1024.0 * 1024.0;

/// A kubelet probes every few seconds.
const PROBES: Duration = Duration::from_millis(20);

pub(super) fn play(plane: &ControlPlane) {
    let (scene, [guard]) = Scene::set(plane, "overload", FLAGS);
    let unanswered = scene.unanswered();
    let memory = || guard.metric("process_resident_memory_bytes");
    let before = memory();
    let probes = Probes::begin(guard.health());
    let stranger = Stranger::trusting(&scene.stage.certificate.authority());
    let users = scene.users(USERS);

    users.next(20 * USERS);
    println!("{USERS} users: {}; {}", users.tally(), told(&guard));
    withhold_reviews(&users, &stranger, &guard);
    println!(
        "{WAVES} waves of half reviews: {}; {}",
        users.tally(),
        told(&guard)
    );
    let flood = Flood::begin(&stranger, guard.address(), STRANGERS, ORDINARY);
    users.next(20 * USERS);
    println!(
        "{STRANGERS} strangers, {}: {}; {}",
        flood.end(),
        users.tally(),
        told(&guard)
    );
    users.tally().assert_nothing_lost();
    let unanswered = scene.unanswered() - unanswered;
    assert_eq!(unanswered, Unanswered::default());

    let flood = Flood::begin(&stranger, guard.address(), STRANGERS, LARGE);
    let beyond = users.next(20 * USERS);
    println!(
        "{STRANGERS} strangers with 1 MiB, {}: {beyond}; {}",
        flood.end(),
        told(&guard)
    );
    // Whoever is sent away every second until the API server's 5 are over has a denial or an error.
    assert_eq!(
        beyond.of(Outcome::Unjudged),
        0,
        "and nothing broken is stored"
    );
    assert_eq!(users.end().of(Outcome::Unjudged), 0);
    // Who asks from now on, when the flood is over, notices nothing of it.
    let users = scene.users(USERS);
    users.next(10 * USERS);
    users.end().assert_nothing_lost();

    let grown = memory() - before;
    println!(
        "{} probes answered, {:.1} MiB more memory",
        probes.end(),
        grown / 1_048_576.0
    );
    assert!(grown < MEMORY, "{grown} bytes more");
}

/// Has strangers begin as many reviews as there may be and not go on, until users were sent away,
/// came again and got on.
fn withhold_reviews(users: &Users, stranger: &Stranger, guard: &Guard) {
    let runtime = one_thread();
    for _ in 0..WAVES {
        let before = shed(guard);
        begin_reviews(&runtime, stranger, guard.address(), REVIEWS);
        await_some("users are sent away", || {
            (shed(guard) > before).then_some(())
        });
        users.next(5 * USERS);
    }
}

/// What the guard says that it did.
fn told(guard: &Guard) -> String {
    let evicted = guard.metric("tunnelguard_connections_evicted_total");
    format!("{} shed, {evicted} evicted", shed(guard))
}

fn shed(guard: &Guard) -> f64 {
    guard.metric("tunnelguard_requests_shed_total")
}

/// A thread that asks whether the guard lives.
struct Probes {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Probes {
    fn begin(health: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut probes = 0;
            while !ended.load(Ordering::Relaxed) {
                assert!(
                    get(health, "/livez").is_some(),
                    "no answer to probe {probes}"
                );
                probes += 1;
                sleep(PROBES);
            }
            probes
        });
        Self {
            over,
            thread: Some(thread),
        }
    }

    /// How many there were, all of them answered.
    fn end(mut self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it runs until now");
        thread.join().expect("every probe is answered")
    }
}

impl Drop for Probes {
    /// Where the test has failed already, what it probes ends, too.
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

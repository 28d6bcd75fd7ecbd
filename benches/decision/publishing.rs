//! Reviews of one thread while another publishes snapshots without pause.
//!
//! Nobody waits for a publication: a lock would show as a review that takes as long as one in every turn, and as
//! time in which the thread neither runs nor waits for a core. What the threads of one machine take from each other
//! shows beside a thread that does something else.

use std::hint::black_box;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tunnelguard::discovery::mesh::{KnownMesh, MeshKind, MeshObject, Telling, keep_view};
use tunnelguard::discovery::watch::News;
use tunnelguard::state::{SharedSnapshot, Snapshot};

use super::building::{read, stored};
use super::turns::scheduled;
use super::{Arguments, FEW, decide_in, entry::entry, policies};

/// How long a turn is, at least: what another thread has begun it ends.
const TURN: Duration = Duration::from_secs(1);
const TURNS: usize = 5;

/// Where the entries are before a change, and after it.
const NETWORKS: [[u8; 4]; 2] = [[10, 128, 0, 0], [10, 192, 0, 0]];

/// What another thread does for a turn; how many snapshots it published.
type Other<'a> = Box<dyn Fn() -> usize + Sync + 'a>;

pub(super) fn measure(arguments: &Arguments) {
    if !arguments.wants("reviews beside") {
        return;
    }
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    // What is told first is not what is in view, and a review costs the same beside either.
    let states = NETWORKS.map(|network| entries(arguments.many, network));
    let publisher = Publisher::new(states[1].clone());
    let others: [(&str, Other<'_>); 4] = [
        ("nothing", Box::new(rest)),
        ("work that has nothing to do with them", Box::new(work)),
        (
            "snapshots, an entry changed in each",
            Box::new(|| publisher.publish(&states, |state| News::Applied(state[0].clone()))),
        ),
        (
            "snapshots, all entries changed in each",
            Box::new(|| publisher.publish(&states, |state| News::Listed(state.clone()))),
        ),
    ];
    let mut measured: [Measured; 4] = Default::default();
    for _ in 0..TURNS {
        for (measured, (_, other)) in measured.iter_mut().zip(&others) {
            measured.take_turn(other, || publisher.review());
        }
    }
    println!(
        "\nReviews of a correct entry, {} in view; ratio of medians to the first.",
        arguments.many
    );
    let alone = measured[0].median();
    for (measured, (name, _)) in measured.iter_mut().zip(&others) {
        measured.print(name, alone);
    }
}

fn entries(count: usize, network: [u8; 4]) -> Vec<MeshObject> {
    let entries = (0..count).filter_map(|n| read(&stored(n, network)));
    entries.collect()
}

fn rest() -> usize {
    thread::sleep(TURN);
    0
}

fn work() -> usize {
    let begin = Instant::now();
    while begin.elapsed() < TURN {
        black_box((0..1000_u64).fold(0, |sum, n| black_box(sum ^ n)));
    }
    0
}

/// Publishes as `serve` does, and reviews by what is in force.
struct Publisher {
    review: String,
    snapshots: Arc<SharedSnapshot>,
    telling: Telling,
    /// Whether all of the mesh is in view, of each publication.
    publications: Mutex<mpsc::Receiver<bool>>,
}

impl Publisher {
    fn new(entries: Vec<MeshObject>) -> Self {
        let policies = Arc::new(policies(FEW));
        let snapshots = Arc::new(SharedSnapshot::new(Snapshot::default()));
        let (published, publications) = mpsc::channel();
        let shared = Arc::clone(&snapshots);
        let telling = keep_view(move |known: KnownMesh| {
            shared.publish(Snapshot {
                policies: Arc::clone(&policies),
                mesh: known.view,
                sees_mesh: known.is_whole,
                ..Snapshot::default()
            });
            published.send(known.is_whole).unwrap();
        });
        for kind in MeshKind::ALL {
            telling.send((kind, News::NotInstalled)).unwrap();
        }
        while !publications.recv().unwrap() {}
        let publisher = Self {
            review: entry("proxy-0.corp", "10.20.0.0", 3128, "TCP"),
            snapshots,
            telling,
            publications: Mutex::new(publications),
        };
        publisher.tell(News::Listed(entries));
        publisher
    }

    /// Tells it, and waits until it is published.
    fn tell(&self, news: News<MeshObject>) {
        self.telling.send((MeshKind::ServiceEntry, news)).unwrap();
        self.publications.lock().unwrap().recv().unwrap();
    }

    /// Publishes for a turn: the one state and then the other, so that each is a change.
    fn publish<S>(&self, states: &[S], news: impl Fn(&S) -> News<MeshObject>) -> usize {
        let begin = Instant::now();
        let mut count = 0;
        while begin.elapsed() < TURN {
            for state in states {
                self.tell(news(state));
                count += 1;
            }
        }
        // The second view takes what it missed in this turn, not in that of another.
        self.tell(News::Unanswered);
        count + 1
    }

    fn review(&self) -> usize {
        let snapshot = self.snapshots.load();
        decide_in(black_box(&self.review), snapshot.context())
    }
}

/// What some turns came to.
#[derive(Default)]
struct Measured {
    reviews: Vec<Duration>,
    /// Of each turn: what else the machine does makes some of them long, a lock all of them.
    longest: Vec<Duration>,
    snapshots: usize,
    elapsed: Duration,
    /// How much of that the reviewing thread ran or waited for a core.
    scheduled: Duration,
}

impl Measured {
    /// Reviews for as long as the other thread does something.
    fn take_turn(&mut self, other: &Other<'_>, review: impl Fn() -> usize) {
        let before = self.reviews.len();
        thread::scope(|scope| {
            let other = scope.spawn(other);
            let (turn, begin) = (Instant::now(), scheduled());
            while !other.is_finished() {
                let begin = Instant::now();
                black_box(review());
                self.reviews.push(begin.elapsed());
            }
            self.elapsed += turn.elapsed();
            let [end, begin] = [scheduled(), begin].map(|times| times.iter().sum::<Duration>());
            self.scheduled += end - begin;
            self.snapshots += other.join().unwrap();
        });
        self.longest.extend(self.reviews[before..].iter().max());
    }

    /// Seconds.
    fn median(&mut self) -> f64 {
        let middle = self.reviews.len() / 2;
        let (_, median, _) = self.reviews.select_nth_unstable(middle);
        median.as_secs_f64()
    }

    fn print(&mut self, beside: &str, alone: f64) {
        let (label, median) = (format!("reviews beside {beside}"), self.median());
        self.longest.sort_unstable();
        let longest = [self.longest[0], self.longest[TURNS - 1]];
        let [quietest, all] = longest.map(|longest| longest.as_secs_f64() * 1e3);
        let elapsed = self.elapsed.as_secs_f64();
        // Below nothing where the clocks differ by a tick.
        let blocked = (100.0 * (1.0 - self.scheduled.as_secs_f64() / elapsed)).max(0.0);
        println!(
            "{label:<62} {:>6.2}   ({:.1} µs; longest {quietest:.2} ms in the quietest turn, {all:.2} ms in all; blocked {blocked:.1} %; {:.1} snapshots a second)",
            median / alone,
            median * 1e6,
            self.snapshots as f64 / elapsed,
        );
    }
}

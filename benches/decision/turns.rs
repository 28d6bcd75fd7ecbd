//! How things are measured on a machine that others use, too.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long each side runs before it is the other's turn, at least: much longer than a look at the clock, much
/// shorter than the machine is somebody else's.
const TURN: Duration = Duration::from_millis(1);
const TURNS: usize = 300;

/// How long two things are measured, whatever number of turns that is.
const LONGEST: Duration = Duration::from_secs(10);

/// Measures two things in turns, so that whoever else is at work on the machine slows both, and prints the ratio of
/// what the quickest turns took: those that nobody disturbed. The middle half of all pairs tells how steady it is.
pub(super) fn in_turns<T>(label: &str, one: impl Fn() -> T, other: impl Fn() -> T) {
    let (times_one, times_other) = (times_a_turn(&one), times_a_turn(&other));
    let mut pairs: Vec<(f64, f64)> = Vec::with_capacity(TURNS);
    let begin = Instant::now();
    for turn in 0..TURNS {
        if begin.elapsed() > LONGEST {
            break;
        }
        // Whoever comes second finds other caches.
        let pair = if turn % 2 == 0 {
            let first = nanoseconds(&one, times_one);
            (first, nanoseconds(&other, times_other))
        } else {
            let first = nanoseconds(&other, times_other);
            (nanoseconds(&one, times_one), first)
        };
        pairs.push(pair);
    }
    let quickest = |side: fn(&(f64, f64)) -> f64| pairs.iter().map(side).fold(f64::MAX, f64::min);
    let (one, other) = (quickest(|pair| pair.0), quickest(|pair| pair.1));
    let mut ratios: Vec<f64> = pairs.iter().map(|pair| pair.0 / pair.1).collect();
    ratios.sort_by(f64::total_cmp);
    let (low, high) = (ratios[ratios.len() / 4], ratios[ratios.len() * 3 / 4]);
    println!(
        "{label:<62} {:>6.2} [{low:.2}-{high:.2}]   ({one:.0} ns ÷ {other:.0} ns)",
        one / other
    );
}

/// How long this thread has run, on Linux.
pub(super) fn processor_time() -> Duration {
    let [running, _] = scheduled();
    running
}

/// How long this thread has run, and how long it could have run but waited for a core.
pub(super) fn scheduled() -> [Duration; 2] {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let mut times = text.split_whitespace().map(|time| time.parse().unwrap());
    [(); 2].map(|()| Duration::from_nanos(times.next().unwrap()))
}

/// How often something is done in a turn.
fn times_a_turn<T>(act: &impl Fn() -> T) -> u32 {
    let mut times = 1;
    while nanoseconds(act, times) * f64::from(times) < TURN.as_nanos() as f64 {
        times *= 2;
    }
    times
}

/// How long something takes, done so often.
fn nanoseconds<T>(act: &impl Fn() -> T, times: u32) -> f64 {
    let begin = Instant::now();
    for _ in 0..times {
        black_box(act());
    }
    begin.elapsed().as_nanos() as f64 / f64::from(times)
}

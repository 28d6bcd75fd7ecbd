//! Our server beside the empty one, round by round.

use std::fmt;

use crate::slice::{Load, Slice, percentile};

/// Both servers, asked the same in the same way; a slice of each a round.
pub(crate) struct Comparison {
    pub(crate) name: &'static str,
    pub(crate) load: Load,
    pub(crate) ours: Vec<Slice>,
    pub(crate) empty: Vec<Slice>,
}

impl Comparison {
    pub(crate) fn new(name: &'static str, load: Load) -> Self {
        Self {
            name,
            load,
            ours: Vec::new(),
            empty: Vec::new(),
        }
    }

    /// Ours ÷ empty, of each round.
    fn ratio(&self, figure: fn(&Slice) -> f64) -> Spread {
        let rounds = self.ours.iter().zip(&self.empty);
        Spread::of(rounds.map(|(ours, empty)| figure(ours) / figure(empty)))
    }

    /// Where the rate is given, both have the same.
    fn throughput(&self) -> String {
        match self.load.rate {
            None => self.ratio(rate).to_string(),
            Some(_) => "–".to_owned(),
        }
    }
}

/// What the rounds came to.
pub(crate) struct Spread {
    median: f64,
    /// A quarter of the rounds is below the first, a quarter above the second.
    middle: (f64, f64),
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |quarters: usize| {
            let place = (values.len() - 1) as f64 * quarters as f64 / 4.0;
            let (low, high) = (
                values[place.floor() as usize],
                values[place.ceil() as usize],
            );
            low + (high - low) * place.fract()
        };
        Self {
            median: at(2),
            middle: (at(1), at(3)),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.middle;
        f.pad(&format!("{:.2} ({low:.2}–{high:.2})", self.median))
    }
}

fn rate(slice: &Slice) -> f64 {
    slice.rate
}

fn p99(slice: &Slice) -> f64 {
    percentile(&slice.latencies, 0.99).as_secs_f64()
}

/// The server's processor time for a review, in microseconds: of all rounds together, for the system
/// counts it in hundredths of a second.
fn processor(slices: &[Slice]) -> f64 {
    let seconds: f64 = slices.iter().map(|slice| slice.processor).sum();
    let reviews: usize = slices.iter().map(|slice| slice.latencies.len()).sum();
    seconds * 1e6 / reviews as f64
}

fn row(cells: [&str; 4]) {
    let [name, first, second, third] = cells;
    println!("{name:<26} {first:<18} {second:<18} {third}");
}

/// The ratios, and the size of things.
pub(crate) fn print(comparisons: &[Comparison]) {
    println!("\nOurs ÷ the empty server: the median of the rounds, and the middle half of them.\n");
    row(["", "throughput", "p99 latency", "server's CPU"]);
    for comparison in comparisons {
        row([
            comparison.name,
            &comparison.throughput(),
            &comparison.ratio(p99).to_string(),
            &format!(
                "{:.2}",
                processor(&comparison.ours) / processor(&comparison.empty)
            ),
        ]);
    }
    row(["goal, but for broken", "0.90 at least", "1.15 at most", ""]);

    println!("\nThe size of things, ours and empty.\n");
    row(["", "reviews/s", "p99 in µs", "CPU in µs"]);
    for Comparison {
        name, ours, empty, ..
    } in comparisons
    {
        let both =
            |figure: &dyn Fn(&[Slice]) -> f64| format!("{:.0}, {:.0}", figure(ours), figure(empty));
        row([
            name,
            &both(&|slices| Spread::of(slices.iter().map(rate)).median),
            &both(&|slices| Spread::of(slices.iter().map(p99)).median * 1e6),
            &both(&processor),
        ]);
    }
}

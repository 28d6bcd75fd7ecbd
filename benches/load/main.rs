//! The webhook over TLS on loopback, measured against the very same server with nothing to decide.
//!
//! Both run as processes of their own and are asked in turns, so that what else the machine does
//! hits both alike. `make bench` prints the ratios that docs/performance.md quotes.

mod callers;
mod comparison;
#[path = "../entry/mod.rs"]
mod entry;
mod memory;
mod plot;
#[path = "../resident/mod.rs"]
mod resident;
mod servers;
mod slice;
mod traffic;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;

use callers::{Caller, Way};
use comparison::{Comparison, print};
use servers::{ALLOWED, Certificate, Serving, serve_empty};
use slice::{Load, Plan, measure};
use traffic::{Call, broken, of_a_mesh};

/// Measures the webhook over TLS.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often each server is measured in each way.
    #[arg(long, value_name = "COUNT", default_value = "20")]
    rounds: NonZeroUsize,
    /// How long each time.
    #[arg(long, value_name = "MILLISECONDS", default_value = "1000")]
    milliseconds: NonZeroUsize,
    /// How many reviews are asked at once.
    #[arg(long, value_name = "COUNT", default_value = "8")]
    callers: NonZeroUsize,
    /// How many reviews the memory is watched over; 0 leaves that out.
    #[arg(long, value_name = "COUNT", default_value = "1000000")]
    reviews: usize,
    /// Where to draw the latencies, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// What `cargo bench` adds, and `cargo test` does not.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be the empty server, with this certificate and key.
    #[arg(long, hide = true, num_args = 2)]
    serve_empty: Option<Vec<PathBuf>>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(files) = &arguments.serve_empty {
        return serve_empty(&files[0], &files[1]).await;
    }
    if !arguments.bench {
        println!("This takes minutes and is measured by `cargo bench --bench load` only.");
        return Ok(());
    }
    let certificate = Certificate::make()?;
    let comparisons = compare(&arguments, &certificate).await?;
    print(&comparisons);
    if let Some(file) = &arguments.plot {
        plot::draw(file, &comparisons)?;
        println!("\nThe latencies are drawn in {}.", file.display());
    }
    if arguments.reviews > 0 {
        let callers = arguments.callers.get();
        memory::watch(&certificate, callers, arguments.reviews).await?;
    }
    Ok(())
}

/// Every comparison, in short rounds that take turns.
async fn compare(
    arguments: &Arguments,
    certificate: &Certificate,
) -> anyhow::Result<Vec<Comparison>> {
    let ours = Serving::ours(certificate)?;
    let empty = Serving::empty(certificate)?;
    check_what_is_measured(&ours, &empty).await?;

    let plan = Plan {
        callers: arguments.callers.get(),
        time: Duration::from_millis(arguments.milliseconds.get() as u64),
    };
    let rounds = arguments.rounds.get();
    println!(
        "{} reviews at once, {rounds} rounds of {:?} for each server and row.",
        plan.callers, plan.time
    );
    let mut comparisons = comparisons();
    for round in 0..rounds {
        for Comparison {
            load,
            ours: of_ours,
            empty: of_empty,
            ..
        } in &mut comparisons
        {
            // Whoever comes second finds the machine as the other left it, so they take turns.
            if round % 2 == 0 {
                of_ours.push(measure(&ours, load, plan).await?);
                of_empty.push(measure(&empty, load, plan).await?);
            } else {
                of_empty.push(measure(&empty, load, plan).await?);
                of_ours.push(measure(&ours, load, plan).await?);
            }
        }
    }
    Ok(comparisons)
}

fn comparisons() -> Vec<Comparison> {
    let load = |way, calls, rate| Load { way, calls, rate };
    let rows = [
        (
            "HTTP/1.1, kept alive",
            load(Way::KeptAlive, of_a_mesh(), None),
        ),
        (
            "HTTP/2, one connection",
            load(Way::Multiplexed, of_a_mesh(), None),
        ),
        (
            "a TLS handshake each",
            load(Way::Handshake, of_a_mesh(), None),
        ),
        (
            "HTTP/1.1, 1,000 a second",
            load(Way::KeptAlive, of_a_mesh(), Some(1000)),
        ),
        (
            "HTTP/1.1, broken entries",
            load(Way::KeptAlive, broken(), None),
        ),
    ];
    rows.map(|(name, load)| Comparison::new(name, load)).into()
}

/// The ratios mean something only if the empty server's answer is the one that a good entry gets.
async fn check_what_is_measured(ours: &Serving, empty: &Serving) -> anyhow::Result<()> {
    for way in [Way::KeptAlive, Way::Multiplexed, Way::Handshake] {
        for (calls, good) in [(of_a_mesh(), true), (broken(), false)] {
            let mut callers = Caller::connect(ours, way, 1).await?;
            let mut others = Caller::connect(empty, way, 1).await?;
            for Call { path, review, .. } in calls.iter() {
                let answer = callers[0].ask(path, review.clone()).await?;
                ensure!((answer == ALLOWED) == good, "{path} answers {answer:?}");
                ensure!(others[0].ask(path, review.clone()).await? == ALLOWED);
            }
        }
    }
    Ok(())
}

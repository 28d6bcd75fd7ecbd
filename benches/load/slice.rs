//! One server, asked in one way for a moment.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep_until};

use crate::callers::{Caller, Way};
use crate::servers::Serving;
use crate::traffic::Calls;

/// What is not counted: new connections, and caches that hold the other server.
const WARM_UP: Duration = Duration::from_millis(100);

/// How a server is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) callers: usize,
    pub(crate) time: Duration,
}

/// What is asked of it.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) way: Way,
    pub(crate) calls: Calls,
    /// Reviews a second by all callers together; without, as many as are answered.
    pub(crate) rate: Option<u32>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Slice {
    /// How long each review took, in order.
    pub(crate) latencies: Vec<Duration>,
    /// Reviews a second.
    pub(crate) rate: f64,
    /// The server's processor time, user and system, in seconds.
    pub(crate) processor: f64,
}

/// Asks one review after the other, by each caller, until the time is over.
pub(crate) async fn measure(server: &Serving, load: &Load, plan: Plan) -> anyhow::Result<Slice> {
    let callers = Caller::connect(server, load.way, plan.callers).await?;
    let begin = Instant::now() + WARM_UP;
    let end = begin + plan.time;
    let mut asking = JoinSet::new();
    for (number, caller) in callers.into_iter().enumerate() {
        asking.spawn(ask_until(caller, number, load.clone(), plan, begin));
    }
    sleep_until(begin).await;
    let before = server.metric("process_cpu_seconds_total")?;
    sleep_until(end).await;
    let processor = server.metric("process_cpu_seconds_total")? - before;

    let mut latencies = Vec::new();
    while let Some(asked) = asking.join_next().await {
        latencies.extend(asked??);
    }
    latencies.sort_unstable();
    Ok(Slice {
        rate: latencies.len() as f64 / plan.time.as_secs_f64(),
        latencies,
        processor,
    })
}

/// How long each of one caller's reviews took, but for those asked before `begin`.
async fn ask_until(
    mut caller: Caller,
    number: usize,
    load: Load,
    plan: Plan,
    begin: Instant,
) -> anyhow::Result<Vec<Duration>> {
    // Not in step with the others: neither in time nor in what is asked.
    let mut turns = load.rate.map(|rate| {
        let own = Duration::from_secs(1) * plan.callers as u32 / rate;
        let offset = own * number as u32 / plan.callers as u32;
        interval_at(Instant::now() + offset, own)
    });
    let offset = number * load.calls.len() / plan.callers;

    let mut latencies = Vec::new();
    for call in load.calls.iter().cycle().skip(offset) {
        if let Some(turns) = &mut turns {
            turns.tick().await;
        }
        let asked = Instant::now();
        if asked >= begin + plan.time {
            break;
        }
        caller.ask(call.path, call.review.clone()).await?;
        if asked >= begin {
            latencies.push(asked.elapsed());
        }
    }
    Ok(latencies)
}

/// The latency that this share of the reviews kept within; of latencies in order.
pub(crate) fn percentile(latencies: &[Duration], share: f64) -> Duration {
    let rank = (share * latencies.len() as f64).ceil() as usize;
    let index = rank.clamp(1, latencies.len().max(1)) - 1;
    latencies.get(index).copied().unwrap_or_default()
}

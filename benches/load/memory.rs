//! Whether the server's memory grows with what it has answered.

use std::iter::successors;

use tokio::task::JoinSet;

use crate::callers::{Caller, Way};
use crate::resident;
use crate::servers::{Certificate, Serving};
use crate::traffic::{Call, Calls, broken, of_a_mesh};

/// Prints what a fresh server holds before its first review, after the last, and in between.
pub(crate) async fn watch(
    certificate: &Certificate,
    callers: usize,
    reviews: usize,
) -> anyhow::Result<()> {
    let server = Serving::ours(certificate)?;
    let calls: Vec<Call> = of_a_mesh().iter().chain(broken().iter()).cloned().collect();
    let calls = Calls::from(calls);
    println!(
        "\nResident memory of a fresh server; goal: 15 MiB at most before the first review.\n"
    );
    println!("{:>10}   MiB, anonymous", "reviews");
    print(&server, 0);

    let mut callers = Caller::connect(&server, Way::KeptAlive, callers).await?;
    let mut asked = 0;
    let looks = successors(Some(10_000_usize), |look| look.checked_mul(10));
    let looks = looks.take_while(|look| *look < reviews);
    for look in looks.chain([reviews]) {
        callers = ask(callers, &calls, look - asked).await?;
        asked = look;
        print(&server, asked);
    }
    Ok(())
}

fn print(server: &Serving, reviews: usize) {
    let [resident, anonymous] = resident::mib(server.process(), ["VmRSS", "RssAnon"]);
    println!("{reviews:>10}   {resident:.1}, {anonymous:.1}");
}

/// Asks so many reviews, shared out among the callers.
async fn ask(callers: Vec<Caller>, calls: &Calls, reviews: usize) -> anyhow::Result<Vec<Caller>> {
    let mut asking = JoinSet::new();
    let count = callers.len();
    for (number, mut caller) in callers.into_iter().enumerate() {
        let calls = calls.clone();
        let share = reviews / count + usize::from(number < reviews % count);
        asking.spawn(async move {
            for call in calls.iter().cycle().take(share) {
                caller.ask(call.path, call.review.clone()).await?;
            }
            anyhow::Ok(caller)
        });
    }
    let mut callers = Vec::new();
    while let Some(asked) = asking.join_next().await {
        callers.push(asked??);
    }
    Ok(callers)
}

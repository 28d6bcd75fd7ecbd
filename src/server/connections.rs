//! The open connections of one address, and which of them makes room when there are too many.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::{
    activity::{Activity, Stage},
    metrics::ConnectionMetrics,
};

/// A connection that has waited this long for its client may be ended in favour of another.
///
/// An honest client goes from dial to answer in milliseconds, over a bad network in a few hundred.
const PATIENCE: Duration = Duration::from_secs(1);

/// The tasks that serve connections. Dropping it ends them all.
pub(super) struct Connections {
    limit: usize,
    tasks: JoinSet<()>,
    open: HashMap<Id, (Activity, AbortHandle)>,
    /// Read by every connection: while it is set, each answer ends its connection.
    crowded: Arc<AtomicBool>,
    metrics: ConnectionMetrics,
}

impl Connections {
    pub(super) fn new(limit: usize, crowded: Arc<AtomicBool>, metrics: ConnectionMetrics) -> Self {
        Self {
            limit,
            tasks: JoinSet::new(),
            open: HashMap::new(),
            crowded,
            metrics,
        }
    }

    /// Serves one more.
    pub(super) fn begin(
        &mut self,
        activity: Activity,
        connection: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.tasks.spawn(connection);
        self.open.insert(task.id(), (activity, task));
        self.metrics.open.inc();
    }

    /// Waits for one to end; `false` if there is none.
    pub(super) async fn ended(&mut self) -> bool {
        let Some(ended) = self.tasks.join_next_with_id().await else {
            return false;
        };
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        self.forget(id);
        if let Err(error) = ended {
            report(&error);
        }
        true
    }

    /// Whether one more may begin.
    ///
    /// At the limit, the connection that has waited longest for its client is ended, if that is
    /// longer than a second; and every answer ends its connection, so that clients who keep theirs
    /// busy take turns with those in the system's queue. So neither clients that say nothing nor
    /// more honest ones than there is room for can shut others out.
    pub(super) fn make_room(&mut self) -> bool {
        let full = self.open.len() >= self.limit;
        self.crowded.store(full, Ordering::Relaxed);
        if !full {
            return true;
        }
        let Some(id) = self.longest_waiting() else {
            return false;
        };
        if let Some((_, task)) = self.open.get(&id) {
            task.abort();
        }
        self.forget(id);
        self.metrics.evicted.inc();
        true
    }

    /// Whether no connection has begun anything that is not answered.
    pub(super) fn all_rest(&self) -> bool {
        let mut open = self.open.values();
        open.all(|(activity, _)| activity.stage() == Stage::Resting)
    }

    /// Those who have not sent a whole request go before those who rest after one.
    fn longest_waiting(&self) -> Option<Id> {
        let waiting = self.open.iter().filter_map(|(id, (activity, _))| {
            let waiting = activity.waiting();
            let silent = !matches!(activity.stage(), Stage::Resting | Stage::Multiplexed);
            (waiting >= PATIENCE).then_some(((silent, waiting), *id))
        });
        waiting.max_by_key(|(order, _)| *order).map(|(_, id)| id)
    }

    fn forget(&mut self, id: Id) {
        if self.open.remove(&id).is_some() {
            self.metrics.open.dec();
        }
    }
}

/// A connection's task returns nothing: what can be learnt from its end is a panic in the protocol
/// code. It is cancelled only to make room.
fn report(error: &JoinError) {
    match error.is_cancelled() {
        true => tracing::debug!("ended a connection to make room for another"),
        false => tracing::error!(%error, "a connection's task failed"),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// Connections that wait for ever, each in a stage entered at a second.
    async fn waiting(limit: usize, stages: &[(Stage, u64)]) -> Connections {
        let metrics = ConnectionMetrics::default();
        let mut connections = Connections::new(limit, Arc::default(), metrics);
        let activities: Vec<Activity> = stages.iter().map(|_| Activity::begin()).collect();
        for second in 0..=10 {
            if second > 0 {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            for ((stage, since), activity) in stages.iter().zip(&activities) {
                if *since == second {
                    activity.enter(*stage);
                }
            }
        }
        for activity in activities {
            connections.begin(activity, pending());
        }
        connections
    }

    fn left(connections: &Connections) -> Vec<Stage> {
        let open = connections.open.values();
        open.map(|(activity, _)| activity.stage()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_waited_longest_makes_room() {
        use Stage::{Handshake, Header, Multiplexed, Opening, Request, Resting};
        for (name, open, expected) in [
            ("the older", [(Header, 5), (Opening, 4)], Some(Header)),
            (
                "silent before resting",
                [(Resting, 0), (Handshake, 8)],
                Some(Resting),
            ),
            (
                "half a body",
                [(Request, 2), (Handshake, 3)],
                Some(Handshake),
            ),
            (
                "many at once",
                [(Multiplexed, 1), (Request, 7)],
                Some(Multiplexed),
            ),
            (
                "the older at rest",
                [(Resting, 1), (Multiplexed, 2)],
                Some(Multiplexed),
            ),
            ("none long enough", [(Request, 10), (Resting, 10)], None),
        ] {
            let mut connections = waiting(2, &open).await;
            assert_eq!(connections.make_room(), expected.is_some(), "{name}");
            assert!(connections.crowded.load(Ordering::Relaxed));
            match expected {
                Some(kept) => assert_eq!(left(&connections), [kept], "{name}"),
                None => assert_eq!(left(&connections).len(), 2, "{name}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn below_the_limit_nobody_has_to_go() {
        let mut connections = waiting(3, &[(Stage::Opening, 0), (Stage::Resting, 0)]).await;
        assert!(connections.make_room());
        assert!(!connections.crowded.load(Ordering::Relaxed));
        assert_eq!(left(&connections).len(), 2);
        assert_eq!(connections.metrics.open.get(), 2);
    }
}

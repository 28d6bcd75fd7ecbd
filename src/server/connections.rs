//! The open connections of one address, and which of them makes room when there are too many.

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::watch,
    task::{AbortHandle, Id, JoinError, JoinSet},
};

use super::{
    activity::{Activity, Stage},
    metrics::ConnectionMetrics,
};

/// The tasks that serve connections. Dropping it ends them all.
pub(super) struct Connections {
    bounds: Bounds,
    tasks: JoinSet<()>,
    open: HashMap<Id, (Activity, AbortHandle)>,
    /// Read by every connection: while it is set, each answer ends its connection.
    crowded: watch::Sender<bool>,
    metrics: ConnectionMetrics,
}

/// How many connections there may be, and how long each may hold its place against another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) connections: usize,
    pub(super) patience: Duration,
}

impl Connections {
    pub(super) fn new(bounds: Bounds, metrics: ConnectionMetrics) -> Self {
        Self {
            bounds,
            tasks: JoinSet::new(),
            open: HashMap::new(),
            crowded: watch::Sender::new(false),
            metrics,
        }
    }

    /// Whether somebody waits for a place.
    pub(super) fn crowded(&self) -> watch::Receiver<bool> {
        self.crowded.subscribe()
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

    /// Whether one more may begin, for one who waits to.
    ///
    /// At the limit, the connection that has waited longest for its client is ended, if that is
    /// longer than may be asked; and every answer ends its connection, so that clients who keep
    /// theirs busy take turns with those who wait. So neither clients that say nothing nor more
    /// honest ones than there is room for can shut others out.
    pub(super) fn make_room(&mut self) -> bool {
        let full = self.open.len() >= self.bounds.connections;
        let room = !full || self.evict(|_| true);
        self.crowded.send_if_modified(|crowded| {
            let changes = *crowded == room;
            *crowded = !room;
            changes
        });
        room
    }

    /// Ends the connection that has stalled longest with a request on it, if there is one that has
    /// for longer than may be asked: what it holds is needed.
    pub(super) fn end_a_stalled_request(&mut self) {
        self.evict(Activity::is_busy);
    }

    /// Whether no connection has begun anything that is not answered. One that is open and silent
    /// for a while is in its client's pool.
    pub(super) fn all_rest(&self) -> bool {
        let rests = |activity: &Activity| match activity.stage() {
            Stage::Resting => true,
            Stage::Opening => activity.waiting() >= self.bounds.patience,
            _ => false,
        };
        self.open.values().all(|(activity, _)| rests(activity))
    }

    /// Ends the connection, among those of `some`, that has waited longest for its client; those
    /// who have not sent a whole request go before those who rest after one.
    fn evict(&mut self, some: impl Fn(&Activity) -> bool) -> bool {
        let waiting = self.open.iter().filter(|(_, (activity, _))| some(activity));
        let waiting = waiting.filter_map(|(id, (activity, _))| {
            let waiting = activity.waiting();
            let multiplexed = activity.stage() == Stage::Multiplexed;
            let rests = activity.stage() == Stage::Resting || (multiplexed && !activity.is_busy());
            (waiting >= self.bounds.patience).then_some(((!rests, waiting), *id))
        });
        let longest = waiting.max_by_key(|(order, _)| *order).map(|(_, id)| id);
        let Some(id) = longest else {
            return false;
        };
        if let Some((_, task)) = self.open.get(&id) {
            task.abort();
        }
        self.forget(id);
        self.metrics.evicted.inc();
        true
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
        let bounds = Bounds {
            connections: limit,
            patience: Duration::from_secs(1),
        };
        let mut connections = Connections::new(bounds, metrics);
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
            assert_eq!(*connections.crowded.borrow(), expected.is_none(), "{name}");
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
        assert!(!*connections.crowded.borrow());
        assert_eq!(left(&connections).len(), 2);
        assert_eq!(connections.metrics.open.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn of_what_stalls_only_what_holds_a_request_is_ended() {
        let mut connections = waiting(9, &[(Stage::Resting, 0), (Stage::Multiplexed, 2)]).await;
        connections.end_a_stalled_request();
        assert_eq!(left(&connections).len(), 2, "nobody holds one");
        let multiplexed = connections.open.values().find_map(|(activity, _)| {
            let found = activity.stage() == Stage::Multiplexed;
            found.then(|| activity.clone())
        });
        multiplexed.expect("as begun").request_began();
        connections.end_a_stalled_request();
        assert_eq!(left(&connections).len(), 2, "it has just begun");
        tokio::time::advance(Duration::from_secs(1)).await;
        connections.end_a_stalled_request();
        assert_eq!(left(&connections), [Stage::Resting]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_open_and_silent_rests_after_a_while() {
        for (open, rest) in [
            ([(Stage::Resting, 10), (Stage::Opening, 9)], true),
            ([(Stage::Resting, 0), (Stage::Opening, 10)], false),
            ([(Stage::Resting, 0), (Stage::Request, 0)], false),
            ([(Stage::Resting, 0), (Stage::Header, 0)], false),
            ([(Stage::Resting, 0), (Stage::Handshake, 0)], false),
            ([(Stage::Resting, 0), (Stage::Multiplexed, 0)], false),
        ] {
            let connections = waiting(9, &open).await;
            assert_eq!(connections.all_rest(), rest, "{open:?}");
        }
    }
}

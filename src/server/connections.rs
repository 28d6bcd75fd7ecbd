//! The open connections of one address, and which of them makes room when there are too many.

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::watch,
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::Instant,
};

use super::{
    activity::{Activity, Stage},
    metrics::ConnectionMetrics,
};

/// How long a connection at rest may take to end: it reads once and says goodbye, which one whose
/// client takes nothing cannot.
const TO_LEAVE: Duration = Duration::from_millis(100);

/// The tasks that serve connections. Dropping it ends them all.
pub(super) struct Connections {
    bounds: Bounds,
    tasks: JoinSet<()>,
    open: HashMap<Id, Open>,
    /// Read by every connection: while it is set, each answer ends its connection.
    crowded: watch::Sender<bool>,
    metrics: ConnectionMetrics,
}

struct Open {
    activity: Activity,
    task: AbortHandle,
    /// Since when it is asked to end. It is counted as evicted then.
    dismissed: Option<Instant>,
}

/// Whether one more connection may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Now,
    /// Once a connection at rest has ended, which it was asked to.
    Soon,
    /// Not before somebody has waited for longer.
    Later,
}

/// How many connections there may be, and how long each may hold its place against another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) connections: usize,
    pub(super) patience: Duration,
}

impl Bounds {
    /// One at rest may hold its place for half as long again. Requests that were shed come again
    /// after whole seconds, perhaps on a connection that has rested since: with a patience of one
    /// second it would otherwise be ended just then.
    fn patience_with(self, activity: &Activity) -> Duration {
        match activity.rests() {
            true => self.patience * 3 / 2,
            false => self.patience,
        }
    }
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
        let id = task.id();
        let open = Open {
            activity,
            task,
            dismissed: None,
        };
        self.open.insert(id, open);
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

    /// Whether one more may begin, for one who has waited to for so long.
    ///
    /// At the limit, the connection that has waited longest for its client is ended, if that is
    /// longer than may be asked; and every answer ends its connection, so that clients who keep
    /// theirs busy take turns with those who wait. So neither clients that say nothing nor more
    /// honest ones than there is room for can shut others out.
    ///
    /// To close what rests may cost a request that is on the wire. So while somebody is at work, whose
    /// answer will make room, those who rest are left alone for as long as the one who waits may be asked
    /// to wait.
    pub(super) fn make_room(&mut self, waited: Duration) -> bool {
        let full = self.open.len() >= self.bounds.connections;
        let room = if full {
            let spares_rest = waited < self.bounds.patience && self.somebody_is_at_work();
            self.evict(|activity| !(spares_rest && activity.rests()))
        } else {
            Room::Now
        };
        self.crowded.send_if_modified(|crowded| {
            let before = std::mem::replace(crowded, room == Room::Later);
            before != *crowded
        });
        room == Room::Now
    }

    /// Whether somebody has begun what is not answered, and has not stalled.
    fn somebody_is_at_work(&self) -> bool {
        let patience = self.bounds.patience;
        let mut open = self.open.values().map(|open| &open.activity);
        open.any(|activity| !activity.rests() && activity.waiting() < patience)
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
            Stage::Opening | Stage::Preface => activity.waiting() >= self.bounds.patience,
            _ => false,
        };
        self.open.values().all(|open| rests(&open.activity))
    }

    /// Ends the connection, among those of `some`, that has waited longest for its client; those
    /// who have not sent a whole request go before those who rest after one.
    ///
    /// One at rest is only asked to: its client may have sent a request this moment, which would be
    /// lost.
    fn evict(&mut self, some: impl Fn(&Activity) -> bool) -> Room {
        if let Some(room) = self.await_the_dismissed() {
            return room;
        }
        let waiting = self.open.iter_mut().filter_map(|(id, open)| {
            let (activity, waiting) = (&open.activity, open.activity.waiting());
            let ends = some(activity) && waiting >= self.bounds.patience_with(activity);
            let asked = matches!(activity.stage(), Stage::Resting | Stage::Multiplexed);
            let before_others = !asked || activity.is_busy();
            ends.then_some(((before_others, waiting), *id, open))
        });
        let Some((_, id, open)) = waiting.max_by_key(|(order, ..)| *order) else {
            return Room::Later;
        };
        if open.dismissed.is_none() {
            self.metrics.evicted.inc();
        }
        if open.activity.rests() {
            open.dismissed = Some(Instant::now());
            open.activity.dismiss();
            return Room::Soon;
        }
        self.abort(id)
    }

    /// Gives a connection at rest that was asked to end the time to do so.
    fn await_the_dismissed(&mut self) -> Option<Room> {
        let mut open = self.open.iter();
        let (id, since) = open.find_map(|(id, open)| {
            let since = open.dismissed.filter(|_| open.activity.rests());
            since.map(|since| (*id, since))
        })?;
        Some(match since.elapsed() < TO_LEAVE {
            true => Room::Soon,
            false => self.abort(id),
        })
    }

    fn abort(&mut self, id: Id) -> Room {
        if let Some(open) = self.open.get(&id) {
            open.task.abort();
        }
        self.forget(id);
        Room::Now
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
        open.map(|open| open.activity.stage()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_waited_longest_makes_room() {
        use Stage::{Handshake, Header, Multiplexed, Opening, Preface, Request, Resting};
        // (case, who is open since which second, who makes room at second 10, whether it is asked)
        for (name, open, leaves, is_asked) in [
            ("the older", [(Header, 5), (Preface, 4)], 1, false),
            ("never used", [(Header, 5), (Opening, 4)], 1, true),
            (
                "silent, not resting",
                [(Resting, 0), (Handshake, 8)],
                1,
                false,
            ),
            ("half a body", [(Request, 2), (Handshake, 3)], 0, false),
            ("a second", [(Resting, 9), (Handshake, 9)], 1, false),
            ("many at once", [(Multiplexed, 1), (Request, 7)], 1, false),
            (
                "the older at rest",
                [(Resting, 1), (Multiplexed, 2)],
                0,
                true,
            ),
            (
                "one before the other",
                [(Resting, 3), (Multiplexed, 2)],
                1,
                true,
            ),
        ] {
            let mut connections = waiting(2, &open).await;
            if is_asked {
                assert!(
                    !connections.make_room(Duration::ZERO),
                    "{name}: it has to end first"
                );
                assert_eq!(left(&connections).len(), 2, "{name}");
                tokio::time::advance(TO_LEAVE).await;
            }
            assert!(connections.make_room(Duration::ZERO), "{name}");
            assert!(!*connections.crowded.borrow(), "{name}");
            assert_eq!(left(&connections), [open[1 - leaves].0], "{name}");
            assert_eq!(connections.metrics.evicted.get(), 1, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_rests_is_left_alone_while_an_answer_will_make_room() {
        use Stage::{Handshake, Multiplexed, Request, Resting};
        // (who is open besides, since which second; for how many milliseconds somebody has waited; whether
        // the one at rest is asked to end)
        for (other, waited, is_asked) in [
            ((Request, 10), 0, false),
            ((Request, 10), 999, false),
            ((Request, 10), 1000, true),
            ((Handshake, 10), 0, false),
            // It works on nothing.
            ((Multiplexed, 10), 0, true),
            ((Resting, 10), 0, true),
        ] {
            let mut connections = waiting(2, &[(Resting, 5), other]).await;
            assert!(!connections.make_room(Duration::from_millis(waited)));
            let asked = connections.open.values().any(|open| {
                open.activity.is_dismissed() && open.activity.waiting() > Duration::from_secs(4)
            });
            assert_eq!(asked, is_asked, "{other:?} {waited}");
            assert_eq!(
                *connections.crowded.borrow(),
                !is_asked,
                "{other:?} {waited}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_has_to_go_too_soon() {
        use Stage::{Opening, Request, Resting};
        for open in [[(Request, 10), (Resting, 10)], [(Opening, 9), (Resting, 9)]] {
            let mut connections = waiting(2, &open).await;
            assert!(!connections.make_room(Duration::ZERO), "{open:?}");
            assert!(*connections.crowded.borrow(), "{open:?}");
            assert_eq!(connections.metrics.evicted.get(), 0, "{open:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_asked_to_end_and_gets_a_request_is_left_alone() {
        let mut connections = waiting(2, &[(Stage::Resting, 0), (Stage::Resting, 1)]).await;
        assert!(!connections.make_room(Duration::ZERO));
        let asked = connections
            .open
            .values()
            .find(|open| open.dismissed.is_some());
        let asked = asked.expect("the older").activity.clone();
        asked.dismissed().await;
        asked.request_began();
        tokio::time::advance(TO_LEAVE).await;
        assert!(!connections.make_room(Duration::ZERO));
        assert_eq!(connections.metrics.evicted.get(), 1, "its answer may do");
        let waited = connections.bounds.patience;
        assert!(!connections.make_room(waited), "the other is asked");
        assert_eq!(left(&connections).len(), 2);
        tokio::time::advance(TO_LEAVE).await;
        assert!(connections.make_room(waited));
        assert_eq!(left(&connections), [Stage::Request]);
        assert_eq!(connections.metrics.evicted.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn below_the_limit_nobody_has_to_go() {
        let mut connections = waiting(3, &[(Stage::Opening, 0), (Stage::Resting, 0)]).await;
        assert!(connections.make_room(Duration::ZERO));
        assert!(!*connections.crowded.borrow());
        assert_eq!(left(&connections).len(), 2);
        assert_eq!(connections.metrics.open.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn of_what_stalls_only_what_holds_a_request_is_ended() {
        let mut connections = waiting(9, &[(Stage::Resting, 0), (Stage::Multiplexed, 2)]).await;
        connections.end_a_stalled_request();
        assert_eq!(left(&connections).len(), 2, "nobody holds one");
        let mut open = connections.open.values().map(|open| &open.activity);
        let multiplexed = open.find(|activity| activity.stage() == Stage::Multiplexed);
        let multiplexed = multiplexed.cloned();
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

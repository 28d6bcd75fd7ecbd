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
    /// How long this one may, while somebody is at work whose answer will make room, or nobody is.
    ///
    /// One at rest may for half as long again. Requests that were shed come again after whole
    /// seconds, perhaps on a connection that has rested since: with a patience of one second it would
    /// otherwise be ended just then.
    ///
    /// One that never carried a request may for a quarter while nobody is at work: with one in hand its
    /// client would have sent it. Go's `net/http.Transport` dials for every request that finds nothing at
    /// rest, and whichever connection is free first serves it, so that tens may come unused before those
    /// that are needed.
    fn patience_with(self, activity: &Activity, somebody_is_at_work: bool) -> Duration {
        match activity.stage() {
            Stage::Opening if !somebody_is_at_work => self.patience / 4,
            _ if activity.rests() => self.patience * 3 / 2,
            _ => self.patience,
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

    /// Whether one more may begin, for one who has waited to for so long, in a process that has been awake
    /// for so long: what was said while it was not is yet to be read, so nobody was silent for longer.
    ///
    /// At the limit, the connection that has waited longest for its client is ended, if that is
    /// longer than may be asked; and every answer ends its connection, so that clients who keep
    /// theirs busy take turns with those who wait. So neither clients that say nothing nor more
    /// honest ones than there is room for can shut others out.
    ///
    /// To close what rests may cost a request that is on the wire. So while somebody is at work, whose
    /// answer will make room, those who rest are left alone for as long as the one who waits may be asked
    /// to wait.
    pub(super) fn make_room(&mut self, waited: Duration, awake: Duration) -> bool {
        let full = self.open.len() >= self.bounds.connections;
        let room = if full {
            let is_asked_to_wait = waited.min(awake) < self.bounds.patience;
            let spares_rest = is_asked_to_wait && self.somebody_is_at_work();
            self.evict(awake, |activity| !(spares_rest && activity.rests()))
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
    pub(super) fn end_a_stalled_request(&mut self, awake: Duration) {
        self.evict(awake, Activity::is_busy);
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
    fn evict(&mut self, awake: Duration, some: impl Fn(&Activity) -> bool) -> Room {
        if let Some(room) = self.await_the_dismissed(awake) {
            return room;
        }
        let (bounds, works) = (self.bounds, self.somebody_is_at_work());
        let waiting = self.open.iter_mut().filter_map(|(id, open)| {
            let (activity, waiting) = (&open.activity, open.activity.waiting());
            let silent = waiting.min(awake);
            let ends = some(activity) && silent >= bounds.patience_with(activity, works);
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
    fn await_the_dismissed(&mut self, awake: Duration) -> Option<Room> {
        let mut open = self.open.iter();
        let (id, since) = open.find_map(|(id, open)| {
            let since = open.dismissed.filter(|_| open.activity.rests());
            since.map(|since| (*id, since))
        })?;
        Some(match since.elapsed().min(awake) < TO_LEAVE {
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
mod tests;

//! Whoever follows one kind.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::mem;

use futures_util::StreamExt as _;
use kube::runtime::watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::left_out::LeftOut;
use super::pauses::Pauses;
use super::{NamespacedName, News, Reading, told_with_cause};

/// A kind, and what is known of how it is told.
pub(super) struct Follower<K, V> {
    pub(super) called: &'static str,
    pub(super) read: Box<dyn Fn(K) -> Reading<V> + Send + Sync>,
    pub(super) tell: Box<dyn Fn(News<V>) + Send>,
    /// Until it is known which there are.
    pub(super) known: Option<oneshot::Sender<()>>,
    /// The failure that was logged last.
    pub(super) logged: Option<String>,
    pub(super) left_out: LeftOut,
    pub(super) pauses: Pauses,
    pub(super) selection: watcher::Config,
}

impl<K, V> Follower<K, V>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    pub(super) async fn keep_following(mut self, apis: Vec<Api<K>>) {
        let called = self.called;
        loop {
            for api in &apis {
                self.follow_one(api).await;
            }
            (self.tell)(News::NotInstalled);
            self.left_out.retain(&BTreeSet::new());
            self.tell_left_out();
            self.log_once("not installed", |_| {
                tracing::info!(
                    "the cluster has no {called}: their CustomResourceDefinition is not installed; looking again every few seconds"
                );
            });
            self.is_known();
            self.pause().await;
        }
    }

    /// Until the cluster knows no such resource.
    async fn follow_one(&mut self, api: &Api<K>) {
        let selection = self.selection.clone();
        let begin = || watcher(api.clone(), selection.clone()).boxed();
        let mut events = begin();
        let mut listing = Listing::default();
        // It never ends by itself.
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    self.tell_of(event, &mut listing);
                    continue;
                }
                Err(InitialListFailed(error) | WatchStartFailed(error)) if is_not_found(&error) => {
                    return;
                }
                // The connection was cut: the next watch begins with what was missed.
                Err(WatchFailed(error @ kube::Error::ReadEvents(_))) => {
                    let called = self.called;
                    tracing::debug!(%error, "the watch of {called} goes on");
                    self.pause().await;
                    continue;
                }
                Err(InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error)) => {
                    self.is_unanswered(&error);
                }
                // As a rule 410: the cluster does not remember what came after the last that was seen.
                Err(error) => {
                    (self.tell)(News::Unanswered);
                    let called = self.called;
                    self.log_once(&error.to_string(), |error| {
                        tracing::info!(
                            error,
                            "the cluster cannot tell its {called} from where their watch was: all are listed anew"
                        );
                    });
                }
            }
            self.pause().await;
            // Only a list tells when the cluster answers again, a watch may be silent; and what was missed.
            events = begin();
        }
    }

    fn tell_of(&mut self, event: Event<K>, listing: &mut Listing<V>) {
        match event {
            Event::Init => *listing = Listing::default(),
            Event::InitApply(object) => {
                let name = NamespacedName::of(object.meta());
                match (self.read)(object) {
                    Ok(read) => listing.read.extend(read),
                    Err(reason) => {
                        listing.unreadable.insert(name.clone());
                        self.left_out.put(self.called, name, &reason);
                    }
                }
            }
            Event::InitDone => {
                let listing = mem::take(listing);
                self.left_out.retain(&listing.unreadable);
                (self.tell)(News::Listed(listing.read));
                self.is_answered();
            }
            Event::Apply(object) => {
                let name = NamespacedName::of(object.meta());
                let read = (self.read)(object);
                match &read {
                    Ok(_) => self.left_out.remove(&name),
                    Err(reason) => self.left_out.put(self.called, name.clone(), reason),
                }
                let kept = read.unwrap_or_default();
                (self.tell)(kept.map_or(News::Deleted(name), News::Applied));
            }
            Event::Delete(object) => {
                let name = NamespacedName::of(object.meta());
                self.left_out.remove(&name);
                (self.tell)(News::Deleted(name));
            }
        }
        self.tell_left_out();
    }

    fn tell_left_out(&mut self) {
        if let Some(count) = self.left_out.changed() {
            (self.tell)(News::LeftOut(count));
        }
    }

    fn is_answered(&mut self) {
        if self.logged.take().is_some() {
            let called = self.called;
            tracing::info!("the cluster tells its {called} now");
        }
        self.is_known();
    }

    /// After what is to be told of it: whoever waits may say next that it serves.
    fn is_known(&mut self) {
        if let Some(known) = self.known.take() {
            // Nobody has to wait for it.
            let _ = known.send(());
        }
    }

    fn is_unanswered(&mut self, error: &kube::Error) {
        (self.tell)(News::Unanswered);
        let called = self.called;
        self.log_once(&told_with_cause(error), |error| {
            tracing::warn!(
                error,
                "the cluster does not tell its {called}; what was seen of them stays in force, and it is asked again every few seconds"
            );
        });
    }

    /// Whoever asks every few seconds has the same to say every time.
    fn log_once(&mut self, what: &str, log: impl FnOnce(&str)) {
        if self.logged.as_deref() != Some(what) {
            log(what);
            self.logged = Some(what.to_owned());
        }
    }

    async fn pause(&mut self) {
        sleep(self.pauses.after(Instant::now())).await;
    }
}

/// What has been told of a list that is not complete yet.
struct Listing<V> {
    read: Vec<V>,
    unreadable: BTreeSet<NamespacedName>,
}

impl<V> Default for Listing<V> {
    fn default() -> Self {
        Self {
            read: Vec::new(),
            unreadable: BTreeSet::new(),
        }
    }
}

fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

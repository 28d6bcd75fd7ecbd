//! Following all objects of a kind: what there is, then every change, for as long as the process runs.
//!
//! Lists are paged, and of an object only what is read of it is kept. A watch that breaks is begun again
//! where it broke off, and from a new list where the cluster does not remember that far back.

use std::error::Error as _;
use std::fmt::Debug;
use std::mem;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use kube::api::{ApiResource, DynamicObject};
use kube::core::{GroupVersionKind, ObjectMeta};
use kube::runtime::watcher::Error::{InitialListFailed, WatchStartFailed};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// A watch ends by itself after 290 s (kube's default for `timeoutSeconds`): what is silent for longer
/// is a connection that nobody holds any more. The client's `read_timeout` has to be this.
pub const SILENCE: Duration = Duration::from_secs(295);

/// Which objects are followed.
#[derive(Clone, Debug)]
pub struct Kind<K> {
    /// In words, in the plural: `ServiceEntries`.
    pub called: &'static str,
    /// Where they are asked for; the first that the cluster knows is taken.
    pub apis: Vec<Api<K>>,
    /// Only those of this name, if not all.
    pub name: Option<&'static str>,
}

/// What there is to tell of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News<V> {
    /// All there are; what was told before and is not among them is gone.
    Listed(Vec<V>),
    /// One was made, or is another now.
    Applied(V),
    /// One is gone, or nothing is read of it any more.
    Deleted(NamespacedName),
    /// The cluster knows no such kind, so that there are none.
    NotInstalled,
    /// The cluster does not tell: what was told before may be out of date until the next list.
    Unanswered,
}

/// Which object of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// Empty for what is of the whole cluster.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl NamespacedName {
    /// That of an object.
    pub fn of(metadata: &ObjectMeta) -> Self {
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
        Self {
            namespace: text(&metadata.namespace),
            name: text(&metadata.name),
        }
    }
}

impl Kind<DynamicObject> {
    /// A kind whose objects are read as any object, so that one of an unexpected form does not end the watch,
    /// in the first of these versions that the cluster serves.
    pub fn of_any_form(
        client: &Client,
        called: &'static str,
        group: &str,
        versions: &[&str],
        kind: &str,
    ) -> Self {
        // As Kubernetes calls the resources of a kind.
        let plural = called.to_lowercase();
        let api = |version: &&str| {
            let kind = GroupVersionKind::gvk(group, version, kind);
            let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
            Api::all_with(client.clone(), &resource)
        };
        let apis = versions.iter().map(api).collect();
        Self {
            called,
            apis,
            name: None,
        }
    }
}

/// Follows a kind until the process ends. `read` makes of an object what is kept of it, or nothing where it
/// does not matter; `tell` is told what changes, in order.
///
/// What is returned is done once it is known which there are.
pub fn follow<K, V>(
    kind: Kind<K>,
    read: impl Fn(K) -> Option<V> + Send + Sync + 'static,
    tell: impl Fn(News<V>) + Clone + Send + 'static,
) -> oneshot::Receiver<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    V: Send + 'static,
{
    let (known, first_view) = oneshot::channel();
    let called = kind.called;
    let follower = Follower {
        called,
        read: Box::new(read),
        tell: Box::new(tell.clone()),
        known: Some(known),
        logged: None,
        pauses: Pauses::default(),
        config: match kind.name {
            Some(name) => watcher::Config::default().fields(&format!("metadata.name={name}")),
            None => watcher::Config::default(),
        },
    };
    let following = tokio::spawn(follower.keep_following(kind.apis));
    tokio::spawn(async move {
        let ended = following.await;
        tell(News::Unanswered);
        tracing::error!(
            ?ended,
            "a bug: the cluster's {called} are not followed until a restart"
        );
    });
    first_view
}

struct Follower<K, V> {
    called: &'static str,
    read: Box<dyn Fn(K) -> Option<V> + Send + Sync>,
    tell: Box<dyn Fn(News<V>) + Send>,
    /// Until it is known which there are.
    known: Option<oneshot::Sender<()>>,
    /// The failure that was logged last.
    logged: Option<String>,
    pauses: Pauses,
    config: watcher::Config,
}

impl<K, V> Follower<K, V>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    async fn keep_following(mut self, apis: Vec<Api<K>>) {
        let called = self.called;
        loop {
            for api in &apis {
                self.follow_one(api).await;
            }
            (self.tell)(News::NotInstalled);
            self.is_known();
            self.log_once("not installed", |_| {
                tracing::info!(
                    "the cluster has no {called}: their CustomResourceDefinition is not installed; looking again every few seconds"
                );
            });
            self.pause().await;
        }
    }

    /// Until the cluster knows no such resource.
    async fn follow_one(&mut self, api: &Api<K>) {
        let config = self.config.clone();
        let begin = || watcher(api.clone(), config.clone()).boxed();
        let mut events = begin();
        let mut listed = Vec::new();
        // It never ends by itself.
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.tell_of(event, &mut listed),
                Err(InitialListFailed(error) | WatchStartFailed(error)) if is_not_found(&error) => {
                    return;
                }
                // Only a list tells when the cluster answers again: a watch may be silent.
                Err(InitialListFailed(error) | WatchStartFailed(error)) => {
                    self.is_unanswered(&error);
                    self.pause().await;
                    events = begin();
                }
                Err(error) => {
                    let called = self.called;
                    tracing::debug!(%error, "the watch of {called} begins again");
                    self.pause().await;
                }
            }
        }
    }

    fn tell_of(&mut self, event: Event<K>, listed: &mut Vec<V>) {
        let news = match event {
            Event::Init => return listed.clear(),
            Event::InitApply(object) => return listed.extend((self.read)(object)),
            Event::InitDone => News::Listed(mem::take(listed)),
            Event::Apply(object) => {
                let name = NamespacedName::of(object.meta());
                (self.read)(object).map_or(News::Deleted(name), News::Applied)
            }
            Event::Delete(object) => News::Deleted(NamespacedName::of(object.meta())),
        };
        let is_list = matches!(news, News::Listed(_));
        (self.tell)(news);
        if is_list {
            self.logged = None;
            self.is_known();
        }
    }

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

fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// What the API server answers in a sentence; of a connection that fails, the error and its causes.
pub fn told_with_cause(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return format!("{} ({})", status.message, status.code);
    }
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !told.contains(&words) {
            told = format!("{told}: {words}");
        }
        cause = error.source();
    }
    told
}

/// How long to wait after failures: 1, 2, 4 and from then on 8 s, and from the beginning again once none has
/// come for a minute. Kube's own pauses grow to a minute, for which a definition that was just installed
/// would not count.
#[derive(Default)]
struct Pauses {
    failures: u32,
    last: Option<Instant>,
}

impl Pauses {
    fn after(&mut self, failure: Instant) -> Duration {
        let quiet = self.last.map(|last| failure.duration_since(last));
        if quiet.is_some_and(|quiet| quiet > Duration::from_secs(60)) {
            self.failures = 0;
        }
        self.last = Some(failure);
        let pause = Duration::from_secs(1 << self.failures.min(3));
        self.failures += 1;
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, Pauses};

    #[test]
    fn pauses_grow_and_begin_again() {
        let begin = Instant::now();
        let mut pauses = Pauses::default();
        for (second, expected) in [
            (0, 1),
            (1, 2),
            (3, 4),
            (7, 8),
            (15, 8),
            (75, 8),
            (136, 1),
            (137, 2),
        ] {
            let pause = pauses.after(begin + Duration::from_secs(second));
            assert_eq!(pause, Duration::from_secs(expected), "at {second} s");
        }
    }
}

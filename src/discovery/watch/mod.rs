//! Following all objects of a kind: what there is, then every change, for as long as the process runs.
//!
//! Lists are paged, and of an object only what is read of it is kept. A watch that is cut is begun again
//! where it broke off, and from a new list where something may have been missed.

mod follower;
mod left_out;
mod pace;
mod pauses;
#[cfg(test)]
mod scripted_api;
#[cfg(test)]
mod tests;

use std::error::Error as _;
use std::fmt::Debug;
use std::time::Duration;

use kube::api::ApiResource;
use kube::core::{DeserializeGuard, GroupVersionKind, ObjectMeta};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

pub use pace::paced;

use follower::Follower;
use left_out::LeftOut;
use pauses::Pauses;

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
    /// Which of them.
    pub selection: watcher::Config,
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
    /// So many cannot be read, and count as gone.
    LeftOut(usize),
}

/// What is kept of an object: nothing where it does not matter, or why it cannot be read.
pub type Reading<V> = Result<Option<V>, String>;

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

/// How many objects a page of a list has. A page is in memory as text, as JSON and as objects while it is read, which
/// takes ten times its text: 500, as client-go asks for, are 25 MiB of Pods.
const PAGE: u32 = 100;

/// All objects of a kind, told as they are listed.
pub(super) fn everything() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

impl<K> Kind<K> {
    /// Only the one of that name.
    pub fn named(mut self, name: &str) -> Self {
        self.selection = self.selection.fields(&format!("metadata.name={name}"));
        self
    }

    /// All objects of a kind that have the form of the type.
    pub fn all(called: &'static str, api: Api<K>) -> Self {
        Self {
            called,
            apis: vec![api],
            selection: everything(),
        }
    }
}

impl<K: Resource<DynamicType = ApiResource>> Kind<K> {
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
        let api = |version: &&str| api_of_any_form(client, group, version, kind, &plural);
        let apis = versions.iter().map(api).collect();
        Self {
            called,
            apis,
            selection: everything(),
        }
    }
}

/// Where objects are asked for that are read as any object.
pub fn api_of_any_form<K: Resource<DynamicType = ApiResource>>(
    client: &Client,
    group: &str,
    version: &str,
    kind: &str,
    plural: &str,
) -> Api<K> {
    let kind = GroupVersionKind::gvk(group, version, kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::all_with(client.clone(), &resource)
}

/// Follows a kind until the process ends. `read` makes of an object what is kept of it; `tell` is told what
/// changes, in order.
///
/// What is returned is done once it is known which there are.
pub fn follow<K, V>(
    kind: Kind<K>,
    read: impl Fn(K) -> Reading<V> + Send + Sync + 'static,
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
        left_out: LeftOut::default(),
        pauses: Pauses::default(),
        selection: kind.selection,
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

/// What there is to read, where the cluster tells an object of this kind in the form that it has to have. What
/// is wrong with another is said without what stands there, which may be a password.
///
/// # Errors
/// It has another form.
pub fn well_formed<K>(told: DeserializeGuard<K>) -> Result<K, String> {
    told.0.map_err(|invalid| {
        let wrong = &invalid.error;
        match (wrong.split_once('"'), wrong.rsplit_once('"')) {
            (Some((before, _)), Some((_, after))) => format!("{before}…{after}"),
            _ => invalid.error,
        }
    })
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

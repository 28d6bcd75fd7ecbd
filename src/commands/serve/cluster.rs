//! The cluster whose ConnectProxyPolicies are in force.

use std::error::Error as _;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use futures_util::StreamExt as _;
use kube::api::{ApiResource, DynamicObject};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{GroupVersionKind, Status};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::policy::spec::{API_VERSION, GROUP, KIND, PLURAL, VERSION};

use super::policies::Policies;

/// How long the first answer is waited for: a guard that begins without the policies there are lets
/// pass what they forbid, and one that never begins does so, too.
const FIRST_VIEW: Duration = Duration::from_secs(10);

/// A watch ends by itself after 290 s (kube's default for `timeoutSeconds`): what is silent for longer
/// is a connection that nobody holds any more.
const SILENCE: Duration = Duration::from_secs(295);

/// Which cluster, if any.
#[derive(Clone, Debug, Args)]
pub(super) struct ClusterArguments {
    /// The kubeconfig of the cluster whose ConnectProxyPolicies are in force [default: the file that
    /// KUBECONFIG names, else the cluster that it runs in, if it does].
    #[arg(long, value_name = "FILE", conflicts_with = "offline")]
    kubeconfig: Option<PathBuf>,
    /// Stay out of any cluster: the policy is what the files say.
    #[arg(long)]
    offline: bool,
}

/// A cluster that can be asked.
pub(super) struct Cluster(Client);

impl ClusterArguments {
    /// The cluster that the flags, the environment or the Pod name. Nobody is asked yet.
    ///
    /// # Errors
    /// A kubeconfig, or what a Pod is given, cannot be used.
    pub(super) async fn connect(&self) -> anyhow::Result<Option<Cluster>> {
        let Some(mut config) = self.config().await? else {
            return Ok(None);
        };
        config.read_timeout = Some(SILENCE);
        tracing::info!(cluster = %config.cluster_url, "following the cluster's policies");
        let client = Client::try_from(config).context("the cluster cannot be asked")?;
        Ok(Some(Cluster(client)))
    }

    async fn config(&self) -> anyhow::Result<Option<Config>> {
        if self.offline {
            return Ok(None);
        }
        let (kubeconfig, called) = match &self.kubeconfig {
            Some(path) => (
                Kubeconfig::read_from(path).map(Some),
                format!("the kubeconfig {}", path.display()),
            ),
            None => (
                Kubeconfig::from_env(),
                "the kubeconfig that KUBECONFIG names".to_owned(),
            ),
        };
        let unusable = || format!("{called} cannot be used");
        if let Some(kubeconfig) = kubeconfig.with_context(unusable)? {
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
            return Ok(Some(config.with_context(unusable)?));
        }
        // Set by the kubelet in every Pod.
        if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
            return Ok(None);
        }
        match Config::incluster() {
            Ok(config) => Ok(Some(config)),
            // A Pod without a ServiceAccount's token stays out of the cluster on purpose.
            Err(error) => {
                tracing::warn!(
                    error = %anyhow::Error::from(error),
                    "not following the cluster's policies: the Pod has no access to its cluster (--offline says that it is meant)"
                );
                Ok(None)
            }
        }
    }
}

impl Cluster {
    /// Keeps the policies as the cluster has them, until the process ends. Comes back once they are
    /// known, or it is known that there are none, or that cannot be told for long.
    pub(super) async fn follow(self, policies: Arc<Policies>) {
        let (answered, answer) = oneshot::channel();
        let following = tokio::spawn(keep_following(self.0, Arc::clone(&policies), answered));
        tokio::spawn(async move {
            let ended = following.await;
            policies.unanswered();
            tracing::error!(
                ?ended,
                "a bug: the cluster's policies are not followed until a restart"
            );
        });
        if timeout(FIRST_VIEW, answer).await.is_err() {
            tracing::warn!(
                "the cluster has not told its policies yet; serving with those of the files, else the built-in one"
            );
        }
    }
}

async fn keep_following(client: Client, policies: Arc<Policies>, answered: oneshot::Sender<()>) {
    let kind = GroupVersionKind::gvk(GROUP, VERSION, KIND);
    let resource = ApiResource::from_gvk_with_plural(&kind, PLURAL);
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let mut events = pin!(watcher(api, watcher::Config::default()));
    let mut pauses = Pauses::default();
    let mut answered = Some(answered);
    let mut listed = Vec::new();
    let mut told = None;
    while let Some(event) = events.next().await {
        let mut is_known = false;
        let failed = event.is_err();
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => listed.push(document(&object)),
            Ok(Event::InitDone) => {
                policies.listed(&listed);
                listed.clear();
                is_known = true;
                told = None;
            }
            Ok(Event::Apply(object)) => policies.applied(&document(&object)),
            Ok(Event::Delete(object)) => {
                policies.deleted(object.metadata.name.as_deref().unwrap_or_default());
            }
            Err(error) if is_not_found(&error) => {
                // With the definition go its objects.
                policies.listed(&[]);
                is_known = true;
                tell_once(&mut told, &error, || {
                    tracing::info!(
                        "the cluster has no ConnectProxyPolicies: their CustomResourceDefinition is not installed; looking again every few seconds"
                    );
                });
            }
            Err(error) => unanswered(&error, &policies, &mut told),
        }
        if let Some(answered) = answered.take_if(|_| is_known) {
            // Nobody waits any longer after FIRST_VIEW.
            let _ = answered.send(());
        }
        if failed {
            sleep(pauses.after(Instant::now())).await;
        }
    }
}

/// A list that fails leaves what is in force; a watch that ends is begun again.
fn unanswered(error: &watcher::Error, policies: &Policies, told: &mut Option<String>) {
    use watcher::Error::{InitialListFailed, WatchStartFailed};
    let is_refused = matches!(error, InitialListFailed(_) | WatchStartFailed(_));
    if !is_refused {
        tracing::debug!(%error, "the watch of the cluster's policies begins again");
        return;
    }
    if matches!(error, InitialListFailed(_)) {
        policies.unanswered();
    }
    tell_once(told, error, || {
        tracing::warn!(
            error = told_with_cause(error),
            "the cluster does not tell its policies; what is in force stays, and it is asked again every few seconds"
        );
    });
}

/// Whoever asks every few seconds has the same to say every time.
fn tell_once(told: &mut Option<String>, error: &watcher::Error, tell: impl FnOnce()) {
    let error = error.to_string();
    if told.as_ref() != Some(&error) {
        tell();
        *told = Some(error);
    }
}

/// What the API server answers in a sentence; of a connection that fails, the error and its cause.
fn told_with_cause(error: &watcher::Error) -> String {
    if let Some(status) = answer(error) {
        return format!("{} ({})", status.message, status.code);
    }
    let mut told = error.to_string();
    let mut cause: Option<&dyn std::error::Error> = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !told.contains(&words) {
            told = format!("{told}: {words}");
        }
        cause = error.source();
    }
    told
}

/// Whether the cluster knows no such resources.
fn is_not_found(error: &watcher::Error) -> bool {
    answer(error).is_some_and(|status| status.code == 404)
}

/// What the API server answered, if it did.
fn answer(error: &watcher::Error) -> Option<&Status> {
    use watcher::Error::{InitialListFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

/// What is read of a policy. Read as any object, so that one of another form does not end the watch.
fn document(object: &DynamicObject) -> Value {
    let metadata = &object.metadata;
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": metadata.name,
            "uid": metadata.uid,
            "generation": metadata.generation,
        },
        "spec": object.data["spec"],
    })
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

//! The cluster that is guarded, and what of it is followed.

use std::fmt::Debug;
use std::mem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use kube::api::DynamicObject;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::discovery::watch::{self, Kind, News, Reading};
use crate::policy::spec::{API_VERSION, GROUP, KIND, PLURAL, VERSION};
use crate::server::metrics::Metrics;

use super::leadership::Leadership;
use super::namespaces;
use super::policies::Policies;
use super::status::StatusWriter;
use super::stored_findings::keep_counting;

/// How long the first answers are waited for: a guard that begins without the policies there are lets
/// pass what they forbid, and one that never begins does so, too.
const FIRST_VIEW: Duration = Duration::from_secs(30);

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
    /// Who is asked where the proxies of workloads are, if a policy says observed.resolve; repeatable
    /// [default: the servers of /etc/resolv.conf].
    #[arg(long, value_name = "IP:PORT")]
    dns_server: Vec<SocketAddr>,
}

/// A cluster that can be asked.
pub(super) struct Cluster {
    client: Client,
    /// Where its own objects are: the Pod's namespace, else that of the kubeconfig's context.
    namespace: String,
    metrics: Arc<Metrics>,
    dns_servers: Vec<SocketAddr>,
    /// What is followed, and what is done once it is known which there are.
    first_views: Vec<(&'static str, oneshot::Receiver<()>)>,
}

impl ClusterArguments {
    /// The cluster that the flags, the environment or the Pod name. Nobody is asked yet.
    ///
    /// # Errors
    /// A kubeconfig, or what a Pod is given, cannot be used.
    pub(super) async fn connect(&self, metrics: &Arc<Metrics>) -> anyhow::Result<Option<Cluster>> {
        let Some(mut config) = self.config().await? else {
            return Ok(None);
        };
        config.read_timeout = Some(watch::SILENCE);
        tracing::info!(cluster = %config.cluster_url, "following the cluster");
        let pod = std::env::var("POD_NAMESPACE").ok();
        let pod = pod.filter(|namespace| !namespace.is_empty());
        let namespace = pod.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("the cluster cannot be asked")?;
        let client = watch::paced(client);
        Ok(Some(Cluster {
            client,
            namespace,
            metrics: Arc::clone(metrics),
            dns_servers: self.dns_server.clone(),
            first_views: Vec::new(),
        }))
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
                    "not following the cluster: the Pod has no access to its cluster (--offline says that it is meant)"
                );
                Ok(None)
            }
        }
    }
}

impl Cluster {
    /// Follows a kind, and has [`Self::first_view`] wait for it: see [`follow`].
    pub(super) fn follow<K, V>(
        &mut self,
        kind: Kind<K>,
        read: impl Fn(K) -> Reading<V> + Send + Sync + 'static,
        tell: impl Fn(News<V>) + Clone + Send + 'static,
    ) where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
        V: Send + 'static,
    {
        let called = kind.called;
        let first_view = follow(&self.metrics, kind, read, tell);
        self.first_views.push((called, first_view));
    }

    /// Keeps the policies as the cluster has them.
    pub(super) fn follow_policies(&mut self, policies: Arc<Policies>) {
        let kind = Kind::all("ConnectProxyPolicies", self.policies());
        let tell = move |news| match news {
            News::Listed(objects) => policies.listed(&objects),
            News::Applied(object) => policies.applied(&object),
            News::Deleted(name) => policies.deleted(&name.name),
            // With the definition go its objects.
            News::NotInstalled => policies.listed(&[]),
            News::Unanswered => policies.unanswered(),
            // Every form can be read as any object: what is in it, is judged later.
            News::LeftOut(_) => {}
        };
        self.follow(kind, |object| Ok(Some(document(&object))), tell);
    }

    /// Where it is said how current everything is.
    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Whom to ask for names; those of the system where there are none.
    pub(super) fn dns_servers(&self) -> &[SocketAddr] {
        &self.dns_servers
    }

    /// Where its own objects are.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whom to ask.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Has [`Self::first_view`] wait for something that was begun elsewhere, too.
    pub(super) fn await_first_view(&mut self, called: &'static str, first: oneshot::Receiver<()>) {
        self.first_views.push((called, first));
    }

    /// Keeps the labels of namespaces as the cluster has them.
    pub(super) fn follow_namespaces(&mut self, policies: Arc<Policies>) {
        let kind = namespaces::kind(&self.client);
        let tell = move |news| policies.namespaces_changed(news);
        self.follow(kind, namespaces::labelled, tell);
    }

    /// Waits until it is known what there is of everything that is followed, and `mesh` is done, or that cannot
    /// be told for long.
    pub(super) async fn first_view(&mut self, mesh: oneshot::Receiver<()>) {
        let limit = Instant::now() + FIRST_VIEW;
        let mut missing = Vec::new();
        for (called, first_view) in mem::take(&mut self.first_views) {
            if timeout_at(limit, first_view).await.is_err() {
                missing.push(called);
            }
        }
        // Once all is told, it has to be put in order only.
        if missing.is_empty() && timeout_at(limit, mesh).await.is_err() {
            missing.push("the mesh");
        }
        if !missing.is_empty() {
            tracing::warn!(
                missing = missing.join(", "),
                "the cluster has not told everything yet; serving on what is known"
            );
        }
    }

    /// Stands for election, and tells the cluster how its policies stand while this replica leads.
    pub(super) fn write_statuses(
        &self,
        policies: &Arc<Policies>,
        metrics: &Arc<Metrics>,
    ) -> Leadership {
        let client = self.client.clone();
        let leadership = Leadership::stand(client, &self.namespace, Arc::clone(metrics));
        let writer = StatusWriter::new(self.policies(), Arc::clone(policies), Arc::clone(metrics));
        writer.keep_writing(leadership.leads());
        keep_counting(Arc::clone(policies), leadership.leads());
        leadership
    }

    /// As any objects: one of another form does not end a watch.
    fn policies(&self) -> Api<DynamicObject> {
        watch::api_of_any_form(&self.client, GROUP, VERSION, KIND, PLURAL)
    }
}

/// Follows a kind until the process ends, and says in the metrics how that goes: see [`watch::follow`].
pub(super) fn follow<K, V>(
    metrics: &Arc<Metrics>,
    kind: Kind<K>,
    read: impl Fn(K) -> Reading<V> + Send + Sync + 'static,
    tell: impl Fn(News<V>) + Clone + Send + 'static,
) -> oneshot::Receiver<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    V: Send + 'static,
{
    let called = kind.called;
    let metrics = Arc::clone(metrics);
    metrics.is_current(called, false);
    metrics.left_out(called, 0);
    watch::follow(kind, read, move |news| {
        match news {
            News::Listed(_) | News::NotInstalled => metrics.is_current(called, true),
            News::Unanswered => metrics.is_current(called, false),
            News::LeftOut(count) => metrics.left_out(called, count),
            News::Applied(_) | News::Deleted(_) => {}
        }
        tell(news);
    })
}

/// What is read of a policy.
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
        "status": object.data["status"],
    })
}

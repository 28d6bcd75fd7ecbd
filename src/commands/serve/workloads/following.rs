//! What of the cluster is followed for them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{self, ConfigMap};
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::DeserializeGuard;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::commands::serve::cluster::{Cluster, follow};
use crate::commands::serve::policies::Policies;
use crate::discovery::pods::{PodReader, read_cluster_proxy};
use crate::discovery::watch::{Kind, well_formed};
use crate::server::metrics::Metrics;

use super::Workloads;
use super::resolving::keep_resolving;

/// How long changes come together: a rollout is many, and each has all proxies indexed anew.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a ConfigMap is left alone that could not be read.
const RETRY: Duration = Duration::from_secs(8);

impl Cluster {
    /// Keeps what workloads are told as the cluster has it, in force whether or not the rest is told. ConfigMaps
    /// come after the Pods, so that it is known of which of them anything is to be kept.
    pub(in crate::commands::serve) fn follow_workloads(&mut self, policies: &Arc<Policies>) {
        let workloads = Arc::clone(policies.workloads());
        let told = Arc::clone(&workloads);
        let tell = move |news| told.cluster_proxy(news);
        self.follow(
            cluster_proxies(self.client()),
            |object| Ok(read_cluster_proxy(&object)),
            tell,
        );

        let dns_servers = self.dns_servers().to_vec();
        tokio::spawn(keep_in_force(Arc::clone(policies)));
        tokio::spawn(keep_resolving(Arc::clone(policies), dns_servers));

        let (pods, pods_told) = oneshot::channel();
        let (config_maps, config_maps_told) = oneshot::channel();
        let (client, policies) = (self.client().clone(), Arc::clone(policies));
        let metrics = Arc::clone(self.metrics());
        tokio::spawn(async move {
            // Where a bug ended one, that was told; and nobody has to wait for them.
            let _ = follow_pods(&client, &workloads, &metrics).await;
            let _ = pods.send(());
            workloads.index().begin_config_maps();
            let _ = follow_config_maps(&client, &workloads, &metrics).await;
            policies.observed_changed();
            let _ = config_maps.send(());
            keep_asking(client, workloads).await;
        });
        self.await_first_view("Pods", pods_told);
        self.await_first_view("ConfigMaps", config_maps_told);
    }
}

/// Puts in force what was seen since.
async fn keep_in_force(policies: Arc<Policies>) {
    loop {
        policies.workloads().changed.notified().await;
        policies.observed_changed();
        sleep(PAUSE).await;
    }
}

/// What OpenShift calls `proxies.config.openshift.io`, of which there is one.
fn cluster_proxies(client: &Client) -> Kind<DynamicObject> {
    Kind {
        called: "Proxies of OpenShift",
        ..Kind::of_any_form(client, "Proxies", "config.openshift.io", &["v1"], "Proxy")
    }
}

fn follow_pods(
    client: &Client,
    workloads: &Arc<Workloads>,
    metrics: &Arc<Metrics>,
) -> oneshot::Receiver<()> {
    let api: Api<DeserializeGuard<v1::Pod>> = Api::all(client.clone());
    let pods = Kind::all("Pods", api);
    let reader = Mutex::new(PodReader::default());
    let read = move |pod| {
        let pod = well_formed(pod)?;
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(reader.read(&pod))
    };
    let told = Arc::clone(workloads);
    follow(metrics, pods, read, move |news| told.pods(news))
}

fn follow_config_maps(
    client: &Client,
    workloads: &Arc<Workloads>,
    metrics: &Arc<Metrics>,
) -> oneshot::Receiver<()> {
    let api: Api<DeserializeGuard<ConfigMap>> = Api::all(client.clone());
    let config_maps = Kind::all("ConfigMaps", api);
    let (reading, told) = (Arc::clone(workloads), Arc::clone(workloads));
    let read = move |config_map| {
        let config_map = well_formed(config_map)?;
        Ok(reading.read_config_map(&config_map))
    };
    follow(metrics, config_maps, read, move |news| {
        told.config_maps(news)
    })
}

/// Asks for the ConfigMaps to which nobody referred when they went by.
async fn keep_asking(client: Client, workloads: Arc<Workloads>) {
    loop {
        workloads.unread.notified().await;
        let unread = workloads.index().take_unread_config_maps();
        for name in unread {
            let found = ask_until_answered(&client, &name).await;
            let index = &mut workloads.index();
            if let Some(wanted) = index.wanted(&name) {
                index.answer_config_map(wanted.of(&name, &found.data.unwrap_or_default()));
            }
        }
        workloads.changed.notify_one();
    }
}

/// One that is not there says nothing.
async fn ask_until_answered(client: &Client, key: &str) -> ConfigMap {
    let (namespace, name) = key.split_once('/').unwrap_or_default();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    loop {
        match api.get_opt(name).await {
            Ok(found) => return found.unwrap_or_default(),
            Err(error) => {
                tracing::debug!(%error, config_map = key, "a ConfigMap is asked for again");
                sleep(RETRY).await;
            }
        }
    }
}

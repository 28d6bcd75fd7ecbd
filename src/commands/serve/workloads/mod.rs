//! The proxies that workloads are told of, and how they come to be in force: `following` is what of the cluster is
//! followed for them, `resolving` where DNS says that they are.

mod following;
mod resolving;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use k8s_openapi::api::core::v1::ConfigMap;
use tokio::sync::Notify;

use crate::discovery::env::{Conclusion, Host};
use crate::discovery::index::{ConfigMapValues, Index, Pod, PodKey};
use crate::discovery::observed::{MOST_PROXIES, Observed, observe};
use crate::discovery::pods::cluster_proxy;
use crate::discovery::watch::{NamespacedName, News};
use crate::mesh::service_entry::{Registry, Resolution};
use crate::mesh::view::Mesh as _;
use crate::mesh::{MeshView, ServiceEntry};
use crate::policy::PolicySet;
use crate::policy::proxy::Evidence;
use crate::server::metrics::{Metrics, Unread};

/// What was seen of workloads.
#[derive(Default)]
pub(super) struct Workloads {
    index: Mutex<Index>,
    /// Where hosts lead, by DNS.
    names: Mutex<BTreeMap<Box<str>, Vec<IpAddr>>>,
    /// Whether one of them leads elsewhere since somebody asked.
    renamed: AtomicBool,
    /// Somebody else may have become a user of something.
    changed: Notify,
    /// A Pod may refer to a ConfigMap that went by unread.
    unread: Notify,
}

impl Workloads {
    /// The policies with what was seen beside what they declare.
    pub(super) fn observing(
        &self,
        policies: &PolicySet,
        mesh: &MeshView,
        metrics: &Metrics,
    ) -> PolicySet {
        let mut policies = policies.clone();
        let index = self.index();
        let mut came = Observed::default();
        // Where no policy speaks of it, what is suspected counts.
        if policies.asks_for(Evidence::Observed) {
            let names = self.names();
            let addresses_of = |host: &str| {
                let service = addresses_of(host, mesh);
                let by_dns = names.get(host).filter(|_| service.is_empty());
                by_dns.cloned().unwrap_or(service)
            };
            came = observe(&mut policies.proxies, &index, addresses_of);
        }
        metrics.observes(came.proxies, came.left_out);
        for (why, conclusion) in [
            (Unread::Unknown, Conclusion::Unknown),
            (Unread::Unusable, Conclusion::Unusable),
        ] {
            metrics.cannot_read(why, index.workloads(&conclusion));
        }
        policies
    }

    /// Whether anything is used by others than when this was asked last.
    pub(super) fn take_changed(&self) -> bool {
        let renamed = self.renamed.swap(false, Ordering::Relaxed);
        self.index().take_changed() || renamed
    }

    /// The mesh is another one, in which Services that workloads use may be elsewhere.
    pub(super) fn mesh_changed(&self, before: &MeshView, after: &MeshView) {
        let is_elsewhere = |host: &str| addresses_of(host, before) != addresses_of(host, after);
        let is_moved = self.index().places().any(|place| match &place.host {
            Host::Name(name) => is_elsewhere(name),
            Host::Address(_) => false,
        });
        if is_moved {
            self.renamed.store(true, Ordering::Relaxed);
            self.changed.notify_one();
        }
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Vec<IpAddr>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hosts for which DNS can be asked: Services are not looked up there.
    fn hosts(&self) -> BTreeSet<Box<str>> {
        let index = self.index();
        let hosts = index.places().filter_map(|place| match &place.host {
            Host::Name(name) if name.contains('.') => Some(name),
            Host::Name(_) | Host::Address(_) => None,
        });
        let hosts = hosts.filter(|host| !host.ends_with(".svc.cluster.local"));
        hosts.take(MOST_PROXIES).cloned().collect()
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Index)) {
        change(&mut self.index());
        self.changed.notify_one();
        self.unread.notify_one();
    }

    fn pods(&self, news: News<Pod>) {
        self.change(|index| match news {
            News::Listed(pods) => {
                let kept = cluster_proxy();
                index.list(pods, |pod| pod == kept);
            }
            News::Applied(pod) => index.apply(pod),
            News::Deleted(name) => index.remove(pod_key(&name)),
            News::NotInstalled | News::Unanswered | News::LeftOut(_) => {}
        });
    }

    fn cluster_proxy(&self, news: News<Pod>) {
        self.change(|index| match news {
            News::Listed(mut all) => match all.pop() {
                Some(proxy) => index.apply(proxy),
                None => index.remove(cluster_proxy()),
            },
            News::Applied(proxy) => index.apply(proxy),
            News::Deleted(name) if pod_key(&name) != cluster_proxy() => {}
            News::Deleted(_) | News::NotInstalled => index.remove(cluster_proxy()),
            News::Unanswered | News::LeftOut(_) => {}
        });
    }

    fn config_maps(&self, news: News<ConfigMapValues>) {
        self.change(|index| match news {
            News::Listed(all) => index.list_config_maps(all),
            News::Applied(values) => index.apply_config_map(values),
            News::Deleted(name) => index.remove_config_map(&key(&name)),
            News::NotInstalled | News::Unanswered | News::LeftOut(_) => {}
        });
    }

    /// What Pods refer to of a ConfigMap; nothing, and it is not even copied, where they refer to none of it.
    fn read_config_map(&self, config_map: &ConfigMap) -> Option<ConfigMapValues> {
        let name = key(&NamespacedName::of(&config_map.metadata));
        let wanted = self.index().wanted(&name)?;
        let nothing = Default::default();
        Some(wanted.of(&name, config_map.data.as_ref().unwrap_or(&nothing)))
    }
}

/// The proxies that nobody declares: what they are called, and where they are.
pub(super) fn observed(policies: &PolicySet) -> Vec<(Box<str>, Vec<u16>, Vec<IpNet>)> {
    let proxies = policies.proxies.all().iter();
    let observed = proxies.filter(|proxy| proxy.evidence == Evidence::Observed);
    let observed = observed.map(|proxy| {
        let (ports, addresses) = (proxy.ports.clone(), proxy.addresses.clone());
        (proxy.name.clone(), ports, addresses)
    });
    let mut observed: Vec<_> = observed.collect();
    observed.sort();
    observed
}

/// How the index knows a Pod.
fn pod_key(name: &NamespacedName) -> PodKey {
    PodKey::of(&name.namespace, &name.name)
}

/// How the index calls a ConfigMap.
fn key(name: &NamespacedName) -> String {
    format!("{}/{}", name.namespace, name.name)
}

/// Where the host of a Service leads. A Pod's resolver tries `squid.tools` below the cluster's domain before
/// anywhere else (`options ndots:5`, Kubernetes: DNS for Services and Pods).
fn addresses_of(host: &str, mesh: &MeshView) -> Vec<IpAddr> {
    let mut known = mesh.with_host(host);
    if host.matches('.').count() == 1 {
        known.extend(mesh.with_host(&format!("{host}.svc.cluster.local")));
    }
    let mut services = known
        .into_iter()
        .filter(|ranked| ranked.entry.registry == Registry::Kubernetes);
    let service = services.next().map(|ranked| ranked.entry);
    service.map_or_else(Vec::new, addresses_of_service)
}

/// Where its clients dial it: at its ClusterIPs, or if it is headless at its endpoints, whose order says nothing.
fn addresses_of_service(service: &ServiceEntry) -> Vec<IpAddr> {
    if service.resolution != Resolution::None {
        return service.usable_addresses().collect();
    }
    let endpoints = service.endpoints.iter();
    let addresses = endpoints.filter_map(|endpoint| endpoint.address.parse().ok());
    let addresses: BTreeSet<IpAddr> = addresses.collect();
    addresses.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::commands;
    use crate::discovery::pods::PodReader;
    use crate::discovery::watch::News;
    use crate::mesh::MeshView;

    use super::Workloads;

    fn mesh(objects: &[Value]) -> MeshView {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        commands::mesh_of(&list.to_string())
    }

    #[test]
    fn a_service_that_workloads_use_and_no_other_makes_the_mesh_another_one() {
        let service = |name: &str, cluster_ip: &str| {
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": name, "namespace": "proxies"},
                "spec": {"clusterIP": cluster_ip, "ports": [{"port": 3128}]},
            })
        };
        let pod = json!({
            "metadata": {"name": "api", "namespace": "shop"},
            "spec": {"containers": [{"name": "api", "env": [
                {"name": "HTTPS_PROXY", "value": "http://squid.proxies:3128"},
            ]}]},
        });
        let pod = serde_json::from_value(pod).expect("a Pod");
        let workloads = Workloads::default();
        let read = PodReader::default().read(&pod).expect("it uses a proxy");
        workloads.pods(News::Applied(read));
        assert!(workloads.take_changed());
        let slice = |address: &str| {
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {
                    "name": "squid-1", "namespace": "proxies",
                    "labels": {"kubernetes.io/service-name": "squid"},
                },
                "addressType": "IPv4", "ports": [{"port": 3128}], "endpoints": [{"addresses": [address]}],
            })
        };
        let headless = |address: &str| mesh(&[service("squid", "None"), slice(address)]);
        let none = mesh(&[]);
        let there = mesh(&[service("squid", "10.96.0.5")]);
        for (what, before, after, expected) in [
            ("none", &none, &none, false),
            ("it comes", &none, &there, true),
            ("it stays", &there, &there, false),
            ("it goes", &there, &none, true),
            (
                "it moves",
                &there,
                &mesh(&[service("squid", "10.96.0.6")]),
                true,
            ),
            (
                "it is headless and has an endpoint",
                &none,
                &headless("10.244.0.1"),
                true,
            ),
            (
                "its endpoint moves",
                &headless("10.244.0.1"),
                &headless("10.244.0.2"),
                true,
            ),
            (
                "that of one with a ClusterIP moves",
                &mesh(&[service("squid", "10.96.0.5"), slice("10.244.0.1")]),
                &mesh(&[service("squid", "10.96.0.5"), slice("10.244.0.2")]),
                false,
            ),
            (
                "another one comes",
                &none,
                &mesh(&[service("other", "10.96.0.7")]),
                false,
            ),
        ] {
            workloads.mesh_changed(before, after);
            assert_eq!(workloads.take_changed(), expected, "{what}");
        }
    }
}

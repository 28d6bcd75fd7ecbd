//! Which proxies the Pods of a cluster are told of, and which workloads use each.
//!
//! Pure: values in, values out. Built for 100,000 Pods: of a Pod that names no proxy nothing is kept, and of
//! the others a key and two pointers, to its workload and to its variables, which it shares with all that are
//! like it.
#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

mod config_maps;
mod pod;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::env::{Conclusion, Place, ProxyVariables};
use super::workload::Workload;
use crate::policy::proxy::Users;
use config_maps::ConfigMaps;
pub use config_maps::{ConfigMapValues, Wanted};
pub use pod::{Pod, PodKey};

/// The Pods that name a proxy, or may.
#[derive(Debug, Default)]
pub struct Index {
    pods: HashMap<PodKey, (Arc<Workload>, Arc<ProxyVariables>)>,
    variables: HashMap<Arc<ProxyVariables>, OfVariables>,
    users: BTreeMap<Conclusion, Workloads>,
    config_maps: ConfigMaps,
    has_changed: bool,
}

/// What some variables come to, and whose they are.
#[derive(Debug, Default)]
struct OfVariables {
    conclusions: BTreeSet<Conclusion>,
    workloads: Workloads,
}

/// With how many of its Pods each is counted here; in [`Index::users`], with how many of its variables.
type Workloads = BTreeMap<Arc<Workload>, u32>;

impl Index {
    /// A Pod was made, or is another now.
    pub fn apply(&mut self, pod: Pod) {
        let Pod {
            key,
            workload,
            variables,
        } = pod;
        let before = self.pods.get(&key);
        if before.is_some_and(|before| *before.0 == *workload && *before.1 == *variables) {
            return;
        }
        let before = self.pods.insert(key, (workload.clone(), variables.clone()));
        self.add(&workload, &variables);
        if let Some((workload, variables)) = before {
            self.take(&workload, &variables);
        }
    }

    /// A Pod is gone, or names no proxy any more.
    pub fn remove(&mut self, pod: PodKey) {
        if let Some((workload, variables)) = self.pods.remove(&pod) {
            self.take(&workload, &variables);
        }
    }

    /// All Pods that name a proxy; others are gone, but for those that are none and that `keep` keeps.
    pub fn list(&mut self, pods: Vec<Pod>, keep: impl Fn(PodKey) -> bool) {
        let listed: HashSet<PodKey> = pods.iter().map(|pod| pod.key).collect();
        let known = self.pods.keys().copied();
        let gone = known.filter(|pod| !listed.contains(pod) && !keep(*pod));
        for pod in gone.collect::<Vec<_>>() {
            self.remove(pod);
        }
        for pod in pods {
            self.apply(pod);
        }
        self.pods.shrink_to_fit();
    }

    fn add(&mut self, workload: &Arc<Workload>, variables: &Arc<ProxyVariables>) {
        if !self.variables.contains_key(variables) {
            self.config_maps.refer(variables);
            let conclusions = variables.conclusions(&|key| self.config_maps.get(key));
            let of_variables = OfVariables {
                conclusions,
                ..OfVariables::default()
            };
            self.variables.insert(variables.clone(), of_variables);
        }
        let Some(of_variables) = self.variables.get_mut(variables) else {
            return;
        };
        if count(&mut of_variables.workloads, workload) {
            for conclusion in &of_variables.conclusions {
                let users = self.users.entry(conclusion.clone()).or_default();
                self.has_changed |= count(users, workload);
            }
        }
    }

    fn take(&mut self, workload: &Arc<Workload>, variables: &Arc<ProxyVariables>) {
        let Some(of_variables) = self.variables.get_mut(variables) else {
            return;
        };
        if !discount(&mut of_variables.workloads, workload) {
            return;
        }
        for conclusion in &of_variables.conclusions {
            self.has_changed |= leave(&mut self.users, conclusion, workload);
        }
        if of_variables.workloads.is_empty() {
            self.variables.remove(variables);
            self.config_maps.forget(variables);
        }
    }

    /// A ConfigMap says what it says now.
    pub fn apply_config_map(&mut self, values: ConfigMapValues) {
        let changed = self.config_maps.apply(values);
        self.conclude_again(&changed);
    }

    /// A ConfigMap was asked for because of keys that nobody had asked for before: what is known meanwhile
    /// is newer.
    pub fn answer_config_map(&mut self, values: ConfigMapValues) {
        let changed = self.config_maps.answer(values);
        self.conclude_again(&changed);
    }

    /// A ConfigMap is gone.
    pub fn remove_config_map(&mut self, name: &str) {
        let changed = self.config_maps.remove(name);
        self.conclude_again(&changed);
    }

    /// All ConfigMaps that Pods refer to.
    pub fn list_config_maps(&mut self, all: Vec<ConfigMapValues>) {
        let changed = self.config_maps.list(all);
        self.conclude_again(&changed);
    }

    /// The keys of a ConfigMap that Pods refer to: the rest of it is not kept.
    pub fn wanted(&self, config_map: &str) -> Option<Wanted> {
        self.config_maps.wanted(config_map)
    }

    /// From now on the ConfigMaps are told, those first to which Pods refer already.
    pub fn begin_config_maps(&mut self) {
        self.config_maps.begin();
    }

    /// ConfigMaps to be asked for, because they went by before anybody referred to them.
    pub fn take_unread_config_maps(&mut self) -> Vec<Box<str>> {
        self.config_maps.take_unread()
    }

    fn conclude_again(&mut self, changed: &[Arc<ProxyVariables>]) {
        for variables in changed {
            let Some(of_variables) = self.variables.get_mut(variables) else {
                continue;
            };
            let now = variables.conclusions(&|key| self.config_maps.get(key));
            let before = std::mem::replace(&mut of_variables.conclusions, now);
            let now = &of_variables.conclusions;
            for workload in of_variables.workloads.keys() {
                for conclusion in before.difference(now) {
                    self.has_changed |= leave(&mut self.users, conclusion, workload);
                }
                for conclusion in now.difference(&before) {
                    let users = self.users.entry(conclusion.clone()).or_default();
                    self.has_changed |= count(users, workload);
                }
            }
        }
    }

    /// Whether anything is used by others than when this was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// Where the proxies are, hosts first.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.users.keys().filter_map(|conclusion| match conclusion {
            Conclusion::Proxy(place) => Some(place),
            Conclusion::Unknown | Conclusion::Unusable => None,
        })
    }

    /// Who uses a proxy that is at these places: each workload counts once.
    pub fn users_of(&self, places: &[&Place]) -> Users {
        let proxy = |place: &&Place| Conclusion::Proxy((*place).clone());
        let users = places
            .iter()
            .filter_map(|place| self.users.get(&proxy(place)));
        let users: Vec<&Workloads> = users.collect();
        match users[..] {
            [only] => told(only.keys()),
            _ => {
                let all: BTreeSet<&Arc<Workload>> =
                    users.iter().flat_map(|users| users.keys()).collect();
                told(all)
            }
        }
    }

    /// How many workloads come to something that is no proxy.
    pub fn workloads(&self, conclusion: &Conclusion) -> usize {
        self.users.get(conclusion).map_or(0, BTreeMap::len)
    }
}

fn told<'a>(workloads: impl IntoIterator<Item = &'a Arc<Workload>>) -> Users {
    let mut users = Users::default();
    for workload in workloads {
        if workload.is_whole_cluster() {
            users.cluster = true;
            continue;
        }
        if users.workloads == 0 {
            users.first = workload.to_string().into();
        }
        users.workloads += 1;
    }
    users
}

/// Whether it is the first.
fn count(workloads: &mut Workloads, workload: &Arc<Workload>) -> bool {
    if let Some(count) = workloads.get_mut(workload) {
        *count += 1;
        return false;
    }
    workloads.insert(workload.clone(), 1);
    true
}

/// Whether it was the last.
fn discount(workloads: &mut Workloads, workload: &Arc<Workload>) -> bool {
    let Some(count) = workloads.get_mut(workload) else {
        return false;
    };
    *count -= 1;
    let is_last = *count == 0;
    if is_last {
        workloads.remove(workload);
    }
    is_last
}

fn leave(
    users: &mut BTreeMap<Conclusion, Workloads>,
    conclusion: &Conclusion,
    workload: &Arc<Workload>,
) -> bool {
    let Some(workloads) = users.get_mut(conclusion) else {
        return false;
    };
    let is_last = discount(workloads, workload);
    if workloads.is_empty() {
        users.remove(conclusion);
    }
    is_last
}

#[cfg(test)]
mod tests;

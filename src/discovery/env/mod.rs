//! The proxies that a Pod's environment names.
//!
//! Pure: values in, values out. What a variable is set to may stand in a ConfigMap; so what is made of a Pod
//! is [`ProxyVariables`], and what they come to is asked again when a ConfigMap changes. Nothing of a
//! Secret is ever read, and of a value nothing is kept but where it leads.
//!
//! `NO_PROXY` says which destinations a client dials by itself. With `*` among them the client never dials
//! the proxy, and its variables are no evidence. That it names the proxy's own host says nothing: no client
//! looks there for the proxy, and whole domains stand there, the proxy's often among them.
#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

mod container;
mod expansion;
mod place;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec};

use container::OfContainer;
pub use place::{Conclusion, Host, Place};

/// The variables that name a proxy.
const PROXY: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The variables that name what is dialled without it.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// No URL of a proxy is longer. Of a longer value in a ConfigMap the beginning is kept.
const LONGEST_VALUE: usize = 1024;

/// The proxy variables of a Pod, with nothing in them that differs between the Pods of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProxyVariables(Vec<OfContainer>);

/// A key of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigMapKey {
    /// Its namespace and name, with a slash between them.
    pub config_map: Box<str>,
    /// The key.
    pub key: Box<str>,
}

/// What is known of a [`ConfigMapKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// Its value, as [`kept`] of it.
    Value(&'a str),
    /// That there is none.
    Absent,
    /// Nothing, yet.
    Unknown,
}

impl ProxyVariables {
    /// Those of a Pod's containers, init containers included.
    pub fn of(spec: &PodSpec, namespace: &str) -> Self {
        let init = spec.init_containers.iter().flatten();
        let containers = init.chain(&spec.containers);
        let mut read: Vec<OfContainer> = containers
            .filter_map(|container| OfContainer::read(container, namespace))
            .collect();
        // Most are alike, and the order says nothing.
        read.sort();
        read.dedup();
        Self(read)
    }

    /// Those of an environment with nothing but values.
    pub fn of_values(values: &BTreeMap<&str, &str>) -> Self {
        let env = values.iter().map(|(name, value)| EnvVar {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            ..EnvVar::default()
        });
        let container = Container {
            env: Some(env.collect()),
            ..Container::default()
        };
        Self(OfContainer::read(&container, "").into_iter().collect())
    }

    /// Whether there is nothing to learn.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every key of a ConfigMap that has a part in them.
    pub fn config_map_keys(&self) -> BTreeSet<&ConfigMapKey> {
        self.0.iter().flat_map(OfContainer::keys).collect()
    }

    /// What they come to.
    pub fn conclusions<'a>(
        &self,
        lookup: &dyn Fn(&ConfigMapKey) -> Known<'a>,
    ) -> BTreeSet<Conclusion> {
        let mut conclusions = BTreeSet::new();
        for container in &self.0 {
            container.conclude(lookup, &mut conclusions);
        }
        conclusions
    }
}

/// What is kept of a ConfigMap's value: no user and no password.
pub fn kept(value: &str) -> Box<str> {
    let end = value.floor_char_boundary(LONGEST_VALUE);
    expansion::without_user(&value[..end]).into()
}

#[cfg(test)]
mod tests;

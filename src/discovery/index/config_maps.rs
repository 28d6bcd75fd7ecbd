//! What the ConfigMaps say to which Pods refer, and nothing else of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::discovery::env::{ConfigMapKey, Known, ProxyVariables, kept};

/// The keys of one ConfigMap to which Pods refer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted(BTreeSet<Box<str>>);

/// What a ConfigMap says under the keys that were [`Wanted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMapValues {
    name: Box<str>,
    values: BTreeMap<Box<str>, Option<Box<str>>>,
}

impl Wanted {
    /// Reads them. `name` is its namespace and name, with a slash between them.
    pub fn of(&self, name: &str, values: &BTreeMap<String, String>) -> ConfigMapValues {
        let read = self.0.iter();
        let read = read.map(|key| (key.clone(), values.get(&**key).map(|value| kept(value))));
        ConfigMapValues {
            name: name.into(),
            values: read.collect(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct ConfigMaps {
    referred: BTreeMap<Box<str>, Referred>,
    /// Those that may have gone by before somebody referred to them, and whether they were asked for.
    unread: BTreeMap<Box<str>, bool>,
}

#[derive(Debug, Default)]
struct Referred {
    /// Of the keys that are known, what they say, if they are there.
    values: BTreeMap<Box<str>, Option<Box<str>>>,
    by: BTreeSet<Arc<ProxyVariables>>,
}

impl ConfigMaps {
    pub(super) fn refer(&mut self, variables: &Arc<ProxyVariables>) {
        for key in variables.config_map_keys() {
            let referred = self.referred.entry(key.config_map.clone()).or_default();
            referred.by.insert(variables.clone());
            if !referred.values.contains_key(&key.key) {
                self.unread.insert(key.config_map.clone(), false);
            }
        }
    }

    pub(super) fn forget(&mut self, variables: &Arc<ProxyVariables>) {
        for key in variables.config_map_keys() {
            let Some(referred) = self.referred.get_mut(&key.config_map) else {
                continue;
            };
            referred.by.remove(variables);
            // What nobody asks for any more is not kept up to date.
            let Wanted(keys) = referred.wanted(&key.config_map);
            referred.values.retain(|key, _| keys.contains(key));
            if referred.by.is_empty() {
                self.referred.remove(&key.config_map);
                self.unread.remove(&key.config_map);
            }
        }
    }

    pub(super) fn get(&self, key: &ConfigMapKey) -> Known<'_> {
        let referred = self.referred.get(&key.config_map);
        match referred.and_then(|referred| referred.values.get(&key.key)) {
            Some(Some(value)) => Known::Value(value),
            Some(None) => Known::Absent,
            None => Known::Unknown,
        }
    }

    pub(super) fn wanted(&self, name: &str) -> Option<Wanted> {
        Some(self.referred.get(name)?.wanted(name))
    }

    /// From now on they go by: each of which a Pod has spoken.
    pub(super) fn begin(&mut self) {
        self.unread.clear();
    }

    /// Those that were not asked for yet.
    pub(super) fn take_unread(&mut self) -> Vec<Box<str>> {
        let unread = self.unread.iter_mut().filter(|(_, asked)| !**asked);
        let unread = unread.map(|(name, asked)| {
            *asked = true;
            name.clone()
        });
        unread.collect()
    }

    /// The variables for which something may be different now.
    pub(super) fn apply(&mut self, values: ConfigMapValues) -> Vec<Arc<ProxyVariables>> {
        let Some(referred) = self.referred.get_mut(&values.name) else {
            return Vec::new();
        };
        let mut is_other = false;
        for (key, value) in values.values {
            is_other |= referred.values.get(&key) != Some(&value);
            referred.values.insert(key, value);
        }
        match is_other {
            true => referred.by.iter().cloned().collect(),
            false => Vec::new(),
        }
    }

    pub(super) fn answer(&mut self, mut values: ConfigMapValues) -> Vec<Arc<ProxyVariables>> {
        self.unread.remove(&values.name);
        if let Some(referred) = self.referred.get(&values.name) {
            values
                .values
                .retain(|key, _| !referred.values.contains_key(key));
        }
        self.apply(values)
    }

    pub(super) fn remove(&mut self, name: &str) -> Vec<Arc<ProxyVariables>> {
        let nothing = BTreeMap::new();
        match self.wanted(name) {
            Some(wanted) => self.apply(wanted.of(name, &nothing)),
            None => Vec::new(),
        }
    }

    pub(super) fn list(&mut self, all: Vec<ConfigMapValues>) -> Vec<Arc<ProxyVariables>> {
        let listed: BTreeSet<&str> = all.iter().map(|values| &*values.name).collect();
        // What somebody began to refer to while they were listed may have gone by unread.
        let known = self.referred.keys();
        let gone = known.filter(|name| !listed.contains(&***name));
        let gone = gone.filter(|name| !self.unread.contains_key(*name));
        let gone: Vec<Box<str>> = gone.cloned().collect();
        let mut changed: Vec<_> = gone.iter().flat_map(|name| self.remove(name)).collect();
        changed.extend(all.into_iter().flat_map(|values| self.apply(values)));
        changed
    }
}

impl Referred {
    fn wanted(&self, name: &str) -> Wanted {
        let keys = self
            .by
            .iter()
            .flat_map(|variables| variables.config_map_keys());
        let keys = keys.filter(|key| &*key.config_map == name);
        Wanted(keys.map(|key| key.key.clone()).collect())
    }
}

//! Policies that are custom resources: what is good of them, and what is wrong with the others.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::policy::PolicySet;
use crate::policy::compile::{Place, compile_object};

use super::policy_status::Standing;

/// The policies of a cluster, by name, each as it was last good.
#[derive(Debug, Default)]
pub struct PolicyResources {
    known: BTreeMap<String, Resource>,
}

#[derive(Debug)]
struct Resource {
    /// Which object of that name it is, and which of its specs was read last.
    version: (Value, Value),
    last_good: Option<Good>,
    /// What is wrong with that spec, if it cannot be used.
    faults: Option<String>,
    /// The `status` that the cluster shows.
    status: Value,
}

/// A spec that can be used.
#[derive(Clone, Debug)]
struct Good {
    generation: Value,
    policy: PolicySet,
}

/// What a look at a policy came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It says what it said before.
    Nothing,
    /// It can be used.
    Usable,
    /// It cannot be used; what it said before, if it did, stays in force.
    Unusable {
        /// Every fault, with its field and the way out.
        faults: String,
        /// Whether there is such a thing.
        stays: bool,
    },
}

impl PolicyResources {
    /// Reads a policy as it stands in the cluster now.
    pub fn apply(&mut self, object: &Value) -> Change {
        let metadata = &object["metadata"];
        // Every write to the spec counts the generation up, and no other does; another object of that
        // name has another uid.
        let version = (metadata["uid"].clone(), metadata["generation"].clone());
        let name = name_of(object);
        let status = object["status"].clone();
        let known = self.known.get_mut(&name);
        if let Some(known) = known.filter(|known| known.version == version) {
            known.status = status;
            return Change::Nothing;
        }
        let before = self.known.remove(&name);
        let same = before.filter(|before| before.version.0 == version.0);
        let (last_good, faults, change) = match compile(object) {
            Ok(policy) => {
                let generation = version.1.clone();
                (Some(Good { generation, policy }), None, Change::Usable)
            }
            Err(faults) => {
                let last_good = same.and_then(|before| before.last_good);
                let stays = last_good.is_some();
                let told = faults.clone();
                (last_good, Some(told), Change::Unusable { faults, stays })
            }
        };
        let resource = Resource {
            version,
            last_good,
            faults,
            status,
        };
        self.known.insert(name, resource);
        change
    }

    /// Forgets a policy; says whether there was one.
    pub fn delete(&mut self, name: &str) -> bool {
        self.known.remove(name).is_some()
    }

    /// Forgets every policy but those; says whether there was another.
    pub fn retain(&mut self, names: &BTreeSet<&str>) -> bool {
        let before = self.known.len();
        self.known.retain(|name, _| names.contains(&**name));
        self.known.len() < before
    }

    /// The last good form of each, by name.
    pub fn usable(&self) -> impl Iterator<Item = (&str, &PolicySet)> {
        let known = self.known.iter();
        known.filter_map(|(name, resource)| Some((&**name, &resource.last_good.as_ref()?.policy)))
    }

    /// How each stands, by name.
    pub fn standings(&self) -> impl Iterator<Item = Standing<'_>> {
        let known = self.known.iter();
        known.map(|(name, resource)| resource.standing(name))
    }

    /// Notes which status the cluster shows of a policy, unless another object has its name by now.
    pub fn shows(&mut self, name: &str, uid: &str, status: Value) {
        let known = self.known.get_mut(name);
        if let Some(known) = known.filter(|known| known.version.0 == uid) {
            known.status = status;
        }
    }

    /// Whether every one is used as it was written last.
    pub fn are_current(&self) -> bool {
        self.known.values().all(|known| known.faults.is_none())
    }
}

impl Resource {
    fn standing<'a>(&'a self, name: &'a str) -> Standing<'a> {
        let good = self.last_good.as_ref();
        Standing {
            name,
            uid: self.version.0.as_str().unwrap_or_default(),
            generation: self.version.1.as_i64().unwrap_or_default(),
            faults: self.faults.as_deref(),
            in_force: good.and_then(|good| good.generation.as_i64()),
            declared: good.map_or(0, |good| good.policy.proxies.all().len()),
            shown: &self.status,
        }
    }
}

/// What an object is called.
fn name_of(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str();
    name.unwrap_or_default().to_owned()
}

fn compile(object: &Value) -> Result<PolicySet, String> {
    let compiled = compile_object(object, Place::Cluster);
    compiled.map(|(_, policy)| policy).map_err(|faults| {
        let faults = faults.iter().map(ToString::to_string);
        faults.collect::<Vec<_>>().join("; ")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Change, PolicyResources};

    fn policy(uid: &str, generation: u8, mode: &str) -> Value {
        json!({
            "apiVersion": "tunnelguard.dev/v1alpha1", "kind": "ConnectProxyPolicy",
            "metadata": {"name": "corporate", "uid": uid, "generation": generation},
            "spec": {"mode": mode},
        })
    }

    #[test]
    fn what_a_list_does_not_have_is_gone() {
        let mut resources = PolicyResources::default();
        resources.apply(&policy("a", 1, "Enforce"));
        assert!(!resources.retain(&["corporate", "other"].into()));
        assert_eq!(resources.usable().count(), 1);
        assert!(resources.retain(&["other"].into()));
        assert_eq!(resources.usable().count(), 0);
    }

    #[test]
    fn a_status_is_read_whatever_else_is_and_belongs_to_one_object() {
        let mut resources = PolicyResources::default();
        let mut object = policy("a", 1, "Enforce");
        resources.apply(&object);
        let shown = |resources: &PolicyResources| {
            let standing = resources.standings().next().expect("it is known");
            standing.shown.clone()
        };
        assert_eq!(shown(&resources), Value::Null);
        object["status"] = json!("watched");
        assert_eq!(resources.apply(&object), Change::Nothing);
        assert_eq!(shown(&resources), "watched");
        resources.shows("corporate", "b", json!("of another"));
        resources.shows("other", "a", json!("of another"));
        assert_eq!(shown(&resources), "watched");
        resources.shows("corporate", "a", json!("written"));
        assert_eq!(shown(&resources), "written");
    }

    /// Steps (uid, generation, mode; an empty mode deletes), and after each what came of it, the mode in
    /// force, and whether that is what was written last.
    #[test]
    fn the_last_good_one_stays_and_a_deleted_one_goes() {
        let mut resources = PolicyResources::default();
        for (uid, generation, mode, came_of_it, in_force, current) in [
            ("a", 1, "Bad", "left out", "", false),
            ("a", 2, "Enforce", "used", "Enforce", true),
            ("a", 2, "Enforce", "nothing", "Enforce", true),
            ("a", 3, "Worse", "stays", "Enforce", false),
            ("a", 3, "Worse", "nothing", "Enforce", false),
            ("a", 4, "Audit", "used", "Audit", true),
            // Deleted and made anew while nobody looked.
            ("b", 1, "Bad", "left out", "", false),
            ("b", 2, "Mutate", "used", "Mutate", true),
            ("b", 2, "", "deleted", "", true),
            ("c", 1, "Bad", "left out", "", false),
        ] {
            let change = match mode {
                "" => {
                    assert!(resources.delete("corporate"));
                    "deleted"
                }
                mode => match resources.apply(&policy(uid, generation, mode)) {
                    Change::Nothing => "nothing",
                    Change::Usable => "used",
                    Change::Unusable { faults, stays } => {
                        assert!(faults.starts_with("spec.mode: expected one of"), "{faults}");
                        if stays { "stays" } else { "left out" }
                    }
                },
            };
            let step = (uid, generation, mode);
            let modes = resources
                .usable()
                .map(|(_, set)| format!("{:?}", set.policies[0].mode));
            assert_eq!(change, came_of_it, "{step:?}");
            assert_eq!(modes.collect::<String>(), in_force, "{step:?}");
            assert_eq!(resources.are_current(), current, "{step:?}");
            for standing in resources.standings() {
                assert_eq!(standing.generation, i64::from(generation), "{step:?}");
                assert_eq!(
                    standing.in_force.is_some(),
                    !in_force.is_empty(),
                    "{step:?}"
                );
                let is_good = standing.in_force == Some(standing.generation);
                assert_eq!(
                    (is_good, standing.faults.is_none()),
                    (current, current),
                    "{step:?}"
                );
            }
        }
    }
}

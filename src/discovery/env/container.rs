//! The proxy variables of one container.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, EnvVarSource};

use super::expansion::Template;
use super::place::{self, Conclusion};
use super::{ConfigMapKey, Known, NO_PROXY, PROXY};

/// Its variables, each once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct OfContainer {
    proxies: BTreeSet<Vec<Value>>,
    /// Those of which ConfigMaps have a part.
    exceptions: Vec<Sources>,
    /// Where `squid` is `squid.tools`; empty where it does not matter.
    namespace: Box<str>,
}

/// Where a variable's value comes from: the first that has one.
type Sources = Vec<Template>;

/// A [`Template`], read where nothing is missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Value {
    Read(Option<Conclusion>),
    Template(Template),
}

impl OfContainer {
    /// Nothing where there is nothing to learn from it.
    pub(super) fn read(container: &Container, namespace: &str) -> Option<Self> {
        let env = container.env.as_deref().unwrap_or_default();
        let env_from = container.env_from.as_deref().unwrap_or_default();
        let named = |variable: &EnvVar| PROXY.contains(&&*variable.name);
        // True of most containers.
        if env_from.is_empty() && !env.iter().any(named) {
            return None;
        }
        let variables = Variables::read(env, env_from, namespace);
        let exceptions = NO_PROXY.iter().filter_map(|name| variables.sources(name));
        let (exceptions, certain): (Vec<Sources>, Vec<Sources>) =
            exceptions.partition(|sources| sources.iter().any(Template::is_open));
        if certain.iter().any(|sources| exempts_all(sources, &absent)) {
            return None;
        }
        let proxies = PROXY.iter().filter_map(|name| variables.sources(name));
        let proxies: BTreeSet<Vec<Value>> = proxies
            .map(|sources| values(&sources, namespace))
            .filter(|values| !matches!(values[..], [] | [Value::Read(None), ..]))
            .collect();
        let is_open = |value: &Value| matches!(value, Value::Template(_));
        let is_open = proxies.iter().flatten().any(is_open);
        (!proxies.is_empty()).then(|| Self {
            proxies,
            exceptions,
            namespace: if is_open { namespace } else { "" }.into(),
        })
    }

    /// The keys of ConfigMaps that have a part in them.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ConfigMapKey> {
        let proxies = self.proxies.iter().flatten();
        let open = proxies.filter_map(|value| match value {
            Value::Template(template) => Some(template),
            Value::Read(_) => None,
        });
        let templates = open.chain(self.exceptions.iter().flatten());
        templates.flat_map(Template::keys)
    }

    /// Adds what they come to.
    pub(super) fn conclude<'a>(
        &self,
        lookup: &dyn Fn(&ConfigMapKey) -> Known<'a>,
        conclusions: &mut BTreeSet<Conclusion>,
    ) {
        let mut exceptions = self.exceptions.iter();
        if exceptions.any(|sources| exempts_all(sources, lookup)) {
            return;
        }
        for values in &self.proxies {
            let found = values.iter().find_map(|value| match value {
                Value::Read(conclusion) => Some(conclusion.clone()),
                Value::Template(template) => {
                    let value = template.value(lookup)?;
                    Some(place::read(&value, &self.namespace))
                }
            });
            conclusions.extend(found.flatten());
        }
    }
}

/// The variables of a container, as far as they are defined.
struct Variables<'a> {
    defined: HashMap<&'a str, Sources>,
    env_from: &'a [EnvFromSource],
    namespace: &'a str,
}

impl<'a> Variables<'a> {
    fn read(env: &'a [EnvVar], env_from: &'a [EnvFromSource], namespace: &'a str) -> Self {
        let mut variables = Self {
            defined: HashMap::new(),
            env_from,
            namespace,
        };
        for variable in env {
            if let Some(sources) = variables.of(variable) {
                variables.defined.insert(&variable.name, sources);
            }
        }
        variables
    }

    /// `env` wins over `envFrom`, and of each the last.
    fn sources(&self, name: &str) -> Option<Sources> {
        let sources = match self.defined.get(name) {
            Some(sources) => sources.clone(),
            None => self.whole_objects(name),
        };
        (!sources.is_empty()).then_some(sources)
    }

    /// What a reference to a variable stands for.
    fn referenced(&self, name: &str) -> Option<Template> {
        match self.sources(name)?.as_slice() {
            [only] => Some(only.clone()),
            // Which of them it is cannot be told yet.
            _ => Some(Template::unread()),
        }
    }

    /// Nothing where a variable changes nothing.
    fn of(&self, variable: &EnvVar) -> Option<Sources> {
        if let Some(value) = variable.value.as_deref().filter(|value| !value.is_empty()) {
            let expanded = Template::expand(value, &|name| self.referenced(name));
            return Some(vec![expanded]);
        }
        let Some(from) = &variable.value_from else {
            return Some(vec![Template::text("")]);
        };
        Some(self.value_from(from, &variable.name))
    }

    fn value_from(&self, from: &EnvVarSource, name: &str) -> Sources {
        if let Some(key) = &from.config_map_key_ref {
            let mut sources = vec![Template::key(self.key(&key.name, &key.key))];
            // An optional key that is not there leaves the variable as it was.
            sources.extend(self.sources(name).unwrap_or_default());
            return sources;
        }
        let field = from.field_ref.as_ref().map(|field| &*field.field_path);
        vec![match field {
            Some("metadata.namespace") => Template::text(self.namespace),
            // A proxy in the Pod itself.
            Some("status.podIP" | "status.podIPs") => Template::text("127.0.0.1"),
            _ => Template::unread(),
        }]
    }

    /// What the ConfigMaps and Secrets of `envFrom` have under a name. The last that has it wins.
    fn whole_objects(&self, name: &str) -> Sources {
        let mut sources = Vec::new();
        for from in self.env_from.iter().rev() {
            let prefix = from.prefix.as_deref().unwrap_or_default();
            let Some(key) = name.strip_prefix(prefix).filter(|key| !key.is_empty()) else {
                continue;
            };
            match &from.config_map_ref {
                Some(config_map) => {
                    sources.push(Template::key(self.key(&config_map.name, key)));
                }
                // It may have it or not, and what stands before it counts where it does not.
                None => {
                    sources.push(Template::unread());
                    break;
                }
            }
        }
        sources
    }

    fn key(&self, config_map: &str, key: &str) -> ConfigMapKey {
        ConfigMapKey {
            config_map: format!("{}/{config_map}", self.namespace).into(),
            key: key.into(),
        }
    }
}

/// Reads what can be read already; what stands behind a value that is there does not count.
fn values(sources: &Sources, namespace: &str) -> Vec<Value> {
    let mut values = Vec::new();
    for template in sources {
        if template.is_open() {
            values.push(Value::Template(template.without_user()));
            continue;
        }
        let value = template.value(&absent).unwrap_or_default();
        values.push(Value::Read(place::read(&value, namespace)));
        break;
    }
    values
}

/// Whether everything is dialled without the proxy.
fn exempts_all<'a>(sources: &Sources, lookup: &dyn Fn(&ConfigMapKey) -> Known<'a>) -> bool {
    let value = sources.iter().find_map(|template| template.value(lookup));
    let value = value.unwrap_or_default();
    value.split([',', ' ']).any(|exception| exception == "*")
}

fn absent(_: &ConfigMapKey) -> Known<'static> {
    Known::Absent
}

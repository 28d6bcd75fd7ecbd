//! What istiod made of the objects: the sidecar's listeners, routes and clusters.

use serde_json::Value;
use tunnelguard::mesh::simulation::IstioVersion;

use super::decision::Decision;
use super::envoy::dump;

/// A sidecar's configuration, as Envoy has it in force.
#[derive(Debug)]
pub(crate) struct Configuration {
    version: IstioVersion,
    listeners: Vec<Value>,
    routes: Vec<Value>,
    clusters: Vec<Value>,
}

/// A host that Envoy's configuration names, and the namespace of its object where a cluster tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) namespace: Option<String>,
}

impl Configuration {
    /// Reads what an istiod of that version made.
    pub(crate) fn read(version: IstioVersion) -> Self {
        let all = |resource: &str, inside: &str| -> Vec<Value> {
            let found = dump(resource).expect("Envoy answers").into_iter();
            let found = found.filter_map(|one| one.pointer(inside).cloned());
            let mut found: Vec<Value> = found.collect();
            found.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
            found
        };
        Self {
            version,
            listeners: all("dynamic_listeners", "/active_state/listener"),
            routes: all("dynamic_route_configs", "/route_config"),
            clusters: all("dynamic_active_clusters", "/cluster"),
        }
    }

    /// Whose filter chain it is: one host's behind a TCP proxy, all of the port's behind an HTTP
    /// connection manager. None where it is the outbound policy's.
    pub(crate) fn owners(&self, decision: &Decision) -> Vec<Owner> {
        match decision {
            Decision::Cluster(cluster) => self.owner(cluster).into_iter().collect(),
            Decision::Http(listener) => self.routed(listener),
            Decision::Several(all) => all.iter().flat_map(|one| self.owners(one)).collect(),
            Decision::Nobody => Vec::new(),
        }
    }

    /// Whether connections of that cluster can end at different endpoints.
    pub(crate) fn balances(&self, decision: &Decision) -> bool {
        let Decision::Cluster(name) = decision else {
            return false;
        };
        let cluster = self.cluster(name);
        cluster.is_some_and(|cluster| cluster["type"] != "ORIGINAL_DST")
    }

    fn cluster(&self, name: &str) -> Option<&Value> {
        self.clusters.iter().find(|cluster| cluster["name"] == name)
    }

    /// `outbound|3128||my-company-proxy.com`
    fn owner(&self, cluster: &str) -> Option<Owner> {
        let [port, _, host] = parts(cluster)?;
        let service = "/metadata/filter_metadata/istio/services/0/namespace";
        // Older istiods build one cluster of a host for all its namespaces, and name one of them.
        let is_one_of_one = self.version > IstioVersion::OLDEST;
        let found = self.cluster(cluster).filter(|_| is_one_of_one);
        let namespace = found.and_then(|found| found.pointer(service));
        Some(Owner {
            host: host.to_owned(),
            port: port.parse().ok()?,
            namespace: namespace.and_then(Value::as_str).map(str::to_owned),
        })
    }

    /// The owners of the clusters that the listener's HTTP routes lead to.
    fn routed(&self, listener: &str) -> Vec<Owner> {
        let mut listeners = self.listeners.iter();
        let listener = listeners.find(|one| one["name"] == listener);
        let chains = listener.into_iter().flat_map(chains);
        let names = chains.filter_map(|(_, filter)| route_name(filter));
        let names: Vec<&str> = names.collect();
        let routes = self.routes.iter();
        let routes = routes.filter(|route| names.iter().any(|name| route["name"] == *name));
        let mut owners = Vec::new();
        for host in routes.flat_map(|route| array(&route["virtual_hosts"])) {
            let clusters = array(&host["routes"]).iter();
            let clusters = clusters.filter_map(|route| route["route"]["cluster"].as_str());
            owners.extend(clusters.filter_map(|cluster| self.owner(cluster)));
        }
        owners
    }

    /// The listeners of a port, their filter chains and the clusters behind them, one a line.
    pub(crate) fn about(&self, port: u16) -> Vec<String> {
        let suffix = format!("_{port}");
        let mut lines = Vec::new();
        let mut clusters = Vec::new();
        for listener in &self.listeners {
            let name = listener["name"].as_str().unwrap_or_default();
            if !name.ends_with(&suffix) && name != "virtualOutbound" {
                continue;
            }
            lines.push(format!("listener {name}"));
            for (condition, filter) in chains(listener) {
                let (what, cluster) = described(filter);
                lines.push(format!("  {condition}: {what}"));
                clusters.extend(cluster.filter(|cluster| cluster.starts_with("outbound|")));
            }
        }
        clusters.sort_unstable();
        clusters.dedup();
        lines.extend(clusters.into_iter().map(|name| match self.cluster(name) {
            Some(cluster) => {
                let kind = cluster["type"].as_str().unwrap_or("STATIC");
                format!("cluster {name}: {kind}{}", endpoints(cluster))
            }
            None => format!("cluster {name}: does not exist"),
        }));
        lines
    }
}

/// The port, subset and host of a cluster's name.
fn parts(cluster: &str) -> Option<[&str; 3]> {
    let rest = cluster.strip_prefix("outbound|")?;
    let mut parts = rest.splitn(3, '|');
    Some([parts.next()?, parts.next()?, parts.next()?])
}

/// Every filter chain's condition in brief, and its last filter, which is what it is for.
fn chains(listener: &Value) -> impl Iterator<Item = (String, &Value)> {
    let conditional = array(&listener["filter_chains"]).iter();
    let conditional = conditional.map(|chain| (condition(&chain["filter_chain_match"]), chain));
    let default = listener.get("default_filter_chain").into_iter();
    let chains = conditional.chain(default.map(|chain| ("otherwise".to_owned(), chain)));
    chains.filter_map(|(condition, chain)| Some((condition, array(&chain["filters"]).last()?)))
}

/// As it is written, without the quotes.
fn condition(matches: &Value) -> String {
    match matches.as_object() {
        Some(conditions) if !conditions.is_empty() => {
            let text = matches.to_string();
            text.replace(['"', '{', '}'], "").replace(',', " ")
        }
        _ => "any".to_owned(),
    }
}

fn described(filter: &Value) -> (String, Option<&str>) {
    let config = &filter["typed_config"];
    if let Some(route) = route_name(filter) {
        return (format!("HTTP, routes {route}"), None);
    }
    let cluster = config["cluster"].as_str();
    (format!("TCP proxy to {}", cluster.unwrap_or("?")), cluster)
}

/// The name of an HTTP connection manager's routes.
fn route_name(filter: &Value) -> Option<&str> {
    let name = filter.pointer("/typed_config/rds/route_config_name");
    name.and_then(Value::as_str)
}

/// Those that a cluster's own configuration has; others come apart.
fn endpoints(cluster: &Value) -> String {
    let localities = array(&cluster["load_assignment"]["endpoints"]).iter();
    let endpoints = localities.flat_map(|locality| array(&locality["lb_endpoints"]));
    let addresses = endpoints.filter_map(|endpoint| {
        let address = endpoint.pointer("/endpoint/address/socket_address")?;
        let host = address["address"].as_str()?;
        Some(format!(" {host}:{}", address["port_value"]))
    });
    addresses.collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

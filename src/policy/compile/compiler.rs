//! Validates a policy field by field; every fault is kept, so that all are told at once.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use jiff::civil::Date;

use crate::mesh::FieldPath;
use crate::mesh::address::Address;
use crate::mesh::simulation::{IstioVersion, OutboundPolicy};
use crate::policy::check::CheckId;
use crate::policy::checks;
use crate::policy::namespaces::NAME_LABEL;
use crate::policy::proxy::{Evidence, Proxy, Users, check_host, normal_host};
use crate::policy::spec::{
    self, ConnectProxyPolicy, LabelOperator, LabelSelector, Mode, PolicySpec,
};

use super::{Exemption, Place, Policy, Remark};

#[derive(Default)]
pub(super) struct Compiler {
    place: Place,
    pub(super) proxies: Vec<Proxy>,
    pub(super) invalid: Vec<Remark>,
    pub(super) outbound: Option<OutboundPolicy>,
    pub(super) version: Option<IstioVersion>,
    pub(super) root_namespace: Option<Box<str>>,
    pub(super) captures_dns: bool,
}

impl Compiler {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            ..Self::default()
        }
    }

    fn reject(&mut self, path: FieldPath, message: impl Into<String>) {
        let message = message.into();
        self.invalid.push(Remark { path, message });
    }

    pub(super) fn policy(&mut self, document: &ConnectProxyPolicy) -> Policy {
        let root = FieldPath::root();
        if document.api_version != spec::API_VERSION {
            let message = format!(
                "expected {}, found {:?}",
                spec::API_VERSION,
                document.api_version
            );
            self.reject(root.clone().key("apiVersion"), message);
        }
        if document.kind != spec::KIND {
            let message = format!("expected {}, found {:?}", spec::KIND, document.kind);
            self.reject(root.clone().key("kind"), message);
        }
        if document.metadata.name.is_empty() {
            self.reject(
                root.key("metadata").key("name"),
                "a policy needs a name: messages quote it",
            );
        }
        self.spec(&document.metadata.name, &document.spec)
    }

    pub(super) fn spec(&mut self, name: &str, spec: &PolicySpec) -> Policy {
        for (index, proxy) in spec.proxies.iter().enumerate() {
            let path = FieldPath::spec().key("proxies").index(index);
            self.proxy(name, proxy, &path);
        }
        if spec.suspected.mode > Mode::Audit {
            let path = FieldPath::spec().key("suspected").key("mode");
            self.reject(path, "names are weak evidence: use Audit or Off");
        }
        for (field, value, longest) in [
            ("ipv4", spec.ranges.ipv4, 32),
            ("ipv6", spec.ranges.ipv6, 128),
        ] {
            if value > longest {
                let path = FieldPath::spec().key("ranges").key(field);
                self.reject(
                    path,
                    format!("a prefix length is at most {longest}, found {value}"),
                );
            }
        }
        self.mesh(&spec.mesh);
        Policy {
            name: name.into(),
            mode: spec.mode,
            on_unsafe: spec.on_unsafe,
            existing: spec.existing,
            ranges: spec.ranges,
            observed: spec.observed.mode,
            resolve: spec.observed.resolve,
            suspected: spec.suspected.mode,
            checks: self.checks(spec),
            overrides: self.overrides(spec),
            exemptions: self.exemptions(spec),
        }
    }

    fn proxy(&mut self, policy: &str, proxy: &spec::ProxySpec, path: &FieldPath) {
        let field = |name: &str| path.clone().key(name);
        if proxy.hosts.is_empty() && proxy.addresses.is_empty() {
            self.reject(
                path.clone(),
                "a proxy needs hosts or addresses to be recognised by",
            );
        }
        if proxy.ports.is_empty() || proxy.ports.contains(&0) {
            self.reject(
                field("ports"),
                "a proxy needs the ports it listens on, 1 to 65535",
            );
        }
        let mut addresses = Vec::new();
        for (index, text) in proxy.addresses.iter().enumerate() {
            match Address::parse(text) {
                Address::Single(ip) => addresses.push(IpNet::from(ip)),
                Address::Range(net) => addresses.push(net),
                Address::Invalid => {
                    let message =
                        format!("expected an IP or a range such as 10.20.1.0/24, found {text:?}");
                    self.reject(field("addresses").index(index), message);
                }
            }
        }
        for (index, host) in proxy.hosts.iter().enumerate() {
            if let Err(message) = check_host(host) {
                self.reject(field("hosts").index(index), message);
            }
        }
        self.proxies.push(Proxy {
            name: proxy.name.as_str().into(),
            policy: policy.into(),
            evidence: Evidence::Declared,
            hosts: proxy.hosts.iter().map(|host| normal_host(host)).collect(),
            addresses,
            ports: proxy.ports.clone(),
            tls: proxy.tls,
            tunnel: proxy.tunnel,
            users: Users::default(),
        });
    }

    fn mesh(&mut self, mesh: &spec::MeshSpec) {
        self.root_namespace = mesh.root_namespace.as_deref().map(Into::into);
        self.captures_dns = mesh.dns_capture;
        let path = |field: &str| FieldPath::spec().key("mesh").key(field);
        if let Some(text) = &mesh.outbound_traffic_policy {
            match text.parse() {
                Ok(policy) => self.outbound = Some(policy),
                Err(message) => self.reject(path("outboundTrafficPolicy"), message),
            }
        }
        if let Some(text) = &mesh.istio_version {
            match text.parse() {
                Ok(version) => self.version = Some(version),
                Err(message) => self.reject(path("istioVersion"), message),
            }
        }
    }

    fn check_id(&mut self, text: &str, path: FieldPath) -> Option<CheckId> {
        let known = checks::by_name(text);
        if known.is_none() {
            self.reject(
                path,
                format!("there is no check {text:?}; `tunnelguard explain` lists them"),
            );
        }
        known.map(|check| check.id)
    }

    fn checks(&mut self, spec: &PolicySpec) -> BTreeMap<CheckId, Mode> {
        let mut modes = BTreeMap::new();
        for (id, check) in &spec.checks {
            let path = FieldPath::spec().key("checks").key(id);
            if let Some(id) = self.check_id(id, path) {
                modes.insert(id, check.mode);
            }
        }
        modes
    }

    fn overrides(&mut self, spec: &PolicySpec) -> Vec<(LabelSelector, Mode)> {
        for (index, over) in spec.overrides.iter().enumerate() {
            let path = FieldPath::spec()
                .key("overrides")
                .index(index)
                .key("namespaceSelector");
            self.selector(&over.namespace_selector, &path);
        }
        let overrides = spec.overrides.iter();
        overrides
            .map(|over| (over.namespace_selector.clone(), over.mode))
            .collect()
    }

    fn selector(&mut self, selector: &LabelSelector, path: &FieldPath) {
        let labels = selector.match_labels.keys();
        let expressions = selector.match_expressions.iter();
        let labels = labels.chain(expressions.map(|expression| &expression.key));
        for label in labels.filter(|label| *label != NAME_LABEL) {
            if self.place == Place::Offline {
                let message = format!(
                    "without a cluster the only namespace label known is {NAME_LABEL}, found {label:?}"
                );
                self.reject(path.clone(), message);
            }
        }
        for (index, expression) in selector.match_expressions.iter().enumerate() {
            let needs_values = matches!(
                expression.operator,
                LabelOperator::In | LabelOperator::NotIn
            );
            if needs_values == expression.values.is_empty() {
                let path = path.clone().key("matchExpressions").index(index);
                let message = "In and NotIn need values; Exists and DoesNotExist have none";
                self.reject(path.key("values"), message);
            }
        }
    }

    fn exemptions(&mut self, spec: &PolicySpec) -> Vec<Exemption> {
        let mut compiled = Vec::new();
        for (index, exemption) in spec.exemptions.iter().enumerate() {
            let path = FieldPath::spec().key("exemptions").index(index);
            let mut checks = BTreeSet::new();
            for (position, id) in exemption.checks.iter().enumerate() {
                checks.extend(self.check_id(id, path.clone().key("checks").index(position)));
            }
            let expires = exemption.expires.as_ref().and_then(|text| {
                let date = text.parse::<Date>();
                if date.is_err() {
                    let message =
                        format!("expected the last valid day as YYYY-MM-DD, found {text:?}");
                    self.reject(path.clone().key("expires"), message);
                }
                date.ok()
            });
            compiled.push(Exemption {
                namespace: exemption.namespace.clone(),
                name: exemption.name.clone(),
                checks,
                reason: exemption.reason.clone(),
                owner: exemption.owner.clone(),
                expires,
            });
        }
        compiled
    }
}

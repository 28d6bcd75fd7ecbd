//! From a policy as written to one that can be applied: validated, matchers built.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use jiff::civil::Date;

use crate::mesh::FieldPath;
use crate::mesh::address::Address;
use crate::mesh::simulation::{IstioVersion, OutboundPolicy};

use super::check::CheckId;
use super::checks;
use super::proxy::{Evidence, Proxy, ProxyIndex, normal_host};
use super::spec::{
    self, ConnectProxyPolicy, Existing, LabelOperator, LabelSelector, Mode, OnUnsafe, PolicySpec,
    Ranges,
};

/// The label that every namespace carries: its name.
pub const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A policy that can be applied.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What messages call it; empty for the one that `--proxy` makes.
    pub name: Box<str>,
    /// What is done about findings.
    pub mode: Mode,
    /// What Mutate does where no safe fix exists.
    pub on_unsafe: OnUnsafe,
    /// What happens to a finding that an object already had.
    pub existing: Existing,
    /// The shortest prefix that a repair may keep.
    pub ranges: Ranges,
    /// The ceilings by evidence.
    pub observed: Mode,
    /// The ceiling for name evidence.
    pub suspected: Mode,
    checks: BTreeMap<CheckId, Mode>,
    overrides: Vec<(LabelSelector, Mode)>,
    exemptions: Vec<Exemption>,
}

/// What is let through.
#[derive(Clone, Debug)]
pub struct Exemption {
    namespace: Option<String>,
    name: Option<String>,
    checks: BTreeSet<CheckId>,
    /// Why.
    pub reason: String,
    /// Who asked for it.
    pub owner: Option<String>,
    /// The last valid day, UTC.
    pub expires: Option<Date>,
}

/// A field of a policy that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The field.
    pub path: FieldPath,
    /// What is wrong, and what belongs there.
    pub message: String,
}

/// Every policy in force, with the proxies they declare.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    /// In the order given.
    pub policies: Vec<Policy>,
    /// The proxies of all of them.
    pub proxies: ProxyIndex,
    /// The outbound policy, where one says so.
    pub outbound: Option<OutboundPolicy>,
    /// The version of Istio, where one says so.
    pub version: Option<IstioVersion>,
}

impl PolicySet {
    /// Compiles documents; every invalid field of every one is reported, with its document's
    /// index.
    ///
    /// # Errors
    /// The invalid fields, if there are any: an invalid policy is never applied in part.
    pub fn compile(documents: &[ConnectProxyPolicy]) -> Result<Self, Vec<(usize, Invalid)>> {
        let mut set = Self::default();
        let mut proxies = Vec::new();
        let mut invalid = Vec::new();
        for (index, document) in documents.iter().enumerate() {
            let mut compiler = Compiler::default();
            let policy = compiler.policy(document);
            proxies.append(&mut compiler.proxies);
            invalid.extend(compiler.invalid.drain(..).map(|invalid| (index, invalid)));
            set.outbound = set.outbound.or(compiler.outbound);
            set.version = set.version.or(compiler.version);
            set.policies.push(policy);
        }
        set.proxies = ProxyIndex::new(proxies);
        if invalid.is_empty() {
            Ok(set)
        } else {
            Err(invalid)
        }
    }

    /// What holds while there is no policy: warn, on the evidence of names alone.
    pub fn built_in() -> Self {
        Self::anonymous(Vec::new())
    }

    /// Adds a policy without a name, in mode Audit, for proxies given on the command line.
    pub fn add_anonymous(&mut self, proxies: Vec<Proxy>) {
        let own = Self::anonymous(proxies);
        self.policies.extend(own.policies);
        let mut all = self.proxies.all().to_vec();
        all.extend_from_slice(own.proxies.all());
        self.proxies = ProxyIndex::new(all);
    }

    /// A policy without a name for proxies given on the command line.
    pub fn anonymous(proxies: Vec<Proxy>) -> Self {
        let mut compiler = Compiler::default();
        let policy = compiler.spec("", &PolicySpec::default());
        Self {
            policies: vec![policy],
            proxies: ProxyIndex::new(proxies),
            outbound: None,
            version: None,
        }
    }

    /// The policies that have a say about a proxy: its own, and all of them about one that no
    /// policy declares.
    pub fn about<'a>(&'a self, proxy: &'a Proxy) -> impl Iterator<Item = &'a Policy> {
        let declared = proxy.evidence == Evidence::Declared;
        let policies = self.policies.iter();
        policies.filter(move |policy| !declared || policy.name == proxy.policy)
    }

    /// The shortest prefixes that a repair may keep: what the strictest policy says.
    pub fn ranges(&self) -> Ranges {
        let all = || self.policies.iter().map(|policy| policy.ranges);
        Ranges {
            ipv4: all().map(|ranges| ranges.ipv4).max().unwrap_or(32),
            ipv6: all().map(|ranges| ranges.ipv6).max().unwrap_or(128),
        }
    }
}

impl Policy {
    /// The mode in `namespace`, before any ceiling. Without a cluster the only namespace label
    /// known is its name.
    pub fn mode_in(&self, namespace: &str) -> Mode {
        let mut overrides = self.overrides.iter();
        let matching = overrides.find(|(selector, _)| selects(selector, namespace));
        matching.map_or(self.mode, |(_, mode)| *mode)
    }

    /// The namespaces that its overrides name.
    pub fn named_namespaces(&self) -> impl Iterator<Item = &str> {
        let selectors = self.overrides.iter().map(|(selector, _)| selector);
        selectors.flat_map(|selector| {
            let labels = selector.match_labels.values();
            let listed = selector.match_expressions.iter().flat_map(|e| &e.values);
            labels.chain(listed).map(String::as_str)
        })
    }

    /// The ceiling for a check, whatever the evidence.
    pub fn ceiling(&self, check: CheckId) -> Mode {
        let default = checks::find(check).map_or(Mode::Enforce, |check| check.ceiling);
        self.checks.get(&check).copied().unwrap_or(default)
    }

    /// The ceiling for evidence, whatever the check.
    pub fn evidence_ceiling(&self, evidence: Evidence) -> Mode {
        match evidence {
            Evidence::Declared => Mode::Enforce,
            Evidence::Observed => self.observed,
            Evidence::Suspected => self.suspected,
        }
    }

    /// The exemptions that cover a finding, expired ones too.
    pub fn exemptions<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        check: CheckId,
    ) -> impl Iterator<Item = &'a Exemption> {
        let glob = |pattern: &Option<String>, text: &str| {
            pattern
                .as_deref()
                .is_none_or(|pattern| matches(pattern, text))
        };
        self.exemptions.iter().filter(move |exemption| {
            glob(&exemption.namespace, namespace)
                && glob(&exemption.name, name)
                && (exemption.checks.is_empty() || exemption.checks.contains(&check))
        })
    }
}

impl Exemption {
    /// Whether it still holds on `today`.
    pub fn holds(&self, today: Date) -> bool {
        self.expires.is_none_or(|last| today <= last)
    }
}

#[derive(Default)]
struct Compiler {
    proxies: Vec<Proxy>,
    invalid: Vec<Invalid>,
    outbound: Option<OutboundPolicy>,
    version: Option<IstioVersion>,
}

impl Compiler {
    fn reject(&mut self, path: FieldPath, message: impl Into<String>) {
        let message = message.into();
        self.invalid.push(Invalid { path, message });
    }

    fn policy(&mut self, document: &ConnectProxyPolicy) -> Policy {
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

    fn spec(&mut self, name: &str, spec: &PolicySpec) -> Policy {
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
            let rest = host.strip_prefix("*.").unwrap_or(host);
            if rest.is_empty() || rest.contains(['*', '/', ':', ' ']) {
                let message = format!("expected a host name or *.domain, found {host:?}");
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
        });
    }

    fn mesh(&mut self, mesh: &spec::MeshSpec) {
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
            let selector = &over.namespace_selector;
            let labels = selector.match_labels.keys();
            let expressions = selector
                .match_expressions
                .iter()
                .map(|expression| &expression.key);
            for label in labels
                .chain(expressions)
                .filter(|label| *label != NAME_LABEL)
            {
                let message = format!(
                    "without a cluster the only namespace label known is {NAME_LABEL}, found {label:?}"
                );
                self.reject(path.clone(), message);
            }
        }
        let overrides = spec.overrides.iter();
        overrides
            .map(|over| (over.namespace_selector.clone(), over.mode))
            .collect()
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

/// Whether a selector selects a namespace of which only the name is known.
fn selects(selector: &LabelSelector, namespace: &str) -> bool {
    let equal = selector
        .match_labels
        .values()
        .all(|value| value == namespace);
    let listed = |values: &[String]| values.iter().any(|value| value == namespace);
    equal
        && selector
            .match_expressions
            .iter()
            .all(|expression| match expression.operator {
                LabelOperator::In => listed(&expression.values),
                LabelOperator::NotIn => !listed(&expression.values),
                LabelOperator::Exists => true,
                LabelOperator::DoesNotExist => false,
            })
}

/// A glob in which `*` stands for any text and `?` for one character.
fn matches(pattern: &str, text: &str) -> bool {
    // Greedy with one point of return, so the cost is bounded by pattern × text.
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    p = after + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("legacy", "legacy", true),
            ("legacy", "legacy-2", false),
            ("legacy*", "legacy-2", true),
            ("*-proxy", "old-proxy", true),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbc", false),
            ("t?am", "team", true),
            ("*", "", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}

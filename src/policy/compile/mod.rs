//! From a policy as written to one that can be applied: validated, matchers built.

mod compiler;
mod glob;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::civil::Date;
use serde_json::Value;

use crate::mesh::FieldPath;
use crate::mesh::simulation::{IstioVersion, OutboundPolicy};

use super::check::CheckId;
use super::checks;
use super::namespaces::{NAME_LABEL, Namespace};
use super::proxy::{Evidence, Proxy, ProxyIndex};
use super::spec::{
    ConnectProxyPolicy, Existing, LabelSelector, Mode, OnUnsafe, PolicySpec, Ranges, Unreadable,
};
use compiler::Compiler;

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
    /// Whether DNS is asked for the addresses of observed proxies.
    pub resolve: bool,
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

/// Where a policy is to be used, which decides what may be asked of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Among files: nothing is known of a namespace but its name.
    #[default]
    Offline,
    /// In a cluster, which tells the labels of its namespaces.
    Cluster,
}

/// A field of a policy, and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The field.
    pub path: FieldPath,
    /// What is wrong, and the way out.
    pub message: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.segments() {
            [] => f.write_str(&self.message),
            _ => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

/// Reads and compiles one object.
///
/// # Errors
/// What keeps it from being a policy: the first field that cannot be read, else every one that cannot
/// be used.
pub fn compile_object(
    object: &Value,
    place: Place,
) -> Result<(ConnectProxyPolicy, PolicySet), Vec<Remark>> {
    let document = ConnectProxyPolicy::read(object).map_err(|unreadable| {
        let Unreadable { path, message, .. } = unreadable;
        vec![Remark { path, message }]
    })?;
    match PolicySet::compile_where(std::slice::from_ref(&document), place) {
        Ok(set) => Ok((document, set)),
        Err(faults) => Err(faults.into_iter().map(|(_, fault)| fault).collect()),
    }
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
    /// `meshConfig.rootNamespace`, where one says so.
    pub root_namespace: Option<Box<str>>,
    /// Whether sidecars capture DNS, where one says so.
    pub captures_dns: bool,
    /// The version of Istio, where one says so.
    pub version: Option<IstioVersion>,
}

impl PolicySet {
    /// Compiles documents for use without a cluster, where of a namespace only the name is known; every
    /// invalid field of every one is reported, with its document's index.
    ///
    /// # Errors
    /// The invalid fields, if there are any: an invalid policy is never applied in part.
    pub fn compile(documents: &[ConnectProxyPolicy]) -> Result<Self, Vec<(usize, Remark)>> {
        Self::compile_where(documents, Place::Offline)
    }

    /// Compiles documents for use in that place.
    ///
    /// # Errors
    /// As of [`PolicySet::compile`].
    pub fn compile_where(
        documents: &[ConnectProxyPolicy],
        place: Place,
    ) -> Result<Self, Vec<(usize, Remark)>> {
        let mut set = Self::default();
        let mut proxies = Vec::new();
        let mut invalid = Vec::new();
        for (index, document) in documents.iter().enumerate() {
            let mut compiler = Compiler::new(place);
            let policy = compiler.policy(document);
            proxies.append(&mut compiler.proxies);
            invalid.extend(compiler.invalid.drain(..).map(|invalid| (index, invalid)));
            set.outbound = set.outbound.or(compiler.outbound);
            set.version = set.version.or(compiler.version);
            set.root_namespace = set.root_namespace.or(compiler.root_namespace);
            set.captures_dns |= compiler.captures_dns;
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

    /// All of several sets. Of the mesh's settings the first that says something is believed.
    pub fn united<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        let mut proxies = Vec::new();
        for set in sets {
            all.policies.extend_from_slice(&set.policies);
            proxies.extend_from_slice(set.proxies.all());
            all.outbound = all.outbound.or(set.outbound);
            all.version = all.version.or(set.version);
            all.root_namespace = all.root_namespace.or_else(|| set.root_namespace.clone());
            all.captures_dns |= set.captures_dns;
        }
        all.proxies = ProxyIndex::new(proxies);
        all
    }

    /// A policy without a name for proxies given on the command line.
    pub fn anonymous(proxies: Vec<Proxy>) -> Self {
        let mut compiler = Compiler::new(Place::Offline);
        let policy = compiler.spec("", &PolicySpec::default());
        Self {
            policies: vec![policy],
            proxies: ProxyIndex::new(proxies),
            outbound: None,
            version: None,
            root_namespace: None,
            captures_dns: false,
        }
    }

    /// The policies that have a say about a proxy: its own, and all of them about one that no
    /// policy declares.
    pub fn about<'a>(&'a self, proxy: &'a Proxy) -> impl Iterator<Item = &'a Policy> {
        let declared = proxy.evidence == Evidence::Declared;
        let policies = self.policies.iter();
        policies.filter(move |policy| !declared || policy.name == proxy.policy)
    }

    /// Whether any policy does something on such evidence.
    pub fn asks_for(&self, evidence: Evidence) -> bool {
        let mut policies = self.policies.iter();
        policies.any(|policy| policy.evidence_ceiling(evidence) != Mode::Off)
    }

    /// Whether any policy has DNS asked for the addresses of observed proxies.
    pub fn asks_dns(&self) -> bool {
        self.policies.iter().any(|policy| policy.resolve)
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
    /// The mode in `namespace`, before any ceiling.
    pub fn mode_in(&self, namespace: Namespace<'_>) -> Mode {
        let mut overrides = self.overrides.iter();
        let matching = overrides.find(|(selector, _)| selector.selects(namespace));
        matching.map_or(self.mode, |(_, mode)| *mode)
    }

    /// The namespaces that its overrides name.
    pub fn named_namespaces(&self) -> impl Iterator<Item = &str> {
        let selectors = self.overrides.iter().map(|(selector, _)| selector);
        selectors.flat_map(|selector| {
            let named = selector.match_labels.get(NAME_LABEL);
            let expressions = selector.match_expressions.iter();
            let by_name = expressions.filter(|expression| expression.key == NAME_LABEL);
            let listed = by_name.flat_map(|expression| &expression.values);
            named.into_iter().chain(listed).map(String::as_str)
        })
    }

    /// The mode of a check in `namespace` on some evidence, after every ceiling.
    pub fn mode_for(&self, namespace: Namespace<'_>, check: CheckId, evidence: Evidence) -> Mode {
        self.mode_in(namespace)
            .min(self.ceiling(check))
            .min(self.evidence_ceiling(evidence))
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
                .is_none_or(|pattern| glob::matches(pattern, text))
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

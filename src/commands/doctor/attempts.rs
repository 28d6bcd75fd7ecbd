//! What is created in a dry run, and what should come of it: as the guard judges, by the same code.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::mesh::{Labels, ServiceEntry};
use crate::policy::compile::{Place, compile_object};
use crate::policy::proxy::{Evidence, Proxy};
use crate::policy::verdict::{judge, repair};
use crate::policy::{PolicySet, evaluate, spec};
use crate::source::{self, SourceFile};
use crate::state::Snapshot;

use super::Installed;
use super::facts::{Facts, Seen};

/// What everything that is tried is called. Nothing of it is ever stored.
pub(super) const NAME: &str = "tunnelguard-doctor";

/// The ConfigMap with the policies that the chart is given, which serve reads as files.
pub(super) const POLICY_FILES: &str = "tunnelguard-policies";

/// How many declared proxies are looked at for one that something is said about.
const LOOKED_AT: usize = 64;

/// Something to create in a dry run.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Which webhook has to say something to it.
    pub(super) webhook: &'static str,
    /// In words.
    pub(super) called: String,
    pub(super) path: String,
    pub(super) object: Value,
    pub(super) expected: Reaction,
    /// Whose word that is.
    pub(super) by: String,
}

/// What a guard does about an object, from the mildest to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reaction {
    Nothing,
    Warned,
    Repaired,
    Denied,
}

/// What is to be tried: of what the guard says something to, as little as shows whether each webhook is asked.
pub(super) fn attempts(facts: &Facts, installed: &Installed) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = policy(facts).into_iter().collect();
    attempts.extend(entries(facts, installed));
    attempts
}

/// A policy that the guard warns about, whatever other policies there are.
fn policy(facts: &Facts) -> Option<Attempt> {
    // They are served, then.
    facts.policies.found()?;
    let exemption = json!({"namespace": NAME, "reason": "a dry run of tunnelguard doctor", "expires": "2000-01-01"});
    Some(Attempt {
        webhook: "validate-policy.tunnelguard.dev",
        called: "a policy with an exemption that has expired".to_owned(),
        path: format!("/apis/{}/{}", spec::API_VERSION, spec::PLURAL),
        object: json!({
            "apiVersion": spec::API_VERSION,
            "kind": spec::KIND,
            "metadata": {"name": NAME},
            "spec": {"mode": "Off", "exemptions": [exemption]},
        }),
        expected: Reaction::Warned,
        by: "whatever other policies there are".to_owned(),
    })
}

/// One entry for each webhook that says something to one.
fn entries(facts: &Facts, installed: &Installed) -> Vec<Attempt> {
    let version = match &facts.entry_versions {
        Seen::Found(versions) => versions.first(),
        _ => None,
    };
    let Some(version) = version else {
        return Vec::new();
    };
    // Without them there is no telling what is to be expected.
    if matches!(facts.policies, Seen::Untold(_)) || matches!(facts.policy_files, Seen::Untold(_)) {
        return Vec::new();
    }
    let snapshot = snapshot(facts, installed);
    let today = facts.now.to_zoned(TimeZone::UTC).date();
    let path = format!(
        "/apis/networking.istio.io/{version}/namespaces/{}/serviceentries",
        installed.try_in
    );
    let mut attempts: Vec<Attempt> = Vec::new();
    for candidate in candidates(&snapshot.policies) {
        let object = candidate.entry(version, &installed.try_in);
        let expected = reaction(&object, &snapshot, today);
        let webhook = match expected {
            Reaction::Nothing => continue,
            Reaction::Repaired => "mutate.tunnelguard.dev",
            Reaction::Warned | Reaction::Denied => "validate.tunnelguard.dev",
        };
        if attempts.iter().any(|known| known.webhook == webhook) {
            continue;
        }
        attempts.push(Attempt {
            webhook,
            called: candidate.called,
            path: path.clone(),
            object,
            expected,
            by: candidate.by,
        });
    }
    attempts
}

/// What the guard goes by, as far as the cluster tells. Policies that are not in force as they are written have
/// an observation of their own.
fn snapshot(facts: &Facts, installed: &Installed) -> Snapshot {
    let mut sets = policies_in_files(facts);
    let in_files = sets.iter().flat_map(|set| &set.policies);
    let in_files: BTreeSet<Box<str>> = in_files.map(|policy| policy.name.clone()).collect();
    let resources = facts.policies.found().into_iter().flatten();
    let seen = resources.filter(|policy| {
        // Of a file and a resource with one name the file's is in force.
        let name = policy["metadata"]["name"].as_str();
        name.is_some_and(|name| !in_files.contains(name))
    });
    sets.extend(seen.filter_map(|policy| compiled(policy).ok()));
    let policies = match sets.is_empty() {
        true => PolicySet::built_in(),
        false => PolicySet::united(&sets),
    };
    let namespace = facts.namespace.found();
    let labels = namespace.map(|namespace| {
        let labels = namespace.metadata.labels.iter().flatten();
        let labels = labels.map(|(label, value)| (label.as_str().into(), value.as_str().into()));
        let labels: Labels = labels.collect();
        (installed.try_in.as_str().into(), labels)
    });
    Snapshot {
        policies: Arc::new(policies),
        namespaces: Arc::new(labels.into_iter().collect()),
        ..Snapshot::default()
    }
}

/// The policies that the chart mounts as files. Faulty ones have an observation of their own.
fn policies_in_files(facts: &Facts) -> Vec<PolicySet> {
    let files = facts.policy_files.found();
    let files = files
        .and_then(|files| files.data.as_ref())
        .into_iter()
        .flatten();
    files
        .flat_map(|(name, text)| policies_in_file(name, text).unwrap_or_default())
        .collect()
}

/// # Errors
/// The first fault of the file, which keeps a guard from starting, or with what it read before.
pub(super) fn policies_in_file(name: &str, text: &str) -> Result<Vec<PolicySet>, String> {
    let reading = source::read(&SourceFile::from_text(name, text));
    if let Some(problem) = reading.problems.first() {
        let line = problem.location.line;
        return Err(format!("line {line}: {}", problem.message));
    }
    let documents = reading.documents.iter();
    documents
        .map(|document| compiled(&document.value))
        .collect()
}

fn compiled(policy: &Value) -> Result<PolicySet, String> {
    match compile_object(policy, Place::Cluster) {
        Ok((_, set)) => Ok(set),
        Err(faults) => Err(faults.first().map(ToString::to_string).unwrap_or_default()),
    }
}

/// An entry that breaks a proxy.
struct Candidate {
    called: String,
    by: String,
    host: String,
    address: Option<String>,
    port: u16,
}

/// HTTP on the port of a declared proxy, with its address, which can be repaired, and without, which cannot;
/// where none is declared, names that make one suspected.
fn candidates(policies: &PolicySet) -> Vec<Candidate> {
    let declared = policies.proxies.all().iter();
    let declared = declared
        .filter(|proxy| proxy.evidence == Evidence::Declared && !proxy.tls && !proxy.tunnel);
    let mut candidates: Vec<Candidate> = declared.take(LOOKED_AT).flat_map(broken).collect();
    if candidates.is_empty() {
        candidates.push(Candidate {
            called: "an entry that makes port 3128 of squid.example.com HTTP".to_owned(),
            by: "by the name alone".to_owned(),
            host: "squid.example.com".to_owned(),
            // Of the addresses that are nobody's (RFC 5737).
            address: Some("192.0.2.5".to_owned()),
            port: 3128,
        });
    }
    candidates
}

fn broken(proxy: &Proxy) -> Vec<Candidate> {
    let Some(&port) = proxy.ports.first() else {
        return Vec::new();
    };
    let address = proxy.single_addresses().next();
    let host = proxy.server_name();
    let candidate = |how: &str, address: Option<String>| Candidate {
        called: format!("an entry that makes {} HTTP{how}", proxy.called(63)),
        by: format!("by policy {}", proxy.policy),
        host: host.unwrap_or("squid.example.com").to_owned(),
        address,
        port,
    };
    let with = address.map(|address| candidate("", Some(address.to_string())));
    let without = host.map(|_| candidate(", without its address", None));
    with.into_iter().chain(without).collect()
}

impl Candidate {
    fn entry(&self, version: &str, namespace: &str) -> Value {
        let mut entry = json!({
            "apiVersion": format!("networking.istio.io/{version}"),
            "kind": "ServiceEntry",
            "metadata": {"name": NAME, "namespace": namespace},
            "spec": {
                "hosts": [self.host],
                // Nobody else's, even if it were stored.
                "exportTo": ["."],
                "ports": [{"number": self.port, "name": "http", "protocol": "HTTP"}],
            },
        });
        match &self.address {
            Some(address) => {
                entry["spec"]["addresses"] = json!([address]);
                entry["spec"]["resolution"] = "NONE".into();
            }
            None => entry["spec"]["resolution"] = "DNS".into(),
        }
        entry
    }
}

fn reaction(object: &Value, snapshot: &Snapshot, today: Date) -> Reaction {
    let Ok(entry) = serde_json::from_value::<ServiceEntry>(object.clone()) else {
        return Reaction::Nothing;
    };
    let context = snapshot.context();
    let findings = evaluate(&entry, context);
    if repair(&findings, &entry, &context, today).is_some() {
        return Reaction::Repaired;
    }
    let verdict = judge(findings, &entry, None, &context, today);
    match (verdict.is_allowed(), verdict.warned.is_empty()) {
        (false, _) => Reaction::Denied,
        (true, false) => Reaction::Warned,
        (true, true) => Reaction::Nothing,
    }
}

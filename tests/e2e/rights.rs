//! The rules of the chart are the calls that tunnelguard makes: it may do nothing that it does
//! not do, and does nothing that it may not.

use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Test;
use crate::harness::manifests::component;
use crate::harness::{FailurePolicy, LIMIT, Replicas, Stage, repository};

/// One that takes a variable from a ConfigMap.
const POD: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: refers, namespace: default}, spec: {containers: [
  {name: c, image: c, envFrom: [{configMapRef: {name: proxy, optional: true}}]}]}}";

pub(crate) fn tests() -> Vec<Test> {
    vec![(
        "rights::are_the_calls".to_owned(),
        Box::new(|plane| rights_are_the_calls(&Replicas::new(plane))),
    )]
}

fn rights_are_the_calls(replicas: &Replicas<'_>) {
    let since = replicas.plane.audited();
    let rights = rights();
    let stage = Stage::new(replicas.plane, "rights");
    stage.register_without_authority(FailurePolicy::Ignore);
    replicas.plane.forget_authority();
    let mut replica = replicas.start_self_managed(stage.address, &[]);
    replica.await_ready();
    let rotate = "-n tunnelguard-system annotate secret tunnelguard-ca tunnelguard.dev/rotate=now";
    replicas.plane.prints(rotate);
    // After it has seen the ConfigMaps: so it has to ask for this one. And its list of Proxies failed.
    let proxies = fs::read_to_string(repository("tests/e2e/objects/openshift-proxy-crd.yaml"));
    replicas.plane.apply(&proxies.expect("a definition"));
    replicas.plane.apply(POD);
    replicas.await_status_of("Enforce");
    // By the watch.
    replicas.await_status_of("Audit");
    await_use_of(&rights, || calls(replicas, since));
    replica.signal("TERM");
    assert!(replica.ended().success());
    replicas.plane.forget_authority();
    for gone in ["crd/proxies.config.openshift.io", "pod/refers -n default"] {
        replicas.plane.prints(&format!("delete --now {gone}"));
    }
    let calls = calls(replicas, since);
    let mut beyond = calls.iter().filter(|call| !call.is_granted(&rights));
    assert_eq!(beyond.next(), None, "no rule grants this call");
}

/// Whoever follows something lists it first and watches it then.
fn await_use_of(rights: &[Right], calls: impl Fn() -> BTreeSet<Call>) {
    let begin = Instant::now();
    loop {
        let calls = calls();
        let mut unused = rights
            .iter()
            .filter(|right| !calls.iter().any(|call| right.grants(call)));
        let Some(unused) = unused.next() else {
            return;
        };
        let message = "no call uses this rule";
        assert!(begin.elapsed() < LIMIT, "{message}: {unused:?}");
        sleep(Duration::from_millis(50));
    }
}

/// One verb of one rule.
#[derive(Debug)]
struct Right {
    /// Of a Role; none: everywhere.
    namespace: Option<String>,
    group: String,
    resource: String,
    verb: String,
    /// None: all.
    names: Vec<String>,
}

impl Right {
    fn grants(&self, call: &Call) -> bool {
        let is_there = self
            .namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == call.namespace);
        let is_called = self.names.is_empty() || self.names.contains(&call.name);
        let of_right = (&self.group, &self.resource, &self.verb);
        of_right == (&call.group, &call.resource, &call.verb) && is_there && is_called
    }
}

fn rights() -> Vec<Right> {
    let mut rights = Vec::new();
    for role in component("rbac") {
        let namespace = match role["kind"].as_str() {
            Some("ClusterRole") => None,
            Some("Role") => role["metadata"]["namespace"].as_str().map(str::to_owned),
            _ => continue,
        };
        for rule in role["rules"].as_array().expect("rules") {
            let each = |field: &str| texts(&rule[field]);
            assert!(!rule.to_string().contains('*'), "{rule}");
            for group in each("apiGroups") {
                for resource in each("resources") {
                    rights.extend(each("verbs").into_iter().map(|verb| Right {
                        namespace: namespace.clone(),
                        group: group.clone(),
                        resource: resource.clone(),
                        verb,
                        names: each("resourceNames"),
                    }));
                }
            }
        }
    }
    assert!(rights.len() > 5, "{rights:?}");
    rights
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts.map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What the API server was asked for.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    verb: String,
    group: String,
    /// With the subresource; of what is no resource, its path.
    resource: String,
    namespace: String,
    name: String,
}

impl Call {
    fn of(event: &Value) -> Self {
        let object = &event["objectRef"];
        let mut resource = text(&object["resource"]);
        if let Some(subresource) = object["subresource"].as_str() {
            resource += &format!("/{subresource}");
        }
        if resource.is_empty() {
            resource = text(&event["requestURI"]);
        }
        Self {
            verb: text(&event["verb"]),
            group: text(&object["apiGroup"]),
            resource,
            namespace: text(&object["namespace"]),
            name: text(&object["name"]),
        }
    }

    fn is_granted(&self, rights: &[Right]) -> bool {
        rights.iter().any(|right| right.grants(self))
    }
}

/// What the replicas called.
fn calls(replicas: &Replicas<'_>, since: u64) -> BTreeSet<Call> {
    let events = replicas.plane.audit(since);
    let account = "system:serviceaccount:tunnelguard-system:tunnelguard";
    let ours = events
        .iter()
        .filter(|event| event["user"]["username"] == account);
    ours.map(Call::of).collect()
}

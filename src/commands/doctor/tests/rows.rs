//! What can be wrong with an install, and what is said of it.

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::healthy::{certificate_from_elsewhere, object, policy, slice, validating};
use crate::commands::crd;
use crate::commands::doctor::facts::{Facts, Seen};

/// What is done to the healthy install, and what is not ok then: `FAIL subject: words of what is told`, or `?`
/// for what cannot be checked.
pub(super) type Row = (&'static str, fn(&mut Facts), &'static [&'static str]);

const FILE: &str = "apiVersion: tunnelguard.dev/v1alpha1
kind: ConnectProxyPolicy
metadata: {name: corporate}
spec: {mode: Enforce, proxies: [{name: a, addresses: [10.0.0.1], ports: [3128]}]}
";

fn files(text: &str) -> Seen<ConfigMap> {
    Seen::Found(object(json!({"data": {"corporate.yaml": text}})))
}

fn without_a_right_for_certificates(facts: &mut Facts) {
    facts.rights[0].0.for_certificates = true;
    facts.rights[0].1 = Seen::Found(false);
}

pub(super) const ROWS: &[Row] = &[
    ("healthy", |_| {}, &[]),
    (
        "an API server that is too old",
        |facts| facts.version.minor = "30+".to_owned(),
        &["FAIL API server: v1.36.3"],
    ),
    (
        "no Istio",
        |facts| facts.entry_versions = Seen::Absent,
        &[
            "FAIL ServiceEntries: nothing to guard",
            "? /mutate, tried: no ServiceEntry can be made",
            "? /validate, tried: no ServiceEntry can be made",
        ],
    ),
    (
        "no definition",
        |facts| (facts.definition, facts.policies) = (Seen::Absent, Seen::Absent),
        &[
            "FAIL definition of policies: not installed",
            "? /mutate, tried: repairs anything in namespace default",
            "? /validate-policy, tried: not installed",
        ],
    ),
    (
        "a definition of another version",
        |facts| {
            let mut definition = crd::definition().expect("it is made");
            definition.spec.versions[0].schema = None;
            facts.definition = Seen::Found(definition);
        },
        &["FAIL definition of policies: another version"],
    ),
    (
        "a policy that nobody looked at",
        |facts| facts.policies = Seen::Found(vec![json!({"metadata": {"name": "a"}})]),
        &[
            "FAIL policy a: nobody has said",
            "? /mutate, tried: repairs anything",
        ],
    ),
    (
        "a policy whose last edit was not seen",
        |facts| policy(facts)["metadata"]["generation"] = 3.into(),
        &["FAIL policy corporate: its last edit"],
    ),
    (
        "a policy that is not in force",
        |facts| policy(facts)["status"]["conditions"][0]["status"] = "False".into(),
        &["FAIL policy corporate: not in force as written: InForce"],
    ),
    (
        "a policy in a file that cannot be read",
        |facts| facts.policy_files = files(&FILE.replace("mode", "mod")),
        &["FAIL policy file corporate.yaml: it is not in force: "],
    ),
    (
        "policies in files alone",
        |facts| {
            facts.definition = Seen::Absent;
            facts.policies = Seen::Absent;
            facts.policy_files = files(FILE);
        },
        &[
            "? /mutate, tried: no policy that can be seen repairs anything",
            "? /validate-policy, tried: no policy can be made",
        ],
    ),
    (
        "policies in files that nobody may read",
        |facts| facts.policy_files = Seen::Untold("forbidden".to_owned()),
        &[
            "? policy files: forbidden",
            "? /mutate, tried: the policies are not told",
            "? /validate, tried: the policies are not told",
        ],
    ),
    (
        "no configuration",
        |facts| facts.mutating = Seen::Absent,
        &["FAIL MutatingWebhookConfiguration: nothing is repaired"],
    ),
    (
        "one of an older version",
        |facts| validating(facts).webhooks.truncate(1),
        &["FAIL validate-policy.tunnelguard.dev: not among the webhooks"],
    ),
    (
        "another Service",
        |facts| {
            let config = &mut validating(facts).webhooks[0].client_config;
            config.service.as_mut().expect("one").namespace = "other".to_owned();
        },
        &["FAIL validate.tunnelguard.dev: not the Service tunnelguard-system/tunnelguard"],
    ),
    (
        "another path",
        |facts| {
            let config = &mut validating(facts).webhooks[0].client_config;
            config.service.as_mut().expect("one").path = Some("/mutate".to_owned());
        },
        &["FAIL validate.tunnelguard.dev: its path is /validate"],
    ),
    (
        "what may be set otherwise",
        |facts| {
            let webhook = &mut validating(facts).webhooks[0];
            webhook.failure_policy = Some("Fail".to_owned());
            webhook.timeout_seconds = Some(2);
        },
        &[],
    ),
    (
        "what may not",
        |facts| {
            let webhook = &mut validating(facts).webhooks[1];
            webhook.failure_policy = Some("Fail".to_owned());
            webhook.match_conditions.pop();
        },
        &[
            "FAIL validate-policy.tunnelguard.dev: not as tunnelguard 0.1.0 has it: matchConditions, failurePolicy",
        ],
    ),
    (
        "dialled by URL",
        |facts| {
            for configuration in [&mut facts.mutating, &mut facts.validating] {
                let Seen::Found(configuration) = configuration else {
                    continue;
                };
                for webhook in &mut configuration.webhooks {
                    webhook.client_config.service = None;
                    webhook.client_config.url = Some("https://guard.example/".to_owned());
                }
            }
        },
        &[
            "? mutate.tunnelguard.dev: asks https://guard.example/, not a Service",
            "? validate.tunnelguard.dev: whether that is the guard cannot be seen",
            "? validate-policy.tunnelguard.dev: whether that is the guard cannot be seen",
        ],
    ),
    (
        "no Service",
        |facts| facts.service = Seen::Absent,
        &["FAIL Service: no review arrives"],
    ),
    (
        "a headless Service",
        |facts| facts.service = Seen::Found(object(json!({"spec": {"clusterIP": "None"}}))),
        &["FAIL Service: is headless"],
    ),
    (
        "a Service with another port",
        |facts| facts.service = Seen::Found(object(json!({"spec": {"ports": [{"port": 8443}]}}))),
        &["FAIL Service: has no port 443"],
    ),
    (
        "replicas that are not ready",
        |facts| facts.slices = Seen::Found(vec![slice(false), slice(false)]),
        &["FAIL ready endpoints: 2 replicas are not ready"],
    ),
    (
        "no replicas",
        |facts| facts.slices = Seen::Found(vec![]),
        &["FAIL ready endpoints: no replica runs"],
    ),
    (
        "a right that is missing",
        |facts| facts.rights[0].1 = Seen::Found(false),
        &["FAIL rights of the guard: may not list connectproxypolicies"],
    ),
    (
        "a right that only certificates of its own need",
        without_a_right_for_certificates,
        &["FAIL rights of the guard: may not list connectproxypolicies"],
    ),
    (
        "the same where it is told to take them from elsewhere",
        |facts| {
            certificate_from_elsewhere(facts);
            without_a_right_for_certificates(facts);
        },
        &[],
    ),
    (
        "the same where its Deployment has another name, and it made an authority",
        |facts| {
            facts.deployment = Seen::Absent;
            without_a_right_for_certificates(facts);
        },
        &["FAIL rights of the guard: may not list connectproxypolicies"],
    ),
    (
        "the same where it made none",
        |facts| {
            (facts.deployment, facts.authority) = (Seen::Absent, Seen::Absent);
            without_a_right_for_certificates(facts);
        },
        &[],
    ),
    (
        "rights that nobody may ask about",
        |facts| facts.rights[0].1 = Seen::Untold("forbidden".to_owned()),
        &["? rights of the guard: forbidden"],
    ),
    (
        "a Lease that was released",
        |facts| facts.lease = Seen::Found(object(json!({"spec": {"holderIdentity": ""}}))),
        &["FAIL leader: released it"],
    ),
    (
        "a Lease that has run out",
        |facts| facts.now += jiff::SignedDuration::from_hours(1),
        &["FAIL leader: a renewed the Lease 60 minutes ago"],
    ),
    (
        "no Lease",
        |facts| facts.lease = Seen::Absent,
        &["FAIL leader: there never was one"],
    ),
    (
        "a namespace that is spared",
        |facts| {
            let labels = json!({"metadata": {"labels": {"kubernetes.io/metadata.name": "default", "spared": ""}}});
            facts.namespace = Seen::Found(object(labels));
            let selector =
                json!({"matchExpressions": [{"key": "spared", "operator": "DoesNotExist"}]});
            validating(facts).webhooks[0].namespace_selector = object(selector);
        },
        &["? /validate, tried: spares namespace default"],
    ),
];

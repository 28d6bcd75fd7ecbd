//! What a schema cannot say of a policy, in CEL: the API server refuses with it what
//! [`super::super::compile`] refuses.
//!
//! `isIP` and `isCIDR` need Kubernetes 1.31 (a function may be used in a CRD one version after it came).
//! Nothing newer is used.

use schemars::Schema;
use serde_json::{Value, json};

use crate::mesh::simulation::{IstioVersion, OutboundPolicy};
use crate::policy::checks;
use crate::policy::proxy::NOT_ASCII;

/// The names of [`OutboundPolicy`].
pub(super) fn outbound_policies() -> Value {
    json!(OutboundPolicy::ALL.map(|(name, _)| name))
}

/// A proxy has something to recognise it by.
pub(super) fn recognisable() -> Value {
    json!([{
        "rule": "(has(self.hosts) && size(self.hosts) > 0) || (has(self.addresses) && size(self.addresses) > 0)",
        "message": "a proxy needs hosts or addresses to be recognised by",
    }])
}

/// Every item is a host name.
pub(super) fn hosts(list: &mut Schema) {
    let rule = "self.matches('^([*][.])?[^*/: ]+$')";
    of_items(list, rule, "expected a host name or *.domain");
    of_items(list, "self.matches('^[ -~]*$')", NOT_ASCII);
}

/// Every item is an address.
pub(super) fn addresses(list: &mut Schema) {
    let message = "expected an IP or a range such as 10.20.1.0/24";
    of_items(list, "isIP(self) || isCIDR(self)", message);
}

/// Every item is the id of a check.
pub(super) fn known_items(list: &mut Schema) {
    of_items(list, &is_check("self"), NO_CHECK);
}

/// Every key is the id of a check.
pub(super) fn known_keys() -> Value {
    let rule = format!("self.all(id, {})", is_check("id"));
    json!([{"rule": rule, "message": NO_CHECK}])
}

/// As Kubernetes has it: what is compared with nothing would be a slip.
pub(super) fn values_of_operator() -> Value {
    json!([{
        "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
        "message": "In and NotIn need values; Exists and DoesNotExist have none",
    }])
}

/// A version that is modelled.
pub(super) fn istio_version() -> Value {
    let (oldest, newest) = (IstioVersion::OLDEST, IstioVersion::NEWEST);
    let message =
        format!("expected a version of Istio between {oldest} and {newest}, such as \"{newest}\"");
    let minors = oldest.minor()..=newest.minor();
    let minors: Vec<String> = minors.map(|minor| minor.to_string()).collect();
    let rule = format!(r"self.matches('^v*1[.]({})([.].*)?$')", minors.join("|"));
    json!([{"rule": rule, "message": message}])
}

/// A day. What follows the pattern and is none, the 30th of February, `timestamp` fails on.
pub(super) fn date() -> Value {
    json!([{
        "rule": "self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}$') && timestamp(self + 'T00:00:00Z').getFullYear() >= 0",
        "message": "expected the last valid day as YYYY-MM-DD",
    }])
}

const NO_CHECK: &str = "there is no such check; `tunnelguard explain` lists them";

fn is_check(variable: &str) -> String {
    let ids = checks::ALL.iter().map(|check| format!("'{}'", check.id));
    let ids: Vec<String> = ids.collect();
    format!("{variable}.upperAscii() in [{}]", ids.join(", "))
}

/// A rule for each item, so that the API server says which one breaks it.
fn of_items(list: &mut Schema, rule: &str, message: &str) {
    if let Some(Value::Object(items)) = list.get_mut("items") {
        let rules = items.entry("x-kubernetes-validations");
        if let Value::Array(rules) = rules.or_insert_with(|| json!([])) {
            rules.push(json!({"rule": rule, "message": message}));
        }
    }
}

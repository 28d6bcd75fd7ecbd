//! That the lab shows what it is there to show.

use serde_json::{Value, json};
use tunnelguard::mesh::simulation::OutboundPolicy;
use tunnelguard::mesh::{Dial, Speech};

use crate::lab::{Lab, Met, Pin};

/// A test: what it is called, and what it does.
pub(crate) type Test = (String, Box<dyn FnOnce(&Lab) + Send>);

/// All of them, for an istiod.
pub(crate) fn tests(pin: &Pin) -> Vec<Test> {
    let named = |name: &str, test: fn(&Lab)| -> Test {
        (format!("{} lab: {name}", pin.version), Box::new(test))
    };
    vec![
        named("what nobody declares", what_nobody_declares),
        named("an HTTP port", an_http_port),
        named("another endpoint", another_endpoint),
        named("istiod's verdict", istiods_verdict),
    ]
}

fn what_nobody_declares(lab: &Lab) {
    lab.clear();
    for (policy, met) in [
        (OutboundPolicy::RegistryOnly, Met::Closed),
        (OutboundPolicy::AllowAny, Met::Tunnel),
    ] {
        lab.set_outbound(policy);
        lab.settle();
        assert_eq!(lab.dial(&connect("10.20.0.5")), met, "{policy}");
    }
    let tls = Dial {
        speech: Speech::Tls(Some("my-company-proxy.com".into())),
        ..connect("10.20.0.5")
    };
    assert_eq!(lab.dial(&tls), Met::Tunnel);
}

fn an_http_port(lab: &Lab) {
    lab.clear();
    let spec = json!({"addresses": ["10.20.0.5"], "resolution": "NONE"});
    assert!(lab.create(&entry("HTTP", &spec)).is_allowed());
    lab.settle();
    for address in ["10.20.0.5", "10.20.0.6"] {
        assert_eq!(lab.dial(&connect(address)), Met::Refused("404".to_owned()));
    }
}

fn another_endpoint(lab: &Lab) {
    lab.clear();
    assert!(
        lab.create(&entry("TCP", &json!({"resolution": "DNS"})))
            .is_allowed()
    );
    lab.settle();
    assert_eq!(lab.dial(&connect("10.20.0.5")), Met::Tunnel);
    let hijacked = Met::Hijacked("10.20.0.5:3128".to_owned());
    assert_eq!(lab.dial(&connect("10.20.0.6")), hijacked);
}

fn istiods_verdict(lab: &Lab) {
    let spec = json!({"addresses": ["10.20.0.5"], "resolution": "NONE"});
    assert_eq!(lab.objection(&entry("TCP", &spec)), None);
    let objection = lab.objection(&entry("nonsense", &spec));
    assert!(objection.is_some_and(|why| why.contains("protocol")));
}

fn entry(protocol: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["hosts"] = json!(["my-company-proxy.com"]);
    spec["ports"] = json!([{"name": "proxy", "number": 3128, "protocol": protocol}]);
    json!({
        "apiVersion": "networking.istio.io/v1beta1", "kind": "ServiceEntry",
        "metadata": {"name": "proxy", "namespace": "default"}, "spec": spec,
    })
}

fn connect(address: &str) -> Dial {
    Dial {
        namespace: "default".into(),
        address: address.parse().expect("an address"),
        port: 3128,
        speech: Speech::Connect,
    }
}

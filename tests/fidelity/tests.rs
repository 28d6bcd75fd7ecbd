//! That the lab shows what it is there to show, and that every shape meets what is predicted of it.

use libtest_mimic::Failed;
use serde_json::{Value, json};
use tunnelguard::mesh::simulation::{IstioVersion, OutboundPolicy};
use tunnelguard::mesh::{Dial, Speech};

use crate::comparison::compare;
use crate::lab::{Application, Lab, Met, Pin};
use crate::random::Random;
use crate::shape::Shape;
use crate::story;

/// A test: what it is called, and what it does.
pub(crate) type Test = (String, Box<dyn FnOnce(&Lab) -> Result<(), Failed> + Send>);

/// All of them, for an istiod.
pub(crate) fn tests(pin: &Pin, random: Random) -> Vec<Test> {
    let named = |name: &str, test: fn(&Lab)| -> Test {
        let name = format!("{} lab: {name}", pin.version);
        let test = move |lab: &Lab| {
            test(lab);
            Ok(())
        };
        (name, Box::new(test))
    };
    let mut tests = vec![
        named("what nobody declares", what_nobody_declares),
        named("an HTTP port", an_http_port),
        named("another endpoint", another_endpoint),
        named("istiod's verdict", istiods_verdict),
        named("story", story::is_as_told),
    ];
    // A policy at a time: istiod takes longer to change it than to take in a shape.
    for (word, policy) in OutboundPolicy::ALL {
        if policy == OutboundPolicy::AllowAnyDynamicDns && pin.version < IstioVersion::NEWEST {
            continue;
        }
        tests.extend(shapes(pin, word, policy));
    }
    tests.extend(random.tests(pin));
    tests
}

fn shapes(pin: &Pin, word: &str, policy: OutboundPolicy) -> impl Iterator<Item = Test> {
    let version = pin.version;
    let shapes = Shape::all().into_iter();
    let shapes = shapes.filter(move |shape| shape.is_for(version));
    shapes.map(move |shape| -> Test {
        let name = format!("{version} {word}: {}", shape.name);
        (name, Box::new(move |lab| compare(lab, &shape, policy)))
    })
}

fn what_nobody_declares(lab: &Lab) {
    lab.clear();
    for (policy, met) in [
        (OutboundPolicy::RegistryOnly, Met::Closed),
        (OutboundPolicy::AllowAny, Met::Tunnel),
    ] {
        lab.set_outbound(policy);
        lab.settle(&Application::default());
        assert_eq!(lab.dial(&connect("10.20.0.5"), &[], 1), met, "{policy}");
    }
    let tls = Dial {
        speech: Speech::Tls(Some("my-company-proxy.com".into())),
        ..connect("10.20.0.5")
    };
    assert_eq!(lab.dial(&tls, &[], 1), Met::Tunnel);
}

fn an_http_port(lab: &Lab) {
    lab.set_outbound(OutboundPolicy::AllowAny);
    lab.clear();
    let spec = json!({"addresses": ["10.20.0.5"], "resolution": "NONE"});
    assert!(lab.create(&entry("HTTP", &spec)).is_allowed());
    lab.settle(&Application::default());
    for address in ["10.20.0.5", "10.20.0.6"] {
        assert_eq!(
            lab.dial(&connect(address), &[], 1),
            Met::Refused("404".to_owned())
        );
    }
}

fn another_endpoint(lab: &Lab) {
    lab.set_outbound(OutboundPolicy::AllowAny);
    lab.clear();
    assert!(
        lab.create(&entry("TCP", &json!({"resolution": "DNS"})))
            .is_allowed()
    );
    lab.settle(&Application::default());
    assert_eq!(lab.dial(&connect("10.20.0.5"), &[], 1), Met::Tunnel);
    let hijacked = Met::Hijacked("10.20.0.5:3128".to_owned());
    assert_eq!(lab.dial(&connect("10.20.0.6"), &[], 1), hijacked);
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
        labels: None,
        address: address.parse().expect("an address"),
        port: 3128,
        speech: Speech::Connect,
    }
}

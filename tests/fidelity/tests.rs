//! That the lab shows what it is there to show, and that every shape meets what is predicted of it.

use libtest_mimic::Failed;
use serde_json::{Value, json};
use tunnelguard::mesh::simulation::{IstioVersion, OutboundPolicy};
use tunnelguard::mesh::{Dial, Speech};

use crate::comparison::compare;
use crate::comparison::settings::{differs, differs_by_dynamic_dns};
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
    let shapes = Shape::all().into_iter();
    let shapes = shapes.filter(|shape| shape.is_for(pin.version));
    // Two istiods that are predicted to agree need not both be asked.
    let is_newest = pin.version == IstioVersion::NEWEST;
    for shape in shapes.filter(|shape| is_newest || shape.is_for_one() || differs(shape)) {
        let name = format!("{} {}", pin.version, shape.name);
        tests.push((name, Box::new(move |lab| compare_all(lab, &shape))));
    }
    tests.extend(random.tests(pin));
    tests
}

/// Compares under every outbound policy that can tell anything.
fn compare_all(lab: &Lab, shape: &Shape) -> Result<(), Failed> {
    let mut policies = OutboundPolicy::ALL.to_vec();
    let is_told_apart = lab.version == IstioVersion::NEWEST && differs_by_dynamic_dns(shape);
    policies.retain(|(_, policy)| *policy != OutboundPolicy::AllowAnyDynamicDns || is_told_apart);
    // Changing it takes longer than a shape does.
    policies.sort_by_key(|(_, policy)| *policy != lab.outbound());
    let compared = policies.into_iter().filter_map(|(word, policy)| {
        let failed = compare(lab, shape, policy).err()?;
        let told = failed.message().unwrap_or_default().to_owned();
        Some(format!("under {word}:\n{told}"))
    });
    let failed: Vec<String> = compared.collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(failed.join("\n").into()),
    }
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

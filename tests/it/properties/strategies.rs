//! Objects that reach deep: mostly what people write, with now and then something that nobody
//! would.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// What stands for the examples' proxies, near misses of them, and others.
const HOSTS: &[&str] = &[
    "my-company-proxy.com",
    "my-company-proxy.com",
    "MY-Company-Proxy.com.",
    "a.proxy.corp",
    "*.proxy.corp",
    "backup-proxy.com",
    "tls-proxy.com",
    "tunnel-proxy.com",
    "api.example.com",
    "squid.example.com",
    "*",
    "",
];

/// The same among addresses.
pub(super) const ADDRESSES: &[&str] = &[
    "10.20.0.5",
    "10.20.0.5",
    "10.20.0.5/32",
    "10.20.0.0/24",
    "10.20.1.7",
    "10.20.1.8",
    "10.20.2.9",
    "10.20.3.3",
    "10.40.0.9",
    "2001:db8::7",
    "2001:db8::/64",
    "::ffff:10.20.0.5",
    "0.0.0.0",
    "0.0.0.0/0",
    "10.20.0.500",
];

/// The ports of the examples' proxies, and others.
pub(super) const PORTS: &[u16] = &[3128, 3128, 3129, 8443, 3130, 8080, 443];

const PROTOCOLS: &[&str] = &[
    "HTTP",
    "http",
    "HTTP2",
    "GRPC",
    "HTTP_PROXY",
    "HTTPS",
    "TLS",
    "TCP",
    "TCP",
    "UDP",
    "Mongo",
    "HTPP",
    " HTTP",
    "",
];

const RESOLUTIONS: &[&str] = &[
    "NONE",
    "NONE",
    "STATIC",
    "DNS",
    "DNS_ROUND_ROBIN",
    "DYNAMIC_DNS",
];

/// Namespaces: where the examples' policy repairs, denies and warns.
pub(super) const NAMESPACES: &[&str] = &["default", "default", "prod", "sandbox"];

/// A ServiceEntry of which one field in `noise` is of any type.
pub(super) fn entry(noise: Noise) -> BoxedStrategy<Value> {
    let metadata = (select(NAMESPACES), "[a-z]{1,3}", any::<bool>());
    let metadata = metadata.prop_map(|(namespace, name, annotated)| {
        let mut metadata = json!({"namespace": namespace, "name": name});
        if annotated {
            metadata["annotations"] = json!({"a/b~c": "x"});
        }
        metadata
    });
    (metadata, noise.spoil(spec(noise)))
        .prop_map(|(metadata, spec)| {
            json!({
                "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
                "metadata": metadata, "spec": spec
            })
        })
        .boxed()
}

/// How many fields are not of their type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Noise {
    /// None.
    Silent,
    /// A few in a hundred.
    Some,
}

impl Noise {
    fn spoil(self, sound: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
        match self {
            Self::Silent => sound,
            Self::Some => prop_oneof![30 => sound, 1 => junk()].boxed(),
        }
    }
}

/// Any JSON, with names that mean something inside a ServiceEntry.
pub(super) fn junk() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u16>().prop_map(Value::from),
        select(ADDRESSES).prop_map(Value::from),
        select(HOSTS).prop_map(Value::from),
        select(PROTOCOLS).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let nested = leaf.prop_recursive(5, 40, 6, |inner| {
        let key = prop_oneof![
            4 => select(KEYS).prop_map(str::to_owned),
            1 => "\\PC{0,6}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    });
    nested.boxed()
}

const KEYS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    "name",
    "namespace",
    "labels",
    "hosts",
    "addresses",
    "ports",
    "number",
    "protocol",
    "targetPort",
    "location",
    "resolution",
    "endpoints",
    "address",
    "serviceAccount",
    "workloadSelector",
    "exportTo",
    "creationTimestamp",
    "deletionTimestamp",
];

/// The mistake that everybody makes with a field or two otherwise, or any fields at all.
fn spec(noise: Noise) -> BoxedStrategy<Value> {
    let mistake = (select(MISTAKES), object(fields(noise, |_| 5)));
    let mistake = mistake.prop_map(|((host, address, port, protocol), others)| {
        let mut spec = json!({
            "hosts": [host],
            "addresses": [address],
            "ports": [{"number": port, "name": "http", "protocol": protocol}],
        });
        if let (Some(spec), Value::Object(others)) = (spec.as_object_mut(), others) {
            spec.extend(others);
        }
        spec
    });
    let any = object(fields(noise, |present| if present { 0 } else { 6 }));
    prop_oneof![mistake, any].boxed()
}

const MISTAKES: &[(&str, &str, u16, &str)] = &[
    ("my-company-proxy.com", "10.20.0.5", 3128, "HTTP"),
    ("a.proxy.corp", "10.20.0.5/32", 3128, "grpc"),
    ("backup-proxy.com", "10.20.1.7", 3129, "HTPP"),
    ("backup-proxy.com", "10.20.1.8", 3129, ""),
    ("tls-proxy.com", "10.20.2.9", 8443, "HTTP_PROXY"),
];

/// Every field, absent `times` times for each time it is there, and with 0 hardly ever; `times` is
/// asked with whether people usually write it.
fn fields(noise: Noise, times: impl Fn(bool) -> u32) -> Vec<Field> {
    let texts = |words: &'static [&'static str], sizes: std::ops::Range<usize>| {
        let list = prop::collection::vec(select(words), sizes).prop_map(|list| json!(list));
        noise.spoil(list.boxed())
    };
    let hosts = prop_oneof![5 => texts(HOSTS, 1..2), 1 => texts(HOSTS, 0..3)];
    let addresses = prop_oneof![4 => texts(ADDRESSES, 1..2), 1 => texts(ADDRESSES, 0..4)];
    let ports = prop::collection::vec(port(noise), 1..3).prop_map(Value::from);
    let endpoints = prop::collection::vec(endpoint(noise), 0..3).prop_map(Value::from);
    let word =
        |words: &'static [&'static str]| noise.spoil(select(words).prop_map(Value::from).boxed());
    let selector = Just(json!({"labels": {"app": "squid"}})).boxed();
    let (usual, rare) = (times(true), times(false));
    vec![
        ("hosts", seldom(usual, hosts.boxed())),
        ("addresses", seldom(usual, addresses.boxed())),
        ("ports", seldom(usual, noise.spoil(ports.boxed()))),
        ("resolution", seldom(usual, word(RESOLUTIONS))),
        (
            "location",
            seldom(usual, word(&["MESH_EXTERNAL", "MESH_INTERNAL"])),
        ),
        ("endpoints", seldom(rare, noise.spoil(endpoints.boxed()))),
        ("workloadSelector", seldom(rare, noise.spoil(selector))),
        (
            "exportTo",
            seldom(rare, texts(&["*", ".", "default", "prod", "~"], 0..3)),
        ),
    ]
}

type Field = (&'static str, BoxedStrategy<Option<Value>>);

fn port(noise: Noise) -> BoxedStrategy<Value> {
    let number = select(PORTS).prop_map(Value::from).boxed();
    let target = select(&[3128_u16, 8080][..]).prop_map(Value::from).boxed();
    let name = select(&["http", "tcp", "a/b~c"][..])
        .prop_map(Value::from)
        .boxed();
    let protocol = select(PROTOCOLS).prop_map(Value::from).boxed();
    let fields = vec![
        ("number", often(30, noise.spoil(number))),
        ("name", often(10, noise.spoil(name))),
        ("protocol", often(8, noise.spoil(protocol))),
        ("targetPort", seldom(8, noise.spoil(target))),
    ];
    noise.spoil(object(fields))
}

fn endpoint(noise: Noise) -> BoxedStrategy<Value> {
    let address = prop_oneof![3 => select(ADDRESSES), 1 => select(HOSTS)].prop_map(Value::from);
    let ports = select(PORTS).prop_map(|port| json!({"http": port}));
    let fields = vec![
        ("address", often(10, noise.spoil(address.boxed()))),
        ("ports", seldom(4, noise.spoil(ports.boxed()))),
        (
            "serviceAccount",
            seldom(8, noise.spoil(Just(json!("squid")).boxed())),
        ),
    ];
    noise.spoil(object(fields))
}

/// There `times` times for each time it is absent.
fn often(times: u32, value: BoxedStrategy<Value>) -> BoxedStrategy<Option<Value>> {
    prop_oneof![times => value.prop_map(Some), 1 => Just(None)].boxed()
}

/// Absent `times` times for each time it is there.
fn seldom(times: u32, value: BoxedStrategy<Value>) -> BoxedStrategy<Option<Value>> {
    if times == 0 {
        return often(8, value);
    }
    prop_oneof![1 => value.prop_map(Some), times => Just(None)].boxed()
}

fn object(fields: Vec<Field>) -> BoxedStrategy<Value> {
    let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    let object = values.prop_map(move |values| {
        let fields = names.iter().zip(values);
        let present = fields.filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Value::Object(present.collect::<Map<_, _>>())
    });
    object.boxed()
}

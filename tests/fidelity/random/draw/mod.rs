//! Shapes drawn at random, without the lab: what is in them, and how they are made smaller.
//!
//! A shape is here what is in a file of `shapes/`, so that one that disagrees can become such a file.

mod beside;
mod dials;
mod entry;
mod shrink;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tunnelguard::mesh::simulation::OutboundPolicy;

pub(crate) use shrink::smallest;

/// A shape, and where it is to be tried.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Drawn {
    /// What it is drawn from, alone.
    pub(crate) seed: u32,
    pub(crate) outbound: OutboundPolicy,
    /// Whether on the older istiod too.
    pub(crate) on_older: bool,
    /// Where most of its dials come from.
    pub(crate) from: &'static str,
    pub(crate) shape: Value,
}

/// Draws shapes: the first from `seed`, the next from the number after it, and so on.
pub(crate) fn draw(seed: u32, count: u32) -> impl Iterator<Item = Drawn> {
    let strategy = drawn();
    (0..count).map(move |index| {
        let seed = seed.wrapping_add(index);
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let tree = strategy.new_tree(&mut runner).expect("nothing is rejected");
        Drawn {
            seed,
            ..tree.current()
        }
    })
}

/// The text of a shape's file.
pub(crate) fn file(shape: &Value) -> String {
    // In the order in which people read it.
    let fields = ["istio", "in-one-second", "objects", "dials"];
    let present = fields.into_iter().filter_map(|field| {
        let value = shape.get(field)?;
        let text = serde_saphyr::to_string(&json!({field: value}));
        Some(text.expect("JSON is YAML"))
    });
    present.collect()
}

fn drawn() -> BoxedStrategy<Drawn> {
    let policies = prop_oneof![
        3 => Just(OutboundPolicy::AllowAny),
        2 => Just(OutboundPolicy::RegistryOnly),
        1 => Just(OutboundPolicy::AllowAnyDynamicDns),
    ];
    let entries = prop_oneof![
        2 => vec(entry::entry(), 1),
        3 => vec(entry::entry(), 2),
        2 => vec(entry::entry(), 3),
        1 => vec(entry::entry(), 4),
    ];
    let from = select(&["default", "default", "default", "a"][..]);
    let strategies = (
        policies,
        prop::bool::weighted(0.3),
        entries,
        prop::bool::weighted(0.85),
        from,
        dials::others(),
        // Older or younger than the entries.
        (beside::objects(), any::<bool>()),
    );
    strategies
        .prop_map(
            |(
                outbound,
                on_older,
                mut entries,
                in_one_second,
                from,
                others,
                (mut beside, older),
            )| {
                let mut dials = dials::of(from, others);
                if beside.iter().any(|object| object["kind"] == "Service") {
                    dials.extend(dials::of_service(from));
                }
                let mut shape = json!({"dials": dials});
                // Older ones do not know the value.
                if entries.iter().any(entry::is_dynamic) {
                    shape["istio"] = json!("1.31");
                }
                // What is refused takes others along that are sent with it, as those of one second are.
                let is_refused = on_older && entries.iter().any(entry::mixes_names_and_ips);
                let in_one_second = in_one_second && !is_refused;
                // To tell them apart by time costs a second an entry; otherwise hosts and namespaces do.
                if in_one_second && entries.len() + beside.len() > 1 {
                    entry::drop_alike(&mut entries);
                    shape["in-one-second"] = json!(true);
                }
                let mut kinds = beside.iter();
                if let Some(workload) = kinds.find(|object| object["kind"] == "WorkloadEntry") {
                    entry::select_workload(&mut entries, workload);
                }
                let entries = entries.into_iter().enumerate().map(entry::named);
                let place = if older { beside.len() } else { 0 };
                beside.splice(place..place, entries);
                shape["objects"] = json!(beside);
                Drawn {
                    seed: 0,
                    outbound,
                    on_older: on_older && outbound != OutboundPolicy::AllowAnyDynamicDns,
                    from,
                    shape,
                }
            },
        )
        .boxed()
}

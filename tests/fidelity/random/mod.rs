//! Shapes drawn at random, compared as those in files are. `SEED=` says which, `SHAPES=` how many.

mod draw;

use std::env;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use serde_json::Value;
use tunnelguard::mesh::ServiceEntry;
use tunnelguard::mesh::simulation::{IstioVersion, OutboundPolicy};

use crate::comparison::{attempt, compare};
use crate::lab::{Lab, Pin};
use crate::shape::Shape;
use crate::tests::Test;
use draw::{Drawn, draw, file, smallest};

/// How many unless `SHAPES` says otherwise.
const USUAL: u32 = 300;

/// How often a shape that disagrees is tried without a part of it: two or three times as often as one
/// of four entries needs, so that an outcome that comes and goes has an end as well.
const ATTEMPTS: usize = 300;

/// For how long that goes on: where dials meet silence, an attempt takes half a minute.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which shapes are drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random {
    seed: u32,
    count: u32,
}

impl fmt::Display for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, count } = self;
        write!(f, "random shapes: SEED={seed} SHAPES={count}")
    }
}

impl Random {
    /// Those that the environment asks for; others every time where it does not.
    ///
    /// # Panics
    /// If it asks for what is no number.
    pub(crate) fn from_environment() -> Self {
        let number = |name| {
            let text = env::var(name).ok().filter(|text| !text.is_empty())?;
            let number = text.parse::<u32>();
            Some(number.unwrap_or_else(|_| panic!("{name}={text} is no number below 2^32")))
        };
        // The keys of every hasher are random.
        let any = RandomState::new().hash_one(()) as u32;
        Self {
            seed: number("SEED").unwrap_or(any),
            count: number("SHAPES").unwrap_or(USUAL),
        }
    }

    /// The environment that asks for the same.
    pub(crate) fn variables(self) -> [(&'static str, String); 2] {
        let Self { seed, count } = self;
        [("SEED", seed.to_string()), ("SHAPES", count.to_string())]
    }

    /// The tests of those that are for that istiod. A policy at a time, and in it a namespace, since
    /// changing either takes longer than a shape does.
    pub(crate) fn tests(self, pin: &Pin) -> Vec<Test> {
        let version = pin.version;
        let is_for = |drawn: &Drawn| version == IstioVersion::NEWEST || drawn.on_older;
        let mut drawn: Vec<Drawn> = draw(self.seed, self.count).filter(is_for).collect();
        drawn.retain(|drawn| {
            let shape = shape(drawn, &drawn.shape);
            shape.is_for(version) && !ends_istiod(&shape)
        });
        let order = |policy| {
            OutboundPolicy::ALL
                .iter()
                .position(|(_, one)| *one == policy)
        };
        drawn.sort_by_key(|drawn| (order(drawn.outbound), drawn.from));
        let tests = drawn.into_iter().map(|drawn| -> Test {
            let Drawn { seed, outbound, .. } = drawn;
            let name = format!("{version} {outbound}: random {seed}");
            (name, Box::new(move |lab| compare_random(lab, &drawn)))
        });
        tests.collect()
    }
}

/// Whether istiod cannot be asked: that of 2026-08 panics on an entry with a workloadSelector of which it makes
/// no service, since it looks at the first (`services` of `serviceentry/conversion.go`). Its webhook refuses
/// such an entry; nothing is stored through it here.
fn ends_istiod(shape: &Shape) -> bool {
    shape.objects.iter().any(|object| {
        let entry = serde_json::from_value::<ServiceEntry>(object.clone()).expect("an entry");
        let has_selector = object["spec"]["workloadSelector"].is_object();
        object["kind"] == "ServiceEntry" && has_selector && !entry.has_services()
    })
}

/// Compares. Of a shape that disagrees, the smallest is told that still does in the same way.
fn compare_random(lab: &Lab, drawn: &Drawn) -> Result<(), Failed> {
    let Err(failed) = compare(lab, &shape(drawn, &drawn.shape), drawn.outbound) else {
        return Ok(());
    };
    let mut told = failed.message().unwrap_or_default().to_owned();
    let kind = told.split(' ').next().unwrap_or_default().to_owned();
    let begin = Instant::now();
    let smallest = smallest(&drawn.shape, ATTEMPTS, |candidate| {
        if begin.elapsed() > PATIENCE {
            return false;
        }
        // What is too small to be compared must not hide what was found.
        let shape = shape(drawn, candidate);
        let compared = catch_unwind(AssertUnwindSafe(|| attempt(lab, &shape, drawn.outbound)));
        let Ok((_, disagreements)) = compared else {
            return false;
        };
        let still = disagreements
            .first()
            .is_some_and(|first| first.starts_with(&kind));
        if still {
            told = disagreements.join("\n");
        }
        still
    });
    let (seed, file) = (drawn.seed, file(&smallest));
    Err(format!(
        "{told}\nSEED={seed} SHAPES=1 runs it again; this is what is left of it, for tests/fidelity/shapes/random-{seed}.yaml:\n{file}"
    )
    .into())
}

fn shape(drawn: &Drawn, text: &Value) -> Shape {
    let shape = serde_json::from_value::<Shape>(text.clone());
    let mut shape = shape.expect("the form of a shape");
    shape.name = format!("random {}", drawn.seed);
    shape
}

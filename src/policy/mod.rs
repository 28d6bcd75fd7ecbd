//! What we think of what Istio will do: proxies, checks, findings, fixes, verdicts.
//!
//! Pure, like [`crate::mesh`]: values in, values out; time is an argument.
#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

pub mod advice;
pub mod check;
pub mod checks;
pub mod claim;
pub mod compile;
mod dials;
mod effort;
pub mod evaluator;
pub mod finding;
pub mod fix;
pub mod namespaces;
pub mod proxy;
pub mod repair;
pub mod spec;
pub mod subject;
pub mod suspicion;
pub mod verdict;
pub mod words;

pub use check::{Check, CheckId, Context};
pub use compile::PolicySet;
pub use evaluator::evaluate;
pub use finding::{Finding, Severity};

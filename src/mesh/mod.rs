//! What Istio will do with a CONNECT, predicted from its objects alone.
//!
//! Pure: values in, values out. Nothing here waits, reads a clock, a file, the environment or a
//! socket, or logs; clippy's `disallowed-*` and the layering test hold it to that.
#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

pub mod address;
pub mod destination_rule;
mod field;
pub mod field_path;
mod host;
pub mod kubernetes;
mod labels;
mod lenient;
pub(crate) mod line;
pub mod mesh_config;
mod object;
pub mod protocol;
pub mod service_entry;
pub mod sidecar;
pub mod simulation;
pub mod validation;
pub mod view;
pub mod workload_entry;

pub use destination_rule::DestinationRule;
pub use field_path::{FieldPath, Segment};
pub use labels::Labels;
pub use lenient::Problem;
pub use mesh_config::MeshConfig;
pub use service_entry::ServiceEntry;
pub use sidecar::Sidecar;
pub use simulation::{Dial, Environment, Outcome, Prediction, Speech, simulate};
pub use view::{Mesh, MeshView, Overlay};
pub use workload_entry::WorkloadEntry;

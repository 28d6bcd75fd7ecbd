//! What a review may read: one immutable snapshot, and where its policies come from.

mod policy_files;
mod policy_resources;
mod policy_status;
mod policy_text;
mod snapshot;

pub use policy_files::{PolicyFiles, load};
pub use policy_resources::{Change, PolicyResources};
pub use policy_status::{Standing, Surroundings};
pub use policy_text::PolicyFileError;
pub use snapshot::{SharedSnapshot, Snapshot};

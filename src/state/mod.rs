//! What a review may read: one immutable snapshot, and where its policies come from.

mod policy_file;
mod snapshot;

pub use policy_file::{PolicyFileError, load};
pub use snapshot::Snapshot;

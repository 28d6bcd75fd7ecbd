//! Where the webhook's certificates come from.
//!
//! [`authority`] is pure: it makes keys and certificates out of names and a time, and knows
//! neither files, clocks nor the cluster. What stores or loads certificates gets a file of its
//! own beside it.

pub mod authority;

pub use authority::{Authority, AuthorityError, Leaf};

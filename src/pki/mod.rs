//! Where the webhook's certificates come from.
//!
//! [`authority`] makes keys and certificates out of names and a time; [`files`] reads them from
//! two files, and again when those change. Both end in a [`ServingPair`], the one type that the
//! server takes. [`authorities`] are what replicas share of the first in a Secret, and [`plan`] says
//! when they are replaced, and who trusts them by then.
//!
//! Nothing here reads a clock or logs: time is an argument, and what is wrong is returned.

pub mod authorities;
pub mod authority;
mod expected;
pub mod files;
mod leaf;
mod pem_file;
pub mod plan;
mod root;
mod serving_pair;
#[cfg(test)]
mod tests;

pub use authorities::Authorities;
pub use authority::{Authority, AuthorityError};
pub use files::CertificateFiles;
pub use leaf::{Leaf, LeafError};
pub use pem_file::CertificateFileError;
pub use root::{Bundle, Root};
pub use serving_pair::{ServingPair, rfc3339};

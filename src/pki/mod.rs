//! Where the webhook's certificates come from.
//!
//! [`authority`] makes keys and certificates out of names and a time; [`files`] reads them from
//! two files, and again when those change. Both end in a [`ServingPair`], the one type that the
//! server takes.
//!
//! Nothing here reads a clock or logs: time is an argument, and what is wrong is returned.

pub mod authority;
pub mod files;
mod leaf;
mod pem_file;
mod serving_pair;
#[cfg(test)]
mod tests;

pub use authority::{Authority, AuthorityError};
pub use files::CertificateFiles;
pub use leaf::Leaf;
pub use pem_file::CertificateFileError;
pub use serving_pair::{ServingPair, rfc3339};

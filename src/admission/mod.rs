//! How the API server asks, and how it is answered: AdmissionReview v1.
//!
//! Pure, like [`crate::policy`]: bytes in, bytes out. The contract is that of
//! `k8s.io/api/admission/v1` and of how kube-apiserver really reads the answers
//! (`apiserver/pkg/admission/plugin/webhook`): denying is HTTP 200 with `allowed: false`; a patch
//! on the validating path, a patch that does not apply, or a wrong uid fails the user's request.
#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

mod change;
mod failure;
mod mutate;
mod outcome;
mod patch;
mod policy;
mod record;
mod request;
mod response;
mod review;
mod validate;
mod wording;

pub use failure::OnFailure;
pub use record::{Decision, Record};
pub use request::{Operation, Rejected, Webhook};
pub use review::{Judging, review};

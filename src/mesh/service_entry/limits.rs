//! How much of a list is read.
//!
//! These are the limits of the CRD (`maxItems` in `networking/v1alpha3/service_entry.proto`, since
//! Istio 1.24): what is beyond is refused by the API server. It has not looked yet when a mutating
//! webhook is asked, and looks at no more than the size of the request with an older CRD, so they are
//! applied here too: what is worked out of hosts, addresses and ports grows with their product.

use crate::mesh::field_path::FieldPath;
use crate::mesh::lenient::{Loose, Problem};

/// The most items that a list may have.
pub(super) struct Limit(usize);

pub(super) const HOSTS: Limit = Limit(256);
pub(super) const ADDRESSES: Limit = Limit(256);
pub(super) const PORTS: Limit = Limit(256);
pub(super) const ENDPOINTS: Limit = Limit(4096);
/// The CRD has none; whoever means more namespaces than this writes `*`.
pub(super) const EXPORT_TO: Limit = Limit(4096);

impl Limit {
    /// The list without what is beyond, which becomes a [`Problem`].
    pub(super) fn apply<T>(
        &self,
        list: Loose<Vec<T>>,
        path: impl FnOnce() -> FieldPath,
        problems: &mut Vec<Problem>,
    ) -> Loose<Vec<T>> {
        let Self(most) = *self;
        match list {
            Loose::Value(mut items) if items.len() > most => {
                let message = format!(
                    "expected at most {most} items, found {}; those behind are not read",
                    items.len()
                );
                problems.push(Problem {
                    path: path(),
                    message,
                });
                items.truncate(most);
                Loose::Value(items)
            }
            list => list,
        }
    }
}

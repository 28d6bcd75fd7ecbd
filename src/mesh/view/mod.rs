//! What is known of a mesh, indexed so that one dial reads only what can decide it.
//!
//! [`Mesh`] is all that the simulation sees. [`MeshView`] is the index behind it, updated one
//! object at a time; [`Overlay`] shows it with one object put in place of its stored form, which
//! is how an object under review, or its repaired twin, is judged.

mod alone;
mod backwards;
mod drawn;
mod filing;
mod imports;
mod index;
mod labelled;
mod lanes;
mod lookup;
mod named;
mod order;
mod others;
mod overlay;
mod scope;

use std::net::IpAddr;

use super::service_entry::{Registry, ServiceEntry};
pub use alone::Alone;
pub(crate) use backwards::{Backwards, are_tied};
pub use index::MeshView;
pub(crate) use order::{age_order, kept_namespace, line_order};
pub use others::Others;
pub use overlay::{EntriesOnly, Overlay};
pub(crate) use scope::Audience;
pub use scope::SidecarScope;

/// A ServiceEntry, or a Service in its form, and where it stands in line.
#[derive(Clone, Copy, Debug)]
pub struct Ranked<'a> {
    /// The entry.
    pub entry: &'a ServiceEntry,
    /// The order in which it came into the view; decides where there is no creation time.
    pub sequence: u64,
}

/// A kind of object that changes what a sidecar does, and that the simulation does not model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmodelled {
    /// Its kind.
    pub kind: Box<str>,
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

/// What the simulation reads.
pub trait Mesh {
    /// The entries that can decide what a client meets that dials `address` on `port`, with
    /// `server_name` if it speaks TLS. May hold more than necessary, in any order.
    fn deciders(&self, query: &Query<'_>) -> Vec<Ranked<'_>>;

    /// Every entry that lists `host`, visible or not.
    fn with_host(&self, host: &str) -> Vec<Ranked<'_>>;

    /// The objects beside entries and Services.
    fn others(&self) -> &Others;

    /// The same where only WorkloadEntries are asked for.
    fn workloads(&self) -> &Others {
        self.others()
    }

    /// An object of a kind that is not modelled, if the view holds one.
    fn unmodelled(&self) -> Option<&Unmodelled>;

    /// One address of each range that an entry in view declares on `port`, at most `limit`.
    fn ranges(&self, port: u16, limit: usize) -> Vec<IpAddr>;
}

/// What a dial asks of a [`Mesh`].
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// What the client is shown.
    pub scope: SidecarScope<'a>,
    /// The address dialled.
    pub address: IpAddr,
    /// The port dialled.
    pub port: u16,
    /// The SNI, for a client that speaks TLS.
    pub server_name: Option<&'a str>,
    /// Whether the client's sidecar captures DNS, and so uses the addresses that istiod allocates.
    pub captures_dns: bool,
}

/// The identity of an object in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Which kind it is: a Service and an entry may have one name.
    pub registry: Registry,
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl ObjectKey {
    /// The key of an entry; `None` where it has no name, so that it is nobody's twin.
    pub fn of(entry: &ServiceEntry) -> Option<Self> {
        (!entry.name.is_empty() && !entry.name_is_generated).then(|| Self {
            registry: entry.registry,
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
        })
    }
}

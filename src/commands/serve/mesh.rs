//! The mesh of the cluster: which of its objects are followed, and what it is set to.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::discovery::mesh::{self, KnownMesh, MeshKind};
use crate::discovery::mesh_config::ControlPlane;

use super::cluster::Cluster;
use super::policies::Policies;

/// Keeps the view of the mesh as the cluster has it. What is returned is done once that is whole.
pub(super) fn follow(cluster: &mut Cluster, policies: &Arc<Policies>) -> oneshot::Receiver<()> {
    for control_plane in ControlPlane::ALL {
        let policies = Arc::clone(policies);
        cluster.follow(
            control_plane.followed(cluster.client()),
            move |object| Ok(control_plane.read(&object)),
            move |news| policies.mesh_configured(control_plane, news),
        );
    }

    let (whole, first_view) = oneshot::channel();
    let whole = std::sync::Mutex::new(Some(whole));
    let policies = Arc::clone(policies);
    let telling = mesh::keep_view(move |known: KnownMesh| {
        let is_whole = known.is_whole;
        policies.mesh_changed(known);
        let whole = whole.lock().ok().filter(|_| is_whole);
        if let Some(whole) = whole.and_then(|mut whole| whole.take()) {
            // Nobody has to wait for it.
            let _ = whole.send(());
        }
    });
    for kind in MeshKind::ALL {
        let telling = telling.clone();
        let followed = kind.followed(cluster.client());
        cluster.follow(
            followed,
            move |object| kind.read(object),
            // Where nobody keeps the view any more, the log has said so.
            move |news| drop(telling.send((kind, news))),
        );
    }
    first_view
}

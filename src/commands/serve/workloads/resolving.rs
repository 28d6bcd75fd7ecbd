//! Where observed proxies are, by DNS.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::commands::serve::policies::Policies;
use crate::discovery::names::Names;

/// How often it is looked which hosts DNS is to be asked for.
const LOOK: Duration = Duration::from_secs(2);

/// Asks DNS where the hosts of observed proxies are, while a policy wants it.
pub(super) async fn keep_resolving(policies: Arc<Policies>, servers: Vec<SocketAddr>) {
    let mut resolver = None;
    loop {
        sleep(LOOK).await;
        let workloads = policies.workloads();
        let hosts = match policies.asks_dns() {
            true => workloads.hosts(),
            false => BTreeSet::new(),
        };
        if hosts.is_empty() && workloads.names().is_empty() {
            continue;
        }
        let resolver = match &mut resolver {
            Some(resolver) => resolver,
            none => match Names::asking(&servers) {
                Ok(names) => none.insert(names),
                Err(error) => {
                    tracing::warn!(%error, "DNS cannot be asked for observed proxies: /etc/resolv.conf cannot be used");
                    return;
                }
            },
        };
        if resolver.refresh(&hosts, Instant::now()).await {
            *workloads.names() = resolver.known();
            workloads.renamed.store(true, Ordering::Relaxed);
            workloads.changed.notify_one();
        }
    }
}

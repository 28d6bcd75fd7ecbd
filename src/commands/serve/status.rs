//! Tells the cluster how each of its policies stands, while this replica leads.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::Status;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::discovery::watch::told_with_cause;
use crate::policy::spec::{API_VERSION, KIND};
use crate::server::metrics::Metrics;

use super::attempts::{FIELD_MANAGER, Told, WRITE_LIMIT, backed_off};
use super::policies::{Policies, StatusToWrite};

/// How long to rest after each round: whoever writes the same statuses against us does not keep the API
/// server busy, and what changes quickly is written once.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes the statuses of policies.
pub(super) struct StatusWriter {
    api: Api<DynamicObject>,
    policies: Arc<Policies>,
    metrics: Arc<Metrics>,
    told: Told,
}

impl StatusWriter {
    pub(super) fn new(
        api: Api<DynamicObject>,
        policies: Arc<Policies>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            api,
            policies,
            metrics,
            told: Told::default(),
        }
    }

    /// Writes each that differs from what the cluster shows, whenever this replica leads.
    pub(super) fn keep_writing(mut self, mut leads: watch::Receiver<bool>) {
        tokio::spawn(async move {
            let mut failures: u32 = 0;
            // Ends with whoever elects.
            while leads.wait_for(|leads| *leads).await.is_ok() {
                if self.write_all(&leads).await {
                    failures = 0;
                    sleep(PAUSE).await;
                    tokio::select! {
                        () = self.policies.changed() => {}
                        _ = leads.changed() => {}
                    }
                } else {
                    sleep(backed_off(PAUSE, failures)).await;
                    failures = failures.saturating_add(1);
                }
            }
        });
    }

    /// Writes what differs; says whether all of it was written that is still there.
    async fn write_all(&mut self, leads: &watch::Receiver<bool>) -> bool {
        let mut all = true;
        for next in self.policies.statuses_to_write(Timestamp::now()) {
            if !*leads.borrow() {
                break;
            }
            if let Err(error) = self.write(&next).await {
                all = false;
                self.metrics.status_written(false);
                self.tell(&next.name, &error);
            }
        }
        if all {
            self.told.forget();
        }
        all
    }

    async fn write(&self, next: &StatusToWrite) -> Result<(), String> {
        let StatusToWrite { name, uid, status } = next;
        // Of the uid, so that it is no other policy's that has the name by now.
        let applied = json!({
            "apiVersion": API_VERSION, "kind": KIND,
            "metadata": {"name": name, "uid": uid}, "status": status,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = Patch::Apply(&applied);
        let writing = self.api.patch_status(name, &parameters, &applied);
        let Ok(written) = timeout(WRITE_LIMIT, writing).await else {
            return Err("no answer in time".to_owned());
        };
        match written {
            Ok(mut object) => {
                self.metrics.status_written(true);
                let shown = object.data["status"].take();
                self.policies.status_shown(name, uid, shown);
                Ok(())
            }
            Err(kube::Error::Api(status)) if is_gone(&status) => Ok(()),
            Err(error) => Err(told_with_cause(&error)),
        }
    }

    fn tell(&mut self, policy: &str, error: &str) {
        if self.told.is_news(error) {
            tracing::warn!(
                policy,
                error,
                "the status of a ConnectProxyPolicy cannot be written; trying again"
            );
        }
    }
}

/// Whether a policy was deleted meanwhile, or replaced by another of its name. Of a resource that has no
/// status the API server names no object.
fn is_gone(status: &Status) -> bool {
    let named = status.details.as_ref().map(|details| &*details.name);
    status.code == 409 || (status.code == 404 && named.is_some_and(|name| !name.is_empty()))
}

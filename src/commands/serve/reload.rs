//! What is read again while it is in use: the policy, and the certificate.
//!
//! Both are looked at every second, on a thread where waiting for a file system hurts nobody. What
//! cannot be used is told once, and what was good goes on.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::commands::arguments::PolicyArguments;
use crate::pki::{CertificateFiles, rfc3339};
use crate::server::metrics::{Metrics, Reload};
use crate::server::tls::ServingCertificate;
use crate::state::{PolicyFiles, SharedSnapshot};

use super::trial;

/// A change counts once two looks have seen it, so it takes two of these.
const LOOK: Duration = Duration::from_secs(1);

/// Something that is looked at again and again.
pub(super) trait Reloaded: Send + 'static {
    /// What it is.
    const WHAT: Reload;

    /// Looks, and puts in force what has changed; says whether it could be used, if anything has.
    fn look(&mut self, metrics: &Metrics) -> Option<bool>;
}

/// Looks every second until the process ends.
pub(super) fn keep_reloading<R: Reloaded>(mut what: R, metrics: Arc<Metrics>) {
    tokio::spawn(async move {
        let mut ticks = interval(LOOK);
        // After a hang, once is enough.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let counted = Arc::clone(&metrics);
            let looked = spawn_blocking(move || {
                if let Some(usable) = what.look(&counted) {
                    counted.reloaded(R::WHAT, usable);
                }
                what
            });
            match looked.await {
                Ok(back) => what = back,
                Err(error) => {
                    metrics.reloaded(R::WHAT, false);
                    tracing::error!(%error, "a bug: files are not read again until a restart");
                    return;
                }
            }
        }
    });
}

/// The policy files.
pub(super) struct Policy {
    pub(super) files: PolicyFiles,
    pub(super) arguments: PolicyArguments,
    pub(super) shared: Arc<SharedSnapshot>,
}

impl Reloaded for Policy {
    const WHAT: Reload = Reload::Policy;

    fn look(&mut self, metrics: &Metrics) -> Option<bool> {
        let policies = match self.files.changed()? {
            Ok(policies) => policies,
            Err(error) => {
                tracing::error!(
                    %error,
                    "the policy was edited into one that cannot be used; the last good one stays in force"
                );
                return Some(false);
            }
        };
        let snapshot = self.arguments.snapshot_of(policies);
        metrics.declares(snapshot.policies.proxies.all().len());
        let policies = trial::policies(&snapshot);
        let generation = self.shared.publish(snapshot);
        tracing::info!(generation, policies, "the policy changed");
        Some(true)
    }
}

/// The certificate's files.
pub(super) struct Certificate {
    pub(super) files: CertificateFiles,
    pub(super) serving: Arc<ServingCertificate>,
}

impl Reloaded for Certificate {
    const WHAT: Reload = Reload::Certificate;

    fn look(&mut self, metrics: &Metrics) -> Option<bool> {
        let pair = match self.files.changed(OffsetDateTime::now_utc())? {
            Ok(pair) => pair,
            Err(error) => {
                tracing::error!(
                    %error,
                    "the certificate was replaced by one that cannot be used; the last good one stays in use"
                );
                return Some(false);
            }
        };
        metrics.certificate_ends(pair.not_after.unix_timestamp());
        tracing::info!(
            not_after = rfc3339(pair.not_after),
            "the certificate changed"
        );
        self.serving.replace(pair);
        Some(true)
    }
}

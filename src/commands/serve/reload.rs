//! What is read again while it is in use: the policy files, and the certificate.
//!
//! Both are looked at every second, on a thread where waiting for a file system hurts nobody. What
//! cannot be used is told once, and what was good goes on.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::pki::{CertificateFiles, rfc3339};
use crate::server::metrics::{Metrics, Reload};
use crate::server::tls::ServingCertificate;
use crate::state::PolicyFiles;

use super::policies::Policies;

/// A change counts once two looks have seen it, so it takes two of these.
const LOOK: Duration = Duration::from_secs(1);

/// Something that is looked at again and again.
pub(super) trait Reloaded: Send + 'static {
    /// What it is.
    const WHAT: Reload;

    /// Looks, puts in force what has changed, and counts it.
    fn look(&mut self, metrics: &Metrics);
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
                what.look(&counted);
                what
            });
            match looked.await {
                Ok(back) => what = back,
                Err(error) => {
                    metrics.reloaded(R::WHAT, false, false);
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
    pub(super) policies: Arc<Policies>,
}

impl Reloaded for Policy {
    const WHAT: Reload = Reload::Policy;

    fn look(&mut self, _: &Metrics) {
        match self.files.changed() {
            Some(Ok(files)) => self.policies.files_changed(files),
            Some(Err(error)) => self.policies.files_unusable(&error),
            None => {}
        }
    }
}

/// The certificate's files.
pub(super) struct Certificate {
    pub(super) files: CertificateFiles,
    pub(super) serving: Arc<ServingCertificate>,
}

impl Reloaded for Certificate {
    const WHAT: Reload = Reload::Certificate;

    fn look(&mut self, metrics: &Metrics) {
        let pair = match self.files.changed(OffsetDateTime::now_utc()) {
            None => return,
            Some(Ok(pair)) => pair,
            Some(Err(error)) => {
                metrics.reloaded(Self::WHAT, false, false);
                tracing::error!(
                    %error,
                    "the certificate was replaced by one that cannot be used; the last good one stays in use"
                );
                return;
            }
        };
        metrics.certificate_ends(pair.not_after.unix_timestamp());
        tracing::info!(
            not_after = rfc3339(pair.not_after),
            "the certificate changed"
        );
        self.serving.replace(pair);
        metrics.reloaded(Self::WHAT, true, true);
    }
}

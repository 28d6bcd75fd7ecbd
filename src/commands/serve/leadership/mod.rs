//! The one replica that writes to the cluster, elected by a Lease.
//!
//! Leading decides who writes, never who serves.

mod election;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{error::Elapsed, timeout};

use crate::discovery::watch::told_with_cause;
use crate::server::metrics::Metrics;

use super::attempts::Told;
use election::{Election, LEASE_DURATION, RENEW_DEADLINE, RETRY_PERIOD};

/// What the Lease is called.
const NAME: &str = "tunnelguard";

/// How long the end may wait for the Lease to be released: it passes on by itself 15 s later.
const RELEASE_LIMIT: Duration = Duration::from_secs(2);

/// A replica's part in the election.
pub(super) struct Leadership {
    leads: watch::Receiver<bool>,
    end: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Leadership {
    /// Stands for election until it is told to release the Lease.
    pub(super) fn stand(client: Client, namespace: &str, metrics: Arc<Metrics>) -> Self {
        let identity = identity();
        let (leads, leading) = watch::channel(false);
        let candidate = Candidate {
            leases: Api::namespaced(client, namespace),
            lease: format!("{namespace}/{NAME}"),
            election: Election::new(identity.clone()),
            identity,
            leads,
            metrics,
            told: Told::default(),
        };
        let (end, ending) = oneshot::channel();
        Self {
            leads: leading,
            end,
            ended: tokio::spawn(candidate.stand_until(ending)),
        }
    }

    /// Whether this replica leads, now and later.
    pub(super) fn leads(&self) -> watch::Receiver<bool> {
        self.leads.clone()
    }

    /// Leads no longer, and lets the next replica lead at once.
    pub(super) async fn release(self) {
        // Fails only where it has ended already.
        let _ = self.end.send(());
        let _ = timeout(RELEASE_LIMIT, self.ended).await;
    }
}

struct Candidate {
    leases: Api<Lease>,
    /// With its namespace, for the log.
    lease: String,
    identity: String,
    election: Election,
    leads: watch::Sender<bool>,
    metrics: Arc<Metrics>,
    told: Told,
}

impl Candidate {
    async fn stand_until(mut self, mut ending: oneshot::Receiver<()>) {
        loop {
            let pause = self.stand_once().await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = &mut ending => break,
            }
        }
        self.lead(false, "it ends");
        if let Err(error) = self.release().await {
            tracing::debug!(%error, "the Lease was not released");
        }
    }

    /// Looks at the Lease; gives the time until the next look.
    async fn stand_once(&mut self) -> Duration {
        let begin = Instant::now();
        let until = self.election.leads_until(begin);
        // A call that hangs must not keep a leader from seeing that it leads no longer.
        let limit = until.map_or(RENEW_DEADLINE, |until| until.duration_since(begin));
        let outcome = timeout(limit, self.attempt(begin)).await;
        let now = Instant::now();
        let until = self.election.leads_until(now);
        let pause = self.tell(outcome, until.is_some());
        self.lead(
            until.is_some(),
            "it did not renew the Lease in time, or another took it",
        );
        // From look to look, so that slow answers do not use up the time to renew.
        let pause = pause.saturating_sub(now.duration_since(begin));
        until.map_or(pause, |until| pause.min(until.duration_since(now)))
    }

    async fn attempt(&mut self, asked: Instant) -> kube::Result<()> {
        let lease = self.leases.get_opt(NAME).await?;
        let spec = lease
            .as_ref()
            .map(|lease| lease.spec.clone().unwrap_or_default());
        let next = self.election.next(spec.as_ref(), asked, Timestamp::now());
        let Some(next) = next else {
            return Ok(());
        };
        let parameters = PostParams::default();
        let written = match lease {
            None => {
                let metadata = ObjectMeta {
                    name: Some(NAME.to_owned()),
                    ..ObjectMeta::default()
                };
                let spec = Some(next);
                self.leases
                    .create(&parameters, &Lease { metadata, spec })
                    .await
            }
            // With the resourceVersion that was read: whoever is second is refused.
            Some(mut lease) => {
                lease.spec = Some(next);
                self.leases.replace(NAME, &parameters, &lease).await
            }
        };
        match written {
            Ok(_) => self.election.renewed(asked),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn release(&mut self) -> kube::Result<()> {
        let Some(mut lease) = self.leases.get_opt(NAME).await? else {
            return Ok(());
        };
        let spec = lease.spec.as_ref();
        let Some(released) = spec.and_then(|spec| self.election.release(spec)) else {
            return Ok(());
        };
        lease.spec = Some(released);
        let parameters = PostParams::default();
        self.leases.replace(NAME, &parameters, &lease).await?;
        tracing::info!(lease = self.lease, "released the Lease");
        Ok(())
    }

    /// Tells a failure once, unless a leader has time left to mend it; gives the time until the next look.
    fn tell(&mut self, outcome: Result<kube::Result<()>, Elapsed>, leads: bool) -> Duration {
        let (error, pause) = match outcome {
            Ok(Ok(())) => {
                self.told.forget();
                return RETRY_PERIOD;
            }
            // A right, or a namespace, that is missing is for a person to mend.
            Ok(Err(error @ kube::Error::Api(_))) => (told_with_cause(&error), LEASE_DURATION),
            Ok(Err(error)) => (told_with_cause(&error), RETRY_PERIOD),
            Err(_) => ("no answer in time".to_owned(), RETRY_PERIOD),
        };
        if leads {
            tracing::debug!(
                lease = self.lease,
                error,
                "the Lease was not renewed; trying again"
            );
            return RETRY_PERIOD;
        }
        if self.told.is_news(&error) {
            tracing::warn!(
                lease = self.lease,
                error,
                "the Lease cannot be used: this replica serves, but writes nothing to the cluster"
            );
        }
        pause
    }

    /// Tells who is concerned, and the log, if that is new.
    fn lead(&self, leads: bool, why_not: &str) {
        let is_new = self.leads.send_if_modified(|before| {
            let is_new = *before != leads;
            *before = leads;
            is_new
        });
        if !is_new {
            return;
        }
        self.metrics.leads(leads);
        let Self {
            lease, identity, ..
        } = self;
        match leads {
            true => tracing::info!(
                lease,
                identity,
                "this replica leads: it writes to the cluster"
            ),
            false => tracing::info!(
                lease,
                identity,
                reason = why_not,
                "this replica leads no longer"
            ),
        }
    }
}

/// What a replica is called in the Lease: a Pod's name, which nobody else has; else one that nobody else
/// makes.
fn identity() -> String {
    let pod = std::env::var("POD_NAME").ok();
    if let Some(pod) = pod.filter(|pod| !pod.is_empty()) {
        return pod;
    }
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let mut random = [0; 8];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    // The process and the time are another in every replica of a host, too.
    let drawn = provider.secure_random.fill(&mut random);
    let random = drawn.map_or_else(
        |_| Timestamp::now().as_nanosecond() as u64,
        |()| u64::from_ne_bytes(random),
    );
    format!("{host}_{}_{random:016x}", std::process::id())
}

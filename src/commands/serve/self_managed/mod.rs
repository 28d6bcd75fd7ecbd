//! Certificates that look after themselves: the authority is in a Secret that all replicas share, the
//! certificate that a replica serves in its memory, and the webhook configurations trust the authority.
//!
//! What to do, and when, is [`plan`](crate::pki::plan)'s; here the cluster is asked, and told.

mod arguments;
mod own_certificate;
mod shared_authority;
mod view;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::api::DynamicObject;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::discovery::watch::Kind;
use crate::pki::authorities::Kept;
use crate::pki::plan::leaf::Serving;
use crate::server::metrics::Metrics;
use crate::server::tls::ServingCertificate;

pub(super) use arguments::{SelfManagedArguments, Settings};

use super::attempts::{Told, backed_off};
use super::cluster::Cluster;
use view::{Seen, View};
use writing::{KINDS, Writer};

/// How often the clock is looked at: a machine that slept wakes up to another time, and no timer tells.
const LOOK: Duration = Duration::from_secs(1);

/// A replica's part in it.
pub(super) struct SelfManaged {
    settings: Settings,
    /// By what the API server dials this replica.
    names: Vec<String>,
    namespace: String,
    view: watch::Receiver<View>,
    writer: Writer,
    certificate: Arc<ServingCertificate>,
    serving: Option<Serving>,
    metrics: Arc<Metrics>,
    /// What the log was told last that a certificate waits for, and what went wrong.
    awaited: Told,
    failed: Told,
    failures: u32,
    /// What each configuration was last seen to have as it should: which object, and which bundle.
    right: [Option<(String, String)>; 2],
}

impl SelfManaged {
    /// Follows the Secret and the configurations.
    pub(super) fn follow(
        settings: Settings,
        cluster: &mut Cluster,
        certificate: Arc<ServingCertificate>,
    ) -> Self {
        let (client, namespace) = (cluster.client().clone(), cluster.namespace().to_owned());
        let (told, view) = watch::channel(View::nothing(OffsetDateTime::now_utc()));

        let secrets = Api::namespaced(client.clone(), &namespace);
        let kind = Kind::all("Secrets", secrets.clone()).named(&settings.secret);
        let telling = told.clone();
        cluster.follow(kind, view::secret, move |news| {
            telling.send_modify(|view| view.secret_told(news));
        });

        let called = [
            "ValidatingWebhookConfigurations",
            "MutatingWebhookConfigurations",
        ];
        let configurations = [0, 1].map(|which| {
            let group = "admissionregistration.k8s.io";
            let kind = Kind::of_any_form(&client, called[which], group, &["v1"], KINDS[which]);
            let kind = kind.named(&settings.configuration);
            let api: Api<DynamicObject> = kind.apis[0].clone();
            let (telling, namespace, service) =
                (told.clone(), namespace.clone(), settings.service.clone());
            let read = move |object| Ok(Some(view::configuration(&object, &namespace, &service)));
            cluster.follow(kind, read, move |news| {
                let now = OffsetDateTime::now_utc();
                telling.send_modify(|view| view.configuration_told(which, news, now));
            });
            api
        });

        let metrics = Arc::clone(cluster.metrics());
        let service = format!("{}.{namespace}.svc", settings.service);
        Self {
            writer: Writer {
                secrets,
                secret: settings.secret.clone(),
                configurations,
                configuration: settings.configuration.clone(),
                metrics: Arc::clone(&metrics),
            },
            names: vec![format!("{service}.cluster.local"), service],
            settings,
            namespace,
            view,
            certificate,
            serving: None,
            metrics,
            awaited: Told::default(),
            failed: Told::default(),
            failures: 0,
            right: [None, None],
        }
    }

    /// Waits for the first certificate.
    pub(super) async fn first(&mut self) {
        loop {
            self.look(false).await;
            if self.serving.is_some() {
                return;
            }
            self.pause().await;
        }
    }

    /// Goes on until the process ends; while this replica leads, it does what is to be done for all.
    pub(super) fn keep_looking(mut self, leads: watch::Receiver<bool>) {
        tokio::spawn(async move {
            loop {
                self.pause().await;
                let leads = *leads.borrow();
                self.look(leads).await;
            }
        });
    }

    async fn pause(&mut self) {
        if self.failures > 0 {
            return sleep(backed_off(LOOK, self.failures)).await;
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            // Whoever tells lives as long as this process.
            _ = self.view.changed() => {}
        }
    }

    /// A replica without a certificate does what is to be done itself, whoever leads: that may be one that has
    /// its certificate from elsewhere, and waits for this one to be ready.
    async fn look(&mut self, leads: bool) {
        let now = OffsetDateTime::now_utc();
        let acts = leads || !self.has_certificate(now);
        let seen = self.view.borrow_and_update().seen();
        let outcome = match &seen {
            Some(seen) => self.go_by(seen, acts, now).await,
            // Who follows the cluster has told why.
            None => {
                let why = "the cluster does not tell of its Secret and webhook configurations";
                self.wait(why, now);
                Ok(())
            }
        };
        let is_known = seen.is_some() || self.has_certificate(now);
        self.metrics
            .certificate_is_current(outcome.is_ok() && is_known);
        match outcome {
            Ok(()) => {
                self.failures = 0;
                self.failed.forget();
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let error = format!("{error}; trying again");
                if self.failed.is_news(&error) {
                    tracing::error!(error, "certificates cannot be looked after");
                }
            }
        }
    }

    async fn go_by(&mut self, seen: &Seen, acts: bool, now: OffsetDateTime) -> Result<(), String> {
        let kept = seen.kept();
        if let Kept::Authorities(authorities) = kept {
            self.metrics.trusts(
                authorities.generation,
                authorities.roots().len(),
                authorities.signing.root().not_after().unix_timestamp(),
            );
        }
        self.renew(seen, now)?;
        if matches!(kept, Kept::Foreign) {
            return Err(format!(
                "the Secret {}/{} is not tunnelguard's (it has no label app.kubernetes.io/managed-by: tunnelguard), \
                 and is left as it is; delete it, or name another: with certificates.authoritySecret of the chart, \
                 which grants it, too, or with --ca-secret",
                self.namespace, self.settings.secret
            ));
        }
        match acts {
            true => self.act(seen, now).await,
            false => Ok(()),
        }
    }
}

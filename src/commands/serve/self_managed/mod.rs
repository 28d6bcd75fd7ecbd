//! Certificates that look after themselves: the authority is in a Secret that all replicas share, the
//! certificate that a replica serves in its memory, and the webhook configurations trust the authority.
//!
//! What to do, and when, is [`plan`]'s; here the cluster is asked, and told.

mod arguments;
mod view;
mod writing;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::api::DynamicObject;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::discovery::watch::Kind;
use crate::pki::Authorities;
use crate::pki::authorities::Kept;
use crate::pki::plan::leaf::{self, Next, Serving};
use crate::pki::plan::{self, Step};
use crate::pki::rfc3339;
use crate::server::metrics::{Metrics, Reload};
use crate::server::tls::ServingCertificate;

pub(super) use arguments::{SelfManagedArguments, Settings};

use super::attempts::{MOST_DOUBLINGS, Told};
use super::cluster::Cluster;
use view::{Configuration, Seen, View};
use writing::{KINDS, Writer, Written};

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
    told: Told,
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
            told: Told::default(),
            failures: 0,
            right: [None, None],
        }
    }

    /// Waits for the first certificate. A replica without one does what is to be done itself, whoever leads:
    /// that may be one that has its certificate from elsewhere, and waits for this one to be ready.
    pub(super) async fn first(&mut self) {
        loop {
            self.look(true).await;
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
                let acts = *leads.borrow();
                self.look(acts).await;
            }
        });
    }

    async fn pause(&mut self) {
        if self.failures > 0 {
            return sleep(LOOK * (1 << self.failures.min(MOST_DOUBLINGS))).await;
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            // Whoever tells lives as long as this process.
            _ = self.view.changed() => {}
        }
    }

    async fn look(&mut self, acts: bool) {
        let now = OffsetDateTime::now_utc();
        let seen = self.view.borrow_and_update().seen();
        let outcome = match seen {
            Some(seen) => self.go_by(&seen, acts, now).await,
            // Who follows the cluster has told why.
            None => {
                self.wait("the cluster has not told of its Secret and webhook configurations");
                Ok(())
            }
        };
        self.metrics.certificate_is_current(outcome.is_ok());
        match outcome {
            Ok(()) => self.failures = 0,
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let error = format!("{error}; trying again");
                if self.told.is_news(&error) {
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
                 and is left as it is; delete it, or name another with --ca-secret",
                self.namespace, self.settings.secret
            ));
        }
        match acts {
            true => self.act(seen, now).await,
            false => Ok(()),
        }
    }

    /// Has another certificate signed if it is time.
    fn renew(&mut self, seen: &Seen, now: OffsetDateTime) -> Result<(), String> {
        let lives = self.settings.lives;
        let next = leaf::next(
            self.serving.as_ref(),
            seen.kept(),
            &seen.trusted,
            lives,
            now,
        );
        let authorities = match next {
            Next::Keep => return Ok(()),
            Next::Wait(why) => {
                self.wait(why);
                return Ok(());
            }
            Next::Sign(authorities) => authorities,
        };
        let renewed = self.serve_another(authorities, now);
        self.metrics
            .reloaded(Reload::Certificate, renewed.is_ok(), renewed.is_ok());
        renewed.map_err(|error| format!("the certificate cannot be renewed: {error:#}"))
    }

    /// A certificate that clients would refuse does not come into use.
    fn serve_another(
        &mut self,
        authorities: &Authorities,
        now: OffsetDateTime,
    ) -> anyhow::Result<()> {
        let signing = &authorities.signing;
        let leaf = signing.sign_leaf(&self.names, &[], now, self.settings.lives.leaf())?;
        leaf.verify(signing.root(), &self.names, now)?;
        self.certificate.replace(leaf.serving_pair()?);
        let not_after = leaf.not_after();
        self.serving = Some(Serving {
            authority: signing.root().clone(),
            made: now,
            not_after,
            jitter: RandomState::new().hash_one(()) as f64 / u64::MAX as f64,
        });
        self.metrics.certificate_ends(not_after.unix_timestamp());
        let (not_after, generation) = (rfc3339(not_after), authorities.generation);
        tracing::info!(
            not_after,
            generation,
            "serving a certificate that was signed just now"
        );
        self.told.forget();
        Ok(())
    }

    /// Takes the next step. What came of it, the cluster tells.
    async fn act(&mut self, seen: &Seen, now: OffsetDateTime) -> Result<(), String> {
        let (kept, lives) = (seen.kept(), self.settings.lives);
        let Some(step) = plan::next(kept, &seen.trusted, lives, now) else {
            self.note_what_is_right(seen);
            return Ok(());
        };
        if let (Step::Trust, Kept::Authorities(authorities)) = (step, kept) {
            return self.trust(seen, &authorities.bundle()).await;
        }
        let after = step.kept(kept, &seen.trusted, lives, now);
        let after = after.map_err(|error| format!("no authority can be made: {error}"))?;
        let written = self.writer.keep(seen.secret.as_ref(), &after).await?;
        if written == Written::Ours {
            let (secret, generation) = (&self.settings.secret, after.generation);
            tracing::info!(secret, generation, "{}", told(step, kept));
        }
        Ok(())
    }

    /// Writes the bundle wherever another is.
    async fn trust(&mut self, seen: &Seen, bundle: &str) -> Result<(), String> {
        for (which, configuration) in seen.configurations.iter().enumerate() {
            let Some(configuration) = configuration
                .as_ref()
                .filter(|seen| !is_right(seen, bundle))
            else {
                continue;
            };
            if self.writer.trust(which, configuration, bundle).await? == Written::TooLate {
                continue;
            }
            let (kind, name) = (KINDS[which], &self.settings.configuration);
            let was_right = self.right[which].take();
            if was_right.is_some_and(|(uid, was)| uid == configuration.uid && was == bundle) {
                self.metrics.foreign_bundle();
                tracing::warn!(
                    kind,
                    name,
                    "somebody else had changed the caBundle; it is put right"
                );
            } else {
                tracing::info!(kind, name, "wrote the caBundle");
            }
        }
        Ok(())
    }

    /// So that what others do to it afterwards is told from what was still to be done.
    fn note_what_is_right(&mut self, seen: &Seen) {
        let Kept::Authorities(authorities) = seen.kept() else {
            return;
        };
        let bundle = authorities.bundle();
        for (right, configuration) in self.right.iter_mut().zip(&seen.configurations) {
            let there = configuration
                .as_ref()
                .filter(|seen| is_right(seen, &bundle));
            if let Some(configuration) = there {
                *right = Some((configuration.uid.clone(), bundle.clone()));
            }
        }
    }

    /// Says what the first certificate waits for.
    fn wait(&mut self, why: &str) {
        if self.serving.is_none() && self.told.is_news(why) {
            tracing::info!(reason = why, "not ready: no certificate yet");
        }
    }
}

fn is_right(configuration: &Configuration, bundle: &str) -> bool {
    configuration
        .webhooks
        .iter()
        .all(|(_, seen)| seen.is(bundle))
}

fn told(step: Step, kept: &Kept) -> String {
    match (step, kept) {
        (Step::Establish, Kept::Nothing) => "made an authority".to_owned(),
        (Step::Establish, Kept::Damaged { why, .. }) => {
            format!("made an authority, for the one that was kept cannot be used: {why}")
        }
        (Step::Establish, _) => "made an authority, for the one that was kept has ended".to_owned(),
        (Step::Introduce, _) => {
            "made the next authority, which signs once everybody trusts it".to_owned()
        }
        (Step::Switch, _) => "the next authority signs from now on".to_owned(),
        (Step::Retire, _) => "the previous authority is trusted no longer".to_owned(),
        (Step::Trust, _) => "wrote the caBundle".to_owned(),
    }
}

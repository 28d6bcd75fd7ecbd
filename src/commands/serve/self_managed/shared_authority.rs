//! What is done for all replicas, by the one that leads: the authorities are kept, replaced and trusted.

use time::OffsetDateTime;

use super::SelfManaged;
use super::view::{Configuration, Seen};
use super::writing::{KINDS, Written};
use crate::pki::authorities::Kept;
use crate::pki::plan::{self, Step};

impl SelfManaged {
    /// Takes the next step. What came of it, the cluster tells.
    pub(super) async fn act(&mut self, seen: &Seen, now: OffsetDateTime) -> Result<(), String> {
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
            tracing::info!(secret, generation, "{}", told(step, kept, now));
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
}

fn is_right(configuration: &Configuration, bundle: &str) -> bool {
    configuration
        .webhooks
        .iter()
        .all(|(_, seen)| seen.is(bundle))
}

fn told(step: Step, kept: &Kept, now: OffsetDateTime) -> String {
    match (step, kept) {
        (Step::Establish, Kept::Nothing) => "made an authority".to_owned(),
        (Step::Establish, Kept::Damaged { why, .. }) => {
            format!("made an authority, for the one that was kept cannot be used: {why}")
        }
        (Step::Establish, Kept::Authorities(kept)) if kept.signing.root().not_after() > now => {
            "made an authority, for the Secret is older than what the webhook configurations trust: one from a \
             backup does not sign again"
                .to_owned()
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

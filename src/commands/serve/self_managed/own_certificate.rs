//! The certificate that this replica serves: signed here, and again in time.

use std::hash::{BuildHasher as _, RandomState};

use time::OffsetDateTime;

use super::SelfManaged;
use super::view::Seen;
use crate::pki::Authorities;
use crate::pki::plan::leaf::{self, Next, Serving};
use crate::pki::rfc3339;
use crate::server::metrics::Reload;

impl SelfManaged {
    /// Has another certificate signed if it is time.
    pub(super) fn renew(&mut self, seen: &Seen, now: OffsetDateTime) -> Result<(), String> {
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
                self.wait(why, now);
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
        self.metrics.certificate_is_of(authorities.generation);
        let (not_after, generation) = (rfc3339(not_after), authorities.generation);
        tracing::info!(
            not_after,
            generation,
            "serving a certificate that was signed just now"
        );
        self.awaited.forget();
        Ok(())
    }

    /// Whether it has one that is valid.
    pub(super) fn has_certificate(&self, now: OffsetDateTime) -> bool {
        let serving = self.serving.as_ref();
        serving.is_some_and(|serving| serving.not_after > now)
    }

    /// Says what keeps this replica from having one.
    pub(super) fn wait(&mut self, why: &str, now: OffsetDateTime) {
        if !self.has_certificate(now) && self.awaited.is_news(why) {
            tracing::info!(reason = why, "not ready: no certificate that is valid");
        }
    }
}

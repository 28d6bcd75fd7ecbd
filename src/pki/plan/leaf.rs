//! When a replica signs another certificate for itself.

use time::OffsetDateTime;

use super::{Lives, Trusted};
use crate::pki::Root;
use crate::pki::authorities::{Authorities, Kept};
use crate::pki::authority::BACKDATED;

/// The certificate that a replica serves.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Who signed it.
    pub authority: Root,
    /// When.
    pub made: OffsetDateTime,
    /// The last second at which it is valid.
    pub not_after: OffsetDateTime,
    /// Where between 0 and 1 this replica is among the others, by chance, so that they do not all renew at
    /// once.
    pub jitter: f64,
}

impl Serving {
    /// At two thirds of its life, or up to a tenth of it earlier.
    fn renews(&self) -> OffsetDateTime {
        let life = self.not_after - self.made;
        self.made + life * (2.0 / 3.0 - self.jitter.clamp(0.0, 1.0) / 10.0)
    }
}

/// What a replica does about its certificate.
#[derive(Clone, Debug)]
pub enum Next<'a> {
    /// Goes on with the one that it has.
    Keep,
    /// Has these sign another.
    Sign(&'a Authorities),
    /// Has none that is valid, and cannot have one yet, because of this.
    Wait(&'static str),
}

/// What to do now.
///
/// A certificate of another authority than the last is served once everybody trusts that authority, and
/// every API server has had the time to hear of it. Only where there is nothing to lose, it is served at once.
pub fn next<'a>(
    serving: Option<&Serving>,
    kept: &'a Kept,
    trusted: &Trusted,
    lives: Lives,
    now: OffsetDateTime,
) -> Next<'a> {
    let serving = serving.filter(|serving| serving.not_after > now);
    let wait = |why| match serving {
        Some(_) => Next::Keep,
        None => Next::Wait(why),
    };
    let Kept::Authorities(authorities) = kept else {
        return wait("there is no authority that could sign one");
    };
    let signing = authorities.signing.root();
    if signing.not_after() <= now {
        return wait("the authority has ended");
    }
    if let Some(serving) = serving.filter(|serving| serving.authority == *signing) {
        // One that was signed later than now was signed by a clock that has been put right since.
        let is_due = now >= serving.renews() || now + BACKDATED < serving.made;
        return match is_due {
            true => Next::Sign(authorities),
            false => Next::Keep,
        };
    }
    if !trusted.all_hold(signing) {
        return wait("the webhook configurations do not trust the authority yet");
    }
    let nothing_to_lose = serving.is_none_or(|serving| !trusted.all_hold(&serving.authority));
    match nothing_to_lose || trusted.is_heard(lives, now) {
        true => Next::Sign(authorities),
        false => Next::Keep,
    }
}

//! What to do next about certificates that look after themselves. Pure: time is an argument.
//!
//! An authority is replaced in steps, in an order in which every certificate that is served is trusted by
//! everybody at every moment:
//!
//! 1. the next one joins the one that signs, in the Secret;
//! 2. both webhook configurations trust both;
//! 3. that was seen, and every API server has had the time to hear of it;
//! 4. the next one signs, and the replicas' certificates follow;
//! 5. the last certificate of the previous one has ended, for it has not signed since, and no certificate is
//!    valid for longer;
//! 6. the previous one goes.
//!
//! Each step follows from what the Secret and the configurations say, so that it does not matter who takes
//! it, and who took the one before. Beside that, each replica looks after its own certificate: see [`leaf`].
#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

pub mod leaf;

use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::authorities::{Authorities, Kept};
use super::authority::BACKDATED;
use super::{Authority, AuthorityError, Bundle, Root};

/// So many other authorities stay trusted when a new one takes the place of what was lost: more were never
/// tunnelguard's, and a Secret has to hold them.
const MOST_ROOTS: usize = 16;

/// How long certificates are valid.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    authority: Duration,
    leaf: Duration,
}

impl Lives {
    /// None where an authority would end before certificates that it signs, or close to it: it is replaced
    /// after two thirds of its life, and the last third has to suffice for them.
    pub fn new(authority: Duration, leaf: Duration) -> Option<Self> {
        (leaf <= authority / 3).then_some(Self { authority, leaf })
    }

    /// How long a replica's certificate is valid.
    pub fn leaf(self) -> Duration {
        self.leaf
    }

    /// How long it may take until the last API server has heard of a `caBundle`. One alone takes some
    /// milliseconds; a minute is for many of them, with a watch that has to be begun again.
    fn hearing(self) -> Duration {
        Duration::MINUTE.min(self.leaf / 6)
    }

    /// How much longer than a certificate's life its authority is trusted: for a replica that had not heard
    /// yet that another signs, and for clocks that differ.
    fn slack(self) -> Duration {
        Duration::HOUR.min(self.leaf / 12)
    }

    fn previous_until(self, now: OffsetDateTime) -> OffsetDateTime {
        now.saturating_add(self.leaf + self.slack())
    }
}

/// What the webhook configurations trust, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// Of each webhook that leads to us.
    pub bundles: Vec<Bundle>,
    /// Since when it has been so.
    pub since: OffsetDateTime,
}

impl Trusted {
    /// Whether everybody who may call us trusts that authority.
    pub fn all_hold(&self, root: &Root) -> bool {
        self.bundles.iter().all(|bundle| bundle.holds(root))
    }

    fn all_are(&self, text: &str) -> bool {
        self.bundles.iter().all(|bundle| bundle.is(text))
    }

    /// Whether every API server has had the time to hear of it.
    fn is_heard(&self, lives: Lives, now: OffsetDateTime) -> bool {
        now - self.since >= lives.hearing()
    }
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Keep a new authority: there is none that can sign, or should.
    Establish,
    /// Have the webhook configurations trust all that the Secret keeps.
    Trust,
    /// Keep a new authority beside the one that signs.
    Introduce,
    /// Let the next one sign.
    Switch,
    /// Keep the previous ones no longer.
    Retire,
}

/// The next step; none: there is nothing to do now.
pub fn next(kept: &Kept, trusted: &Trusted, lives: Lives, now: OffsetDateTime) -> Option<Step> {
    let authorities = match kept {
        Kept::Authorities(authorities) if authorities.signing.root().not_after() > now => {
            authorities
        }
        Kept::Foreign => return None,
        _ => return Some(Step::Establish),
    };
    if is_behind(authorities, trusted, now) {
        return Some(Step::Establish);
    }
    if !trusted.all_are(&authorities.bundle()) {
        return Some(Step::Trust);
    }
    let next = authorities.next.as_ref();
    if next.is_some_and(|next| next.root().not_after() > now) {
        return trusted.is_heard(lives, now).then_some(Step::Switch);
    }
    if next.is_some() || authorities.rotation_asked || is_due(authorities.signing.root(), now) {
        return Some(Step::Introduce);
    }
    let is_over = authorities.previous_until < now;
    (is_over && !authorities.previous.is_empty()).then_some(Step::Retire)
}

impl Step {
    /// What is to be kept after a step, [`Step::Trust`] aside, which changes nothing there.
    ///
    /// # Errors
    /// An authority cannot be made.
    pub fn kept(
        self,
        kept: &Kept,
        trusted: &Trusted,
        lives: Lives,
        now: OffsetDateTime,
    ) -> Result<Authorities, AuthorityError> {
        let mint = || Authority::mint(now, lives.authority).map(Arc::new);
        let before = match (self, kept) {
            (Self::Establish, _) | (_, Kept::Nothing | Kept::Damaged { .. } | Kept::Foreign) => {
                return Ok(Authorities {
                    signing: mint()?,
                    next: None,
                    previous: remains(kept, trusted, now),
                    previous_until: lives.previous_until(now),
                    generation: generation(kept) + 1,
                    rotation_asked: false,
                });
            }
            (_, Kept::Authorities(before)) => before.clone(),
        };
        let mut after = Authorities {
            rotation_asked: false,
            ..before
        };
        match self {
            Self::Introduce => after.next = Some(mint()?),
            Self::Switch => {
                if let Some(next) = after.next.take() {
                    after.previous.push(after.signing.root().clone());
                    after.signing = next;
                    after.previous_until = lives.previous_until(now);
                    after.generation += 1;
                }
            }
            Self::Retire => after.previous.clear(),
            Self::Establish | Self::Trust => {}
        }
        Ok(after)
    }
}

/// Whether the webhooks trust an authority of ours that was made after those that sign by what is kept, and
/// that is not kept: each is kept before it is trusted, so that this is a Secret from a backup.
///
/// Its authority was replaced for a reason, perhaps because its key is known, and is not trusted any more.
/// To let it sign would take away the trust in whoever has signed since.
fn is_behind(authorities: &Authorities, trusted: &Trusted, now: OffsetDateTime) -> bool {
    let roots = authorities.roots();
    let next = authorities.next.iter().map(|next| next.root());
    let made = next.map(Root::not_before).max();
    let made = made.max(Some(authorities.signing.root().not_before()));
    let mut seen = trusted.bundles.iter().flat_map(Bundle::roots);
    seen.any(|root| {
        let is_later = root.is_ours() && Some(root.not_before()) > made;
        is_later && root.not_after() > now && !roots.contains(&root)
    })
}

/// Whoever was trusted before stays trusted beside a new authority: replicas may serve certificates of
/// theirs until theirs are signed by it. That is, too, what a cluster is brought over from other
/// certificates by.
fn remains(kept: &Kept, trusted: &Trusted, now: OffsetDateTime) -> Vec<Root> {
    let known = match kept {
        Kept::Authorities(authorities) => authorities.roots().into_iter().cloned().collect(),
        Kept::Damaged { roots, .. } => roots.clone(),
        Kept::Nothing | Kept::Foreign => Vec::new(),
    };
    let seen = trusted.bundles.iter().flat_map(Bundle::roots);
    let mut remains: Vec<Root> = Vec::new();
    for root in known.iter().chain(seen) {
        if root.not_after() > now && !remains.contains(root) {
            remains.push(root.clone());
        }
    }
    remains.truncate(MOST_ROOTS);
    remains
}

fn generation(kept: &Kept) -> u64 {
    match kept {
        Kept::Authorities(Authorities { generation, .. }) | Kept::Damaged { generation, .. } => {
            *generation
        }
        Kept::Nothing | Kept::Foreign => 0,
    }
}

/// Whether two thirds of an authority's life are over.
fn is_due(root: &Root, now: OffsetDateTime) -> bool {
    let made = root.not_before().saturating_add(BACKDATED);
    now - made >= (root.not_after() - made) * 2 / 3
}

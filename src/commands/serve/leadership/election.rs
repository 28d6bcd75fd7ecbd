//! Who leads, by what a Lease says: the protocol and the timings of Kubernetes' own components
//! (`k8s.io/client-go/tools/leaderelection`). Pure: time is an argument.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// How long a Lease that nobody renews holds.
pub(super) const LEASE_DURATION: Duration = Duration::from_secs(15);

/// How long a leader leads after it asked for the renewal that succeeded last. Shorter than a Lease holds,
/// so that there are never two: the others count from when they saw that renewal, which was later.
pub(super) const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// How often a Lease is looked at, and renewed.
pub(super) const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// What one candidate knows.
pub(super) struct Election {
    identity: String,
    /// The Lease as last seen, and when it was first seen so. Its own times are another clock's.
    seen: Option<(LeaseSpec, Instant)>,
    /// When the renewal that succeeded last was asked for.
    renewed: Option<Instant>,
}

impl Election {
    pub(super) fn new(identity: String) -> Self {
        Self {
            identity,
            seen: None,
            renewed: None,
        }
    }

    /// What to make of the Lease as it is now, if anything; none: there is no Lease.
    pub(super) fn next(
        &mut self,
        lease: Option<&LeaseSpec>,
        now: Instant,
        time: Timestamp,
    ) -> Option<LeaseSpec> {
        let Some(lease) = lease else {
            return Some(self.claim(None, time));
        };
        let holder = lease.holder_identity.as_deref().unwrap_or_default();
        if holder == self.identity || holder.is_empty() {
            return Some(self.claim(Some(lease), time));
        }
        self.renewed = None;
        let seen = self.seen.take().filter(|(seen, _)| seen == lease);
        let (_, since) = self
            .seen
            .insert(seen.unwrap_or_else(|| (lease.clone(), now)));
        let holds = lease.lease_duration_seconds.map(u64::try_from);
        let holds = holds.and_then(Result::ok).map(Duration::from_secs);
        let is_over = now.duration_since(*since) >= holds.unwrap_or(LEASE_DURATION);
        is_over.then(|| self.claim(Some(lease), time))
    }

    /// The Lease says so now, as was asked for at that time.
    pub(super) fn renewed(&mut self, asked: Instant) {
        self.seen = None;
        self.renewed = Some(asked);
    }

    /// Until when this candidate leads; none: it does not.
    pub(super) fn leads_until(&self, now: Instant) -> Option<Instant> {
        let until = self.renewed? + RENEW_DEADLINE;
        (now < until).then_some(until)
    }

    /// A Lease that the next may take at once, if this candidate holds it.
    pub(super) fn release(&self, lease: &LeaseSpec) -> Option<LeaseSpec> {
        let holds = lease.holder_identity.as_ref() == Some(&self.identity);
        holds.then(|| LeaseSpec {
            holder_identity: None,
            ..lease.clone()
        })
    }

    fn claim(&self, before: Option<&LeaseSpec>, time: Timestamp) -> LeaseSpec {
        let mut lease = before.cloned().unwrap_or_default();
        let time = Some(MicroTime(time));
        if lease.holder_identity.as_ref() != Some(&self.identity) {
            lease.acquire_time.clone_from(&time);
            // How often somebody else began to lead.
            let transitions =
                before.map(|before| before.lease_transitions.unwrap_or(0).saturating_add(1));
            lease.lease_transitions = transitions.or(Some(0));
        }
        lease.holder_identity = Some(self.identity.clone());
        lease.lease_duration_seconds = i32::try_from(LEASE_DURATION.as_secs()).ok();
        lease.renew_time = time;
        lease
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use jiff::{SignedDuration, Timestamp};
    use k8s_openapi::api::coordination::v1::LeaseSpec;

    use super::Election;

    /// Who holds the Lease and how often it was renewed, which is what makes it another.
    fn lease(holder: &str, renewals: i64) -> LeaseSpec {
        let mut election = Election::new(holder.to_owned());
        let time = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(renewals);
        election.next(None, Instant::now(), time).unwrap()
    }

    /// Seconds, the Lease that is read then (`-`: there is none), whether the write that follows succeeds,
    /// who holds it afterwards, and whether we lead.
    #[test]
    fn a_lease_passes_on_when_it_is_not_renewed() {
        let begin = Instant::now();
        let mut election = Election::new("us".to_owned());
        for (second, (holder, renewals), succeeds, asks, leads) in [
            (0, ("them", 1), true, false, false),
            // Renewed meanwhile, whatever the clock says that wrote it.
            (14, ("them", -500), true, false, false),
            (28, ("them", -500), true, false, false),
            // 15 s as it was: it is over. Somebody else is quicker.
            (29, ("them", -500), false, true, false),
            (31, ("others", 1), true, false, false),
            (45, ("others", 1), true, false, false),
            (46, ("others", 1), true, true, true),
            (48, ("us", 1), true, true, true),
            // Renewals fail; we lead no longer before others may.
            (50, ("us", 2), false, true, true),
            (57, ("us", 2), false, true, true),
            (58, ("us", 2), false, true, false),
            // Nobody took it.
            (60, ("us", 2), true, true, true),
            // Somebody did.
            (62, ("them", 9), true, false, false),
            // Released, it is free at once; and so it is when it was deleted.
            (64, ("", 9), true, true, true),
            (66, ("-", 0), true, true, true),
        ] {
            let now = begin + Duration::from_secs(second);
            let lease = (holder != "-").then(|| lease(holder, renewals));
            let claimed = election.next(lease.as_ref(), now, Timestamp::UNIX_EPOCH);
            assert_eq!(claimed.is_some(), asks, "at {second} s");
            if let Some(claimed) = claimed.filter(|_| succeeds) {
                assert_eq!(claimed.holder_identity.as_deref(), Some("us"));
                election.renewed(now);
            }
            let until = election.leads_until(now);
            assert_eq!(until.is_some(), leads, "at {second} s");
        }
    }

    #[test]
    fn a_lease_tells_who_holds_it_since_when() {
        let mut election = Election::new("us".to_owned());
        let now = Instant::now();
        let mut at = |lease: Option<&LeaseSpec>, second: i64| {
            let time = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
            let lease = election.next(lease, now, time).unwrap();
            let seconds = [&lease.acquire_time, &lease.renew_time]
                .map(|time| time.as_ref().unwrap().0.as_second());
            (seconds, lease.lease_transitions, lease)
        };
        let (times, transitions, first) = at(None, 3);
        assert_eq!((times, transitions), ([3, 3], Some(0)));
        let (times, transitions, _) = at(Some(&first), 5);
        assert_eq!((times, transitions), ([3, 5], Some(0)));
        let theirs = lease("", 4);
        let (times, transitions, ours) = at(Some(&theirs), 7);
        assert_eq!((times, transitions), ([7, 7], Some(1)));
        assert_eq!(ours.lease_duration_seconds, Some(15));
        let released = election.release(&ours).unwrap();
        assert_eq!(
            (released.holder_identity, released.lease_transitions),
            (None, Some(1))
        );
        assert_eq!(election.release(&theirs), None);
    }
}

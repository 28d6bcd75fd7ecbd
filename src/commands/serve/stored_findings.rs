//! Counts the findings about the entries that are stored, for the statuses of policies.
//!
//! A number only: what they say, `lint` and a review tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use crate::mesh::service_entry::Registry;
use crate::policy::evaluate;
use crate::policy::verdict::policies_with_a_say;
use crate::state::Snapshot;

use super::policies::Policies;

/// How often to rest for as long as a count took: so that it takes a twentieth of one core at the most, in a mesh
/// that changes all the time.
const RESTS: u32 = 19;

/// How long one view is looked at. Whoever keeps one for a second has it copied (`discovery::mesh::twin`).
const SLICE: Duration = Duration::from_millis(100);

/// How long to wait where nothing changes but the date, on which exemptions end.
const SAME: Duration = Duration::from_secs(3600);

/// What was counted last.
#[derive(Default)]
pub(super) struct StoredFindings {
    /// None where not all of the mesh is known.
    counts: Option<FindingCounts>,
    /// In which snapshot, and on which day.
    counted: Option<(u64, Date)>,
    rests_until: Option<Instant>,
}

/// How many findings each policy has a say about, by its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FindingCounts(BTreeMap<Box<str>, usize>);

impl StoredFindings {
    pub(super) fn counts(&self) -> Option<&FindingCounts> {
        self.counts.as_ref()
    }

    /// Counts anew where something has changed, unless it is time to rest.
    pub(super) async fn count_when_due(&mut self, policies: &Arc<Policies>) {
        let now = (policies.snapshot().generation, crate::commands::today());
        let rests = self.rests_until.is_some_and(|until| Instant::now() < until);
        if rests || self.counted == Some(now) {
            return;
        }
        let (policies, today) = (Arc::clone(policies), now.1);
        let counting = spawn_blocking(move || {
            let begin = Instant::now();
            let counts = count(today, SLICE, || policies.snapshot());
            (counts, begin.elapsed())
        });
        self.counted = Some(now);
        match counting.await {
            Ok((counts, took)) => {
                self.counts = counts;
                self.rests_until = Some(Instant::now() + took * RESTS);
            }
            Err(error) => {
                tracing::error!(%error, "a bug: the findings of what is stored are not counted");
                self.counts = None;
            }
        }
    }

    /// Waits until there may be something to count, if `generation` is in force until then.
    pub(super) async fn due(&self, generation: u64) {
        match (self.counted, self.rests_until) {
            (Some((counted, _)), Some(until)) if counted != generation => sleep_until(until).await,
            _ => sleep(SAME).await,
        }
    }
}

/// Goes through all entries in view, in slices, each of the newest view.
fn count(
    today: Date,
    slice: Duration,
    newest: impl Fn() -> Arc<Snapshot>,
) -> Option<FindingCounts> {
    let policies = &newest().policies.policies;
    let names = policies.iter().map(|policy| (policy.name.clone(), 0));
    let mut counts = FindingCounts(names.collect());
    let mut next = 0;
    loop {
        let snapshot = newest();
        if !snapshot.sees_mesh {
            return None;
        }
        match counts.add_slice(&snapshot, next, today, slice) {
            Some(rest) => next = rest,
            None => return Some(counts),
        }
    }
}

impl FindingCounts {
    /// Those of one policy, unless it is younger than they are.
    pub(super) fn of(&self, policy: &str) -> Option<usize> {
        self.0.get(policy).copied()
    }

    /// Adds those of the entries from `next` on, and says where to go on if time is up.
    fn add_slice(
        &mut self,
        snapshot: &Snapshot,
        next: u64,
        today: Date,
        slice: Duration,
    ) -> Option<u64> {
        let begin = Instant::now();
        let context = snapshot.context();
        for ranked in snapshot.mesh.entries_from(next) {
            // With one at least done, it comes to an end.
            if ranked.sequence > next && begin.elapsed() >= slice {
                return Some(ranked.sequence);
            }
            if ranked.entry.registry == Registry::Kubernetes {
                continue;
            }
            for finding in evaluate(ranked.entry, context) {
                let with_a_say = policies_with_a_say(&finding, ranked.entry, &context, today);
                let names: BTreeSet<&str> = with_a_say.map(|(policy, _)| &*policy.name).collect();
                for name in names {
                    *self.0.entry(name.into()).or_default() += 1;
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use jiff::civil::date;
    use serde_json::{Value, json};

    use super::{SLICE, count};
    use crate::mesh::{MeshView, ServiceEntry};
    use crate::policy::PolicySet;
    use crate::policy::spec::ConnectProxyPolicy;
    use crate::state::Snapshot;

    /// One declares a proxy, the other judges only what nobody declares.
    const POLICIES: &str = "
- {metadata: {name: corporate}, spec: {exemptions: [{namespace: old, reason: moves, expires: 2026-11-22}],
    proxies: [{name: corp-squid, hosts: [proxy.corp], addresses: [10.20.0.5], ports: [3128]}]}}
- {metadata: {name: strict}, spec: {}}
- {metadata: {name: idle}, spec: {mode: 'Off'}}";

    const DECLARED: &str = "hosts: [proxy.corp], addresses: [10.20.0.5]";
    const SUSPECTED: &str = "hosts: [squid.test], addresses: [10.9.9.9]";

    fn snapshot(entries: &[(&str, &str, &str)]) -> Snapshot {
        let policies: Vec<Value> = serde_saphyr::from_str(POLICIES).unwrap();
        let policies = policies.into_iter().map(|mut policy| {
            policy["apiVersion"] = json!("tunnelguard.dev/v1alpha1");
            policy["kind"] = json!("ConnectProxyPolicy");
            serde_json::from_value(policy).unwrap()
        });
        let policies: Vec<ConnectProxyPolicy> = policies.collect();
        let mut mesh = MeshView::new();
        for (index, (namespace, spec, protocol)) in entries.iter().enumerate() {
            let ports = format!("ports: [{{number: 3128, name: p, protocol: {protocol}}}]");
            let entry = format!(
                "{{metadata: {{name: e{index}, namespace: {namespace}}}, spec: {{{spec}, {ports}}}}}"
            );
            mesh.upsert(serde_saphyr::from_str::<ServiceEntry>(&entry).unwrap());
        }
        Snapshot {
            policies: Arc::new(PolicySet::compile(&policies).unwrap()),
            mesh: Arc::new(mesh),
            sees_mesh: true,
            ..Snapshot::default()
        }
    }

    /// Namespace, hosts and protocol of each entry, and how many findings `corporate` and `strict` have a say
    /// about, on the last day of the exemption and on the next.
    #[test]
    fn each_finding_counts_for_the_policies_that_have_a_say_about_it() {
        type Row<'a> = (&'a [(&'a str, &'a str, &'a str)], [[usize; 2]; 2]);
        let rows: &[Row] = &[
            (&[], [[0, 0]; 2]),
            (&[("a", DECLARED, "TCP")], [[0, 0]; 2]),
            (&[("a", DECLARED, "HTTP")], [[1, 0]; 2]),
            (&[("old", DECLARED, "HTTP")], [[0, 0], [1, 0]]),
            // It captures the declared one, too.
            (&[("a", SUSPECTED, "HTTP")], [[2, 1]; 2]),
            (
                &[
                    ("a", DECLARED, "TCP"),
                    ("old", SUSPECTED, "HTTP"),
                    ("b", SUSPECTED, "HTTP"),
                ],
                [[1, 2], [2, 2]],
            ),
        ];
        for (entries, expected) in rows {
            for (day, [corporate, strict]) in [22, 23].into_iter().zip(expected) {
                // All at once, and one entry at a time.
                for slice in [SLICE, Duration::ZERO] {
                    let snapshot = Arc::new(snapshot(entries));
                    let counted = count(date(2026, 11, day), slice, || Arc::clone(&snapshot));
                    let counted = counted.unwrap();
                    let counted = ["corporate", "strict", "idle"].map(|name| counted.of(name));
                    assert_eq!(
                        counted,
                        [*corporate, *strict, 0].map(Some),
                        "{entries:?} on {day}"
                    );
                }
            }
        }
    }

    #[test]
    fn of_a_mesh_that_is_not_known_nothing_is_counted() {
        let blind = Arc::new(Snapshot {
            sees_mesh: false,
            ..snapshot(&[("a", DECLARED, "HTTP")])
        });
        assert_eq!(
            count(date(2026, 11, 22), SLICE, || Arc::clone(&blind)),
            None
        );
    }
}

//! Counts the findings about the entries that are stored, for the statuses of policies.
//!
//! A number only: what they say, `lint` and a review tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::commands::today;
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

/// How many findings each policy has a say about, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FindingCounts(BTreeMap<Box<str>, usize>);

/// Counts whenever something has changed, while this replica leads: at once where a policy has, else when it has
/// rested.
pub(super) fn keep_counting(policies: Arc<Policies>, mut leads: watch::Receiver<bool>) {
    tokio::spawn(async move {
        // Ends with whoever elects.
        while leads.wait_for(|leads| *leads).await.is_ok() {
            let begun = (policies.snapshot().generation, today());
            let rest = count_all(&policies, begun.1).await;
            // Nothing is to be done about it where it ends sooner.
            let _ = timeout(rest, policies.edited()).await;
            while (policies.snapshot().generation, today()) == begun {
                let _ = timeout(SAME, policies.published()).await;
            }
        }
    });
}

/// Has the policies know what there is, and says how long to rest.
async fn count_all(policies: &Arc<Policies>, today: Date) -> Duration {
    let counted = Arc::clone(policies);
    let counting = spawn_blocking(move || {
        let begin = Instant::now();
        let counts = count(today, SLICE, || counted.snapshot());
        (counts, begin.elapsed())
    });
    match counting.await {
        Ok((counts, took)) => {
            policies.findings_counted(counts);
            took * RESTS
        }
        Err(error) => {
            tracing::error!(%error, "a bug: the findings of what is stored cannot be counted");
            policies.findings_counted(None);
            SAME
        }
    }
}

/// Goes through all entries in view, in slices, each of the newest view; nothing where not all of the mesh is known.
fn count(
    today: Date,
    slice: Duration,
    newest: impl Fn() -> Arc<Snapshot>,
) -> Option<FindingCounts> {
    let mut counts = FindingCounts::none_of(&newest());
    let mut next = 0;
    loop {
        // None is kept for longer.
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
    fn none_of(snapshot: &Snapshot) -> Self {
        let policies = snapshot.policies.policies.iter();
        Self(policies.map(|policy| (policy.name.clone(), 0)).collect())
    }

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
                    // One that came meanwhile would have a part of them.
                    if let Some(count) = self.0.get_mut(name) {
                        *count += 1;
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
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

    /// The first view is let go before the second is looked at, and of a policy that comes meanwhile nothing is said.
    #[test]
    fn what_changes_meanwhile_is_kept_from_nobody() {
        let entries = [("a", DECLARED, "HTTP"), ("b", DECLARED, "HTTP")];
        let later = Arc::new(snapshot(&entries));
        let first = Snapshot {
            policies: Arc::new(PolicySet::built_in()),
            ..Snapshot::clone(&later)
        };
        let (first, asked) = (RefCell::new(Some(Arc::new(first))), Cell::new(0));
        let weak = Arc::downgrade(first.borrow().as_ref().unwrap());
        let newest = || {
            asked.set(asked.get() + 1);
            // For the names, for the first entry, and the next view for the second.
            match asked.get() {
                1 => Arc::clone(first.borrow().as_ref().unwrap()),
                2 => first.take().unwrap(),
                _ => {
                    assert_eq!(weak.strong_count(), 0, "it is kept");
                    Arc::clone(&later)
                }
            }
        };
        let counted = count(date(2026, 11, 22), Duration::ZERO, newest).unwrap();
        assert_eq!(asked.get(), 3);
        assert_eq!(counted.of("corporate"), None);
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

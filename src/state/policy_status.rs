//! What the cluster is told of a policy that it has.

use jiff::{Timestamp, TimestampRound, Unit};
use serde_json::{Value, json};

use crate::mesh::line::one_line;
use crate::policy::spec::{Condition, ConditionStatus, PolicyStatus, ProxyCounts, READY};

/// How much of the faults of a policy its status shows: a few screens, of what may be megabytes.
const FAULTS_CHARACTERS: usize = 4096;

/// How a policy of the cluster stands, and what the cluster shows of that.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Which object of that name it is.
    pub uid: &'a str,
    /// Which of its specs was read last.
    pub generation: i64,
    /// What is wrong with that one, if it cannot be used.
    pub faults: Option<&'a str>,
    /// Which of its specs is in force, if one is.
    pub in_force: Option<i64>,
    /// How many proxies that one declares.
    pub declared: usize,
    /// The `status` that the cluster shows.
    pub shown: &'a Value,
}

/// What is beside a policy.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Whether a policy of a file has its name.
    pub hidden: bool,
    /// How many proxies workloads use that no policy declares.
    pub observed: usize,
    /// How many findings about stored entries the policy of that name in force has a say about, if that is known.
    pub findings: Option<usize>,
    /// When this is said.
    pub now: Timestamp,
}

impl Standing<'_> {
    /// The status to write, if the cluster shows another.
    pub fn to_write(&self, around: Surroundings) -> Option<PolicyStatus> {
        let (status, reason, message) = self.ready(around.hidden);
        let conditions = self.shown["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let shown = conditions.find(|condition| condition["type"] == READY);
        let since = shown.filter(|shown| shown["status"] == json!(status));
        let since = since.and_then(|shown| shown["lastTransitionTime"].as_str());
        let ready = Condition {
            type_: READY.to_owned(),
            status,
            reason: reason.to_owned(),
            message,
            observed_generation: self.generation,
            last_transition_time: match since {
                Some(since) => since.to_owned(),
                None => whole_seconds(around.now).to_string(),
            },
        };
        let proxies = ProxyCounts {
            declared: count(self.declared),
            observed: count(around.observed),
        };
        let counted = around
            .findings
            .filter(|_| self.in_force.is_some() && !around.hidden);
        let findings = counted.map(count);
        // Whatever else is shown is somebody else's.
        let is_shown = self.shown["observedGeneration"] == self.generation
            && self.shown["proxies"] == json!(proxies)
            && self.shown["findings"] == json!(findings)
            && shown == Some(&json!(ready));
        (!is_shown).then(|| PolicyStatus {
            observed_generation: self.generation,
            proxies,
            findings,
            conditions: vec![ready],
        })
    }

    fn ready(&self, hidden: bool) -> (ConditionStatus, &'static str, String) {
        if let Some(faults) = self.faults {
            let consequence = match self.in_force {
                Some(generation) => format!("generation {generation} stays in force"),
                None => "the policy is left out".to_owned(),
            };
            let message = format!("{}; {consequence}", one_line(faults, FAULTS_CHARACTERS));
            return (ConditionStatus::False, "Invalid", message);
        }
        if hidden {
            let message = format!(
                "metadata.name: a policy in a file (--policy) is named {} too, and is in force in place of this one; rename or remove one",
                self.name
            );
            return (ConditionStatus::False, "HiddenByFile", message);
        }
        (ConditionStatus::True, "InForce", "in force".to_owned())
    }
}

fn count(things: usize) -> u32 {
    u32::try_from(things).unwrap_or(u32::MAX)
}

/// As `metav1.Time` is written.
fn whole_seconds(time: Timestamp) -> Timestamp {
    let seconds = TimestampRound::new().smallest(Unit::Second);
    let seconds = seconds.mode(jiff::RoundMode::Trunc);
    time.round(seconds).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Standing, Surroundings};

    const EARLIER: &str = "2026-11-21T08:00:00Z";
    const NOW: &str = "2026-11-21T09:00:00Z";

    fn standing<'a>(
        faults: Option<&'a str>,
        in_force: Option<i64>,
        shown: &'a Value,
    ) -> Standing<'a> {
        Standing {
            name: "corporate",
            uid: "a",
            generation: 3,
            faults,
            in_force,
            declared: 2,
            shown,
        }
    }

    fn written(standing: &Standing<'_>, hidden: bool) -> Value {
        let around = Surroundings {
            hidden,
            observed: 5,
            findings: Some(7),
            now: "2026-11-21T09:00:00.987Z".parse().unwrap(),
        };
        json!(standing.to_write(around))
    }

    /// Of a policy that is in force in some form.
    fn status(generation: i64, holds: &str, reason: &str, message: &str, since: &str) -> Value {
        json!({
            "observedGeneration": generation,
            "proxies": {"declared": 2, "observed": 5},
            "findings": 7,
            "conditions": [{
                "type": "Ready", "status": holds, "reason": reason, "message": message,
                "observedGeneration": generation, "lastTransitionTime": since,
            }],
        })
    }

    /// Faults, the generation in force, whether a file hides it, and what is said.
    #[test]
    fn it_says_what_is_wrong_and_what_holds_meanwhile() {
        let fault = "spec.mode: expected one of Off, Audit";
        for (faults, in_force, hidden, holds, reason, message) in [
            (None, Some(3), false, "True", "InForce", "in force".to_owned()),
            (
                None,
                Some(3),
                true,
                "False",
                "HiddenByFile",
                "metadata.name: a policy in a file (--policy) is named corporate too, and is in force in place of this one; rename or remove one".to_owned(),
            ),
            (
                Some(fault),
                Some(1),
                false,
                "False",
                "Invalid",
                format!("{fault}; generation 1 stays in force"),
            ),
            (
                Some(fault),
                None,
                true,
                "False",
                "Invalid",
                format!("{fault}; the policy is left out"),
            ),
        ] {
            let said = written(&standing(faults, in_force, &Value::Null), hidden);
            let mut expected = status(3, holds, reason, &message, NOW);
            // Of one that is not in force nobody counts any.
            if in_force.is_none() || hidden {
                expected.as_object_mut().unwrap().remove("findings");
            }
            assert_eq!(said, expected);
        }
        let many = "a fault\n".repeat(10_000);
        let said = written(&standing(Some(&many), None, &Value::Null), false);
        let message = said["conditions"][0]["message"].as_str().unwrap();
        assert!(message.ends_with("…; the policy is left out"), "{message}");
        assert!(message.len() < 5000 && !message.contains('\n'), "{message}");
    }

    /// What the cluster shows of a policy that is in force, and since when the next status says so;
    /// nothing: it says what is to be said.
    #[test]
    fn only_what_differs_is_written_and_time_counts_from_the_change() {
        let good = status(3, "True", "InForce", "in force", EARLIER);
        let mut of_others = good.clone();
        let other = json!({"type": "Other", "status": "False"});
        let conditions = of_others["conditions"].as_array_mut().unwrap();
        conditions.insert(0, other);
        let mut fewer = good.clone();
        fewer["proxies"]["declared"] = json!(1);
        let mut found = good.clone();
        found["findings"] = json!(8);
        let mut uncounted = good.clone();
        uncounted.as_object_mut().unwrap().remove("findings");
        for (shown, since) in [
            (Value::Null, Some(NOW)),
            (json!({}), Some(NOW)),
            (json!("?"), Some(NOW)),
            (json!({"conditions": ["?"]}), Some(NOW)),
            (good, None),
            (of_others, None),
            (fewer, Some(EARLIER)),
            (found, Some(EARLIER)),
            (uncounted, Some(EARLIER)),
            (
                status(2, "True", "InForce", "in force", EARLIER),
                Some(EARLIER),
            ),
            (status(3, "False", "Invalid", "…", EARLIER), Some(NOW)),
        ] {
            let said = written(&standing(None, Some(3), &shown), false);
            let expected = since.map(|since| status(3, "True", "InForce", "in force", since));
            assert_eq!(said, json!(expected), "{shown}");
        }
    }
}

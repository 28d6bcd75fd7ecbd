//! Exemptions that no longer hold.

use crate::mesh::line::{NAME_CHARACTERS, one_line, shown};
use crate::policy::check::CheckId;
use crate::policy::compile::{Exemption, Policy};

/// How much of a reason is repeated: it only helps to find the exemption.
const REASON_CHARACTERS: usize = 60;

/// An exemption that would have covered a finding until it expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The finding's check.
    pub check: CheckId,
    /// What happened to which exemption, and the edit to make; without a full stop.
    pub note: String,
}

impl Expired {
    pub(super) fn new(exemption: &Exemption, policy: &Policy, check: CheckId) -> Self {
        let date = exemption.expires.map(|date| date.to_string());
        let owner = exemption.owner.as_deref();
        let owner = owner.map_or(String::new(), |owner| {
            format!("{}: ", shown(owner, NAME_CHARACTERS))
        });
        Self {
            check,
            note: format!(
                "the exemption in policy {} expired on {}; mend the finding or renew it ({owner}{})",
                shown(&policy.name, NAME_CHARACTERS),
                date.unwrap_or_default(),
                one_line(&exemption.reason, REASON_CHARACTERS)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::Expired;
    use crate::policy::check::CheckId;
    use crate::policy::compile::PolicySet;

    fn note(owner: Option<&str>, reason: &str) -> String {
        let exemption = json!({"expires": "2026-11-20", "reason": reason, "owner": owner});
        let document = json!({
            "apiVersion": "tunnelguard.dev/v1alpha1", "kind": "ConnectProxyPolicy",
            "metadata": {"name": "corporate"}, "spec": {"exemptions": [exemption]},
        });
        let policies = PolicySet::compile(&[serde_json::from_value(document).unwrap()]).unwrap();
        let policy = &policies.policies[0];
        let mut exemptions = policy.exemptions("team", "e", CheckId(1));
        let exemption = exemptions.next().unwrap();
        assert!(!exemption.holds(date(2026, 11, 21)));
        Expired::new(exemption, policy, CheckId(1)).note
    }

    #[test]
    fn a_note_says_what_happened_what_to_do_and_which_it_was() {
        let said =
            "the exemption in policy corporate expired on 2026-11-20; mend the finding or renew it";
        let long = "r".repeat(99);
        for (owner, reason, whose) in [
            (
                Some("team-net"),
                "moves in Q1",
                "team-net: moves in Q1".to_owned(),
            ),
            (None, "moves in Q1", "moves in Q1".to_owned()),
            (Some("a b"), "x\ny", r#""a b": x y"#.to_owned()),
            (None, &*long, format!("{}…", "r".repeat(59))),
        ] {
            assert_eq!(note(owner, reason), format!("{said} ({whose})"));
        }
    }
}

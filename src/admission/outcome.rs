//! What judging one object comes to, on either path.

use crate::mesh::line::NAME_CHARACTERS;
use crate::policy::Finding;

use super::record::Decision;
use super::response::Answer;

/// What judging comes to.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    pub(super) decision: Decision,
    /// The ids of the findings in force, each once.
    pub(super) checks: Vec<String>,
}

impl Outcome {
    /// Nothing to say.
    pub(super) fn allowed() -> Self {
        Self::new(Answer::default(), Decision::Allowed, &[])
    }

    pub(super) fn new(answer: Answer, decision: Decision, findings: &[Finding]) -> Self {
        let mut checks: Vec<String> = findings
            .iter()
            .map(|finding| finding.check.to_string())
            .collect();
        checks.dedup();
        Self {
            answer,
            decision,
            checks,
        }
    }
}

/// `TG001 spec.ports[0].protocol corp-squid`, one a finding, for the audit log.
pub(super) fn summary(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|finding| {
        let proxies = finding
            .proxies
            .iter()
            .map(|concerned| concerned.proxy.called(NAME_CHARACTERS));
        let proxies = proxies.collect::<Vec<_>>().join(",");
        format!("{} {} {proxies}", finding.check, finding.path.shown())
    });
    lines.collect::<Vec<_>>().join("; ")
}

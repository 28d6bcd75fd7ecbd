//! A port that is a proxy's, and what becomes of the proxy's dials.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::mesh::service_entry::Port;
use crate::mesh::simulation::Outcome;

use super::finding::{Finding, Severity};
use super::proxy::{Evidence, Proxy};
use super::repair::OfRepair;

/// One port of the entry, with one proxy that it is.
pub struct Claim<'a> {
    /// The port.
    pub port: &'a Port,
    /// The proxy.
    pub proxy: Arc<Proxy>,
    /// What becomes of each of its dials.
    pub reaches: Vec<Reach>,
    /// What all claims of the port share, worked out when first asked for.
    pub(crate) of_port: Rc<OfPort>,
}

/// What is worked out once a port, however many proxies claim it.
#[derive(Debug, Default)]
pub(crate) struct OfPort {
    pub(crate) repair: OnceCell<OfRepair>,
    pub(crate) hijacks: OnceCell<bool>,
}

/// What becomes of one dial of a claimed proxy.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The address dialled.
    pub address: IpAddr,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Whether it fails because of the entry under review.
    pub caused: bool,
    /// Whether the entry under review takes it, whoever makes it fail.
    pub taken: bool,
    /// Whether no object takes it, so that the outbound policy decides.
    pub undeclared: bool,
}

impl Claim<'_> {
    /// The worst dial that fails because of the entry.
    pub fn worst(&self) -> Option<&Reach> {
        let caused = self.reaches.iter().filter(|reach| reach.caused);
        caused.max_by_key(|reach| reach.outcome.badness())
    }

    /// Error where a dial fails because of the entry.
    pub fn severity(&self) -> Severity {
        match self.worst() {
            Some(_) => self.highest_severity(),
            None => Severity::Warning,
        }
    }

    /// The finding as an error, as far as the evidence goes.
    pub fn as_error(&self, finding: Finding) -> Finding {
        finding.rated(self.highest_severity())
    }

    /// Name evidence is never more than a warning.
    fn highest_severity(&self) -> Severity {
        match self.proxy.evidence {
            Evidence::Suspected => Severity::Warning,
            Evidence::Observed | Evidence::Declared => Severity::Error,
        }
    }
}

//! Findings for the tests.

use std::sync::Arc;

use crate::mesh::FieldPath;
use crate::policy::check::CheckId;
use crate::policy::finding::{Brief, Concerned, Finding, Severity};
use crate::policy::proxy::{Evidence, Proxy, Users};

/// A finding about proxies of these names.
pub(super) fn finding(names: &[&str], evidence: Evidence, state: &str, edit: &str) -> Finding {
    let proxy = |name: &&str| Concerned {
        proxy: Arc::new(Proxy {
            name: (**name).into(),
            policy: "corporate".into(),
            evidence,
            hosts: Vec::new(),
            addresses: vec!["10.20.0.5/32".parse().unwrap()],
            ports: vec![3128],
            tls: false,
            tunnel: false,
            users: Users {
                workloads: usize::from(evidence == Evidence::Observed) * 214,
                first: "payments/api".into(),
                cluster: false,
            },
        }),
        port: 3128,
        severity: Severity::Error,
    };
    Finding {
        check: CheckId(1),
        severity: Severity::Error,
        path: FieldPath::spec().key("ports").index(0).key("protocol"),
        port: Some(3128),
        what: "HTTP breaks {proxy}".to_owned(),
        edit: "Set protocol: TCP".to_owned(),
        brief: Brief::new(state, "CONNECT to {proxy} gets 404", edit),
        proxies: names.iter().map(proxy).collect(),
        fix: None,
    }
}

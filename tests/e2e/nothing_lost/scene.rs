//! What the scenarios have in common: replicas behind a Service, and the API server's own count.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Sub;

use super::users::Users;
use crate::harness::{
    Balancer, ControlPlane, FailurePolicy, Guard, Stage, free_address, one_thread, repository,
    series,
};

/// Repairs what it can prove, and denies the rest.
pub(super) const POLICY: &str = "examples/policies/corporate.yaml";

/// A namespace of which every ServiceEntry is reviewed, under `failurePolicy: Fail`.
pub(super) struct Scene<'a> {
    pub(super) stage: Stage<'a>,
    pub(super) balancer: Balancer,
    started: Cell<u8>,
}

impl<'a> Scene<'a> {
    /// Starts so many replicas with these flags, and waits until the API server asks them.
    pub(super) fn set<const REPLICAS: usize>(
        plane: &'a ControlPlane,
        namespace: &str,
        flags: &[&str],
    ) -> (Self, [Guard; REPLICAS]) {
        let stage = Stage::new(plane, namespace);
        let scene = Self {
            balancer: Balancer::start(stage.address),
            stage,
            started: Cell::new(0),
        };
        let replicas = [(); REPLICAS].map(|()| scene.start(flags));
        scene
            .balancer
            .forward_to(replicas.iter().map(Guard::address));
        scene.stage.register(FailurePolicy::Fail);
        scene.stage.await_reviews(|| are_asked(&replicas));
        (scene, replicas)
    }

    /// Starts one more replica, of which the balancer has yet to hear, and waits until it is ready.
    pub(super) fn start(&self, flags: &[&str]) -> Guard {
        let policy = repository(POLICY);
        let policy = ["--policy", policy.to_str().expect("UTF-8")];
        let flags = [&policy, flags].concat();
        Guard::start(self.replica_address(), &self.stage.certificate, &flags)
    }

    /// Each replica has an IP of its own, as Pods have: on one that is also dialled *from*, the
    /// system may give a port away between choosing and using it.
    fn replica_address(&self) -> SocketAddr {
        let number = self.started.get().wrapping_add(1);
        self.started.set(number);
        free_address(Ipv4Addr::new(127, 20, 0, number.max(1)))
    }

    /// So many users, who begin at once.
    pub(super) fn users(&self, count: usize) -> Users {
        Users::begin(self.stage.plane, &self.stage.namespace, count)
    }

    /// The calls that the API server got no answer to, until now.
    pub(super) fn unanswered(&self) -> Unanswered {
        Unanswered::until_now(self.stage.plane)
    }
}

/// Whether both webhooks have been asked, of whichever replicas.
pub(super) fn are_asked(replicas: &[Guard]) -> bool {
    let asked = |webhook| {
        replicas
            .iter()
            .any(|replica| replica.reviews(webhook) > 0.0)
    };
    asked("mutate") && asked("validate")
}

/// Calls to our webhooks that failed, as the API server counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unanswered {
    /// Of those that failurePolicy Ignore let through: /mutate's.
    pub(super) let_through: usize,
    /// Of those that failurePolicy Fail made a user's error: /validate's.
    pub(super) refused: usize,
}

impl Unanswered {
    pub(super) fn until_now(plane: &ControlPlane) -> Self {
        let scrape = one_thread().block_on(plane.metrics());
        let count = |metric: &str| {
            let series = series(&scrape, metric).into_iter();
            // A denial is a rejection, too, without an error.
            let ours = series.filter(|(name, _)| {
                name.contains(".tunnelguard.dev\"") && !name.contains("error_type=\"no_error\"")
            });
            ours.map(|(_, count)| count as usize).sum()
        };
        Self {
            let_through: count("apiserver_admission_webhook_fail_open_count{"),
            refused: count("apiserver_admission_webhook_rejection_count{"),
        }
    }
}

impl Sub for Unanswered {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            let_through: self.let_through - before.let_through,
            refused: self.refused - before.refused,
        }
    }
}

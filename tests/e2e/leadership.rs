//! Replicas agree on one that writes to the cluster, and another takes its place when it is gone.

use k8s_openapi::api::coordination::v1::LeaseSpec;

use crate::Test;
use crate::harness::{Guard, Replicas, await_some};

pub(crate) fn tests() -> Vec<Test> {
    vec![(
        "leadership::takeover".to_owned(),
        Box::new(|plane| takeover(&Replicas::new(plane))),
    )]
}

fn takeover(replicas: &Replicas<'_>) {
    let mut first = replicas.start();
    await_leader(replicas, &first, None);
    replicas.await_status_of("Enforce");
    let mut second = replicas.start();

    // One that hangs keeps its Lease until that is over, and stands back when it wakes up.
    first.signal("STOP");
    let lease = replicas.lease();
    await_leader(replicas, &second, Some(&lease));
    replicas.await_status_of("Audit");
    first.signal("CONT");
    await_some("the first leads no longer", || {
        (!leads(&first)).then_some(())
    });
    assert!(leads(&second));

    // One that is killed does, too.
    second.signal("KILL");
    second.ended();
    let lease = replicas.lease();
    await_leader(replicas, &first, Some(&lease));
    replicas.await_status_of("Mutate");

    // One that ends passes it on.
    let third = replicas.start();
    let before = replicas.lease().holder_identity;
    first.signal("TERM");
    assert!(first.ended().success());
    assert_ne!(
        replicas.lease().holder_identity,
        before,
        "it was not released"
    );
    await_leader(replicas, &third, None);
    replicas.await_status_of("Enforce");
}

fn leads(replica: &Guard) -> bool {
    replica.metric("tunnelguard_leader") > 0.0
}

/// Waits until a replica leads; where another held the Lease, not before that was over.
fn await_leader(replicas: &Replicas<'_>, replica: &Guard, before: Option<&LeaseSpec>) {
    await_some("a replica leads", || leads(replica).then_some(()));
    let Some(before) = before else {
        return;
    };
    let now = replicas.lease();
    let [renewed, acquired] = [&before.renew_time, &now.acquire_time].map(|time| {
        let time = time.as_ref().expect("a Lease that is held");
        time.0
    });
    let seconds = acquired.duration_since(renewed).as_secs();
    assert!(seconds >= 15, "taken over after {seconds} s");
    assert_eq!(
        now.lease_transitions,
        before.lease_transitions.map(|transitions| transitions + 1)
    );
}

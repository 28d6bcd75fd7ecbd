//! `helm upgrade` under load: it changes a value, and the chart's two replicas are replaced as their Deployment says,
//! while users write under `failurePolicy: Fail`. They look after their certificate themselves.

use std::collections::VecDeque;
use std::env;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;

use serde_json::json;

use super::rolling_restarts::{ENDPOINTS_DELAY, await_orderly_end};
use super::scene::{POLICY, Unanswered, are_asked};
use super::self_managed::bundles;
use super::users::Users;
use crate::chart;
use crate::chart::helm::{address_of_service, helm_on_port, stored};
use crate::harness::{
    Balancer, Container, ControlPlane, Guard, Stage, await_some, free_address, repository, run,
    service_address,
};

const USERS: usize = 4;

/// That of the default would be waited for twice.
const INSTALL: &str = "install tunnelguard manifests/chart --namespace tunnelguard-system \
                       --set failurePolicy=Fail,drainSeconds=1";

const UPGRADE: &str = "upgrade tunnelguard manifests/chart --namespace tunnelguard-system \
                       --reset-then-reuse-values --set timeoutSeconds=10,extraArgs={--max-reviews=512}";

pub(super) fn play(plane: &ControlPlane) {
    chart::remove(plane);
    plane.forget_leader();
    plane.forget_authority();
    let directory = tempfile::tempdir().expect("a temporary directory");
    helm_on_port(directory.path(), service_address().port());
    helm(plane, directory.path(), INSTALL);
    plane.prints("wait --for=condition=Established crd/connectproxypolicies.tunnelguard.dev");
    plane.prints(&format!("apply -f {}", repository(POLICY).display()));
    let stage = Stage::new(plane, "helm-upgrade");
    let balancer = Balancer::start(address_of_service(plane));
    let kubeconfig = plane.kubeconfig_of_guard(directory.path(), plane.address());
    let flags = ["--kubeconfig", kubeconfig.to_str().expect("UTF-8")];
    let mut numbers = 1..;
    let mut start = || {
        let number = numbers.next().expect("no end");
        let address = free_address(Ipv4Addr::new(127, 20, 2, number));
        let container = Container::of(&stored(plane, "deployment/tunnelguard"));
        let mut replica = Guard::start_container(&container, address, &flags, Stdio::null());
        replica.await_ready();
        await_some("it goes by the policy", || {
            (replica.metric("tunnelguard_declared_proxies") > 0.0).then_some(())
        });
        replica
    };
    let mut replicas = VecDeque::from([start(), start()]);
    let forward = |replicas: &VecDeque<Guard>| {
        balancer.forward_to(replicas.iter().map(Guard::address));
    };
    forward(&replicas);
    stage.await_reviews(|| are_asked(replicas.make_contiguous()));

    let trusted = bundles(plane);
    let before = Unanswered::until_now(plane);
    let users = Users::begin_apart(plane, "helm-upgrade", USERS);
    helm(plane, directory.path(), UPGRADE);
    let deployment = stored(plane, "deployment/tunnelguard");
    assert_eq!(
        deployment["spec"]["strategy"]["rollingUpdate"],
        json!({"maxSurge": 1, "maxUnavailable": 0})
    );
    let count = replicas.len();
    for _ in 0..count {
        replicas.push_back(start());
        forward(&replicas);
        let mut old = replicas.pop_front().expect("a replica");
        old.signal("TERM");
        sleep(ENDPOINTS_DELAY);
        forward(&replicas);
        await_orderly_end(&mut old);
    }
    // Those of the upgrade are asked.
    users.next(USERS * 4);
    let tally = users.end();
    let unanswered = Unanswered::until_now(plane) - before;
    println!("an upgrade, {tally}; {unanswered:?}");
    tally.assert_nothing_lost();
    assert_eq!(unanswered, Unanswered::default());
    assert_eq!(balancer.refused(), 0, "the balancer knew who had ended");
    assert_eq!(bundles(plane), trusted);
    let timeouts =
        "get validatingwebhookconfiguration tunnelguard -o jsonpath={.webhooks[*].timeoutSeconds}";
    assert_eq!(plane.prints(timeouts), "10 10");

    helm(
        plane,
        directory.path(),
        "uninstall tunnelguard --namespace tunnelguard-system",
    );
    chart::remove(plane);
    plane.forget_authority();
}

fn helm(plane: &ControlPlane, directory: &Path, words: &str) {
    let mut helm = Command::new(directory.join("helm"));
    helm.env_clear().env("HOME", directory);
    helm.env("PATH", env::var_os("PATH").unwrap_or_default());
    helm.env("KUBECONFIG", plane.file("kubeconfig"));
    helm.current_dir(repository(""));
    run(helm.args(words.split_whitespace()), "");
}

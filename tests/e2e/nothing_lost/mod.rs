//! What a user's request meets while replicas restart, die, are flooded, are stared at or get new
//! certificates: the API server and users are real, and every answer is counted.

mod caller;
mod certificate_replaced;
mod flood;
mod helm_upgrade;
mod killed_mid_request;
mod overload;
mod rolling_restarts;
mod scene;
pub(crate) mod self_managed;
mod silent_clients;
mod stranger;
mod tally;
mod unused_connections;
mod users;

use crate::Test;
use crate::harness::ControlPlane;

/// A test for each scenario.
pub(crate) fn tests() -> Vec<Test> {
    vec![
        scenario("rolling_restarts", rolling_restarts::play),
        scenario("killed_mid_request", killed_mid_request::play),
        scenario("overload", overload::play),
        scenario("unused_connections", unused_connections::play),
        scenario("silent_clients", silent_clients::play),
        scenario("certificate_replaced", certificate_replaced::play),
        scenario("self_managed", self_managed::play),
        scenario("helm_upgrade", helm_upgrade::play),
    ]
}

fn scenario(name: &str, play: fn(&ControlPlane)) -> Test {
    (format!("nothing_lost::{name}"), Box::new(play))
}

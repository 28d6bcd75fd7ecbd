//! More objects than anybody would create one by one.

use axum::http::Request;
use futures_util::{StreamExt as _, stream};
use kube::client::Body;

use crate::harness::{Answer, Stage, one_thread};

/// How many are created at once.
const AT_ONCE: usize = 16;

/// Creates Pods in the namespace of a case, from a template in JSON in which NUMBER stands for the number of each,
/// and TENTH for a tenth of that; says how many there are now.
pub(super) fn create_many(stage: &Stage<'_>, template: &str, count: usize) -> String {
    let runtime = one_thread();
    let client = runtime.block_on(stage.plane.client("admin"));
    let path = format!("/api/v1/namespaces/{}/pods", stage.namespace);
    let created = stream::iter(0..count).map(|number| {
        let pod = template.replace("NUMBER", &number.to_string());
        let pod = pod.replace("TENTH", &(number / 10).to_string());
        let request = Request::post(&path).header("content-type", "application/json");
        let request = request
            .body(Body::from(pod.into_bytes()))
            .expect("a request");
        let client = &client;
        async move { Answer::to(client, request).await.expect("an answer") }
    });
    let created = created.buffer_unordered(AT_ONCE).map(|answer| {
        assert!(answer.is_allowed(), "{answer:?}");
    });
    let created = runtime.block_on(created.count());
    format!("{created} created\n")
}

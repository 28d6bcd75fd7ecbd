//! How often the same watch is begun.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Request, Uri};
use kube::Client;
use kube::client::Body;
use tokio::time::{Instant, sleep};
use tower::service_fn;

/// How long after a watch has begun the same one may begin again.
const APART: Duration = Duration::from_secs(1);

/// When each watch was begun last.
#[derive(Clone, Default)]
struct Begun(Arc<Mutex<BTreeMap<String, Instant>>>);

/// The same client, but for watches, which it begins once a second at most. Where the other side ends a watch
/// as soon as it has begun, kube would begin it again without pause: it takes that for the ordinary end.
pub fn paced(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    let begun = Begun::default();
    let send = move |request: Request<Body>| {
        let pause = begun.pause_before(request.uri());
        let client = client.clone();
        async move {
            sleep(pause).await;
            client.send(request).await
        }
    };
    Client::new(service_fn(send), namespace)
}

impl Begun {
    fn pause_before(&self, uri: &Uri) -> Duration {
        let uri = uri.to_string();
        let Some((watch, _)) = uri.split_once("resourceVersion=") else {
            return Duration::ZERO;
        };
        if !watch.contains("watch=true") {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = begun.get(watch).map_or(now, |last| now.max(*last + APART));
        begun.insert(watch.to_owned(), begins);
        begins - now
    }
}

//! What is told of a kind, and how often it is asked for, whatever the API server does. See
//! [`super::scripted_api`] for how a case is written; below a request stands what it led to: news and lines
//! of the log.

use std::io;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::core::DeserializeGuard;
use tracing_subscriber::EnvFilter;

use super::scripted_api::ScriptedApi;
use super::{Kind, News, follow, well_formed};

/// What happens, and the script.
const CASES: &[(&str, &str)] = &[
    (
        "changes are told in order",
        "
0 s list -> a1 b1
  all: a1 b1
0 s watch from 1 -> +c1 +a2 -b
  now c1
  now a2
  gone b
",
    ),
    (
        "a connection that says nothing for 295 s is given up",
        "
0 s list -> a1
  all: a1
0 s watch from 1 -> +a2
  now a2
295 s watch from 2 -> 100s +a3
  now a3
",
    ),
    (
        "a list has pages, and begins anew where a page is gone",
        r#"
0 s list -> a1 more
0 s list on -> b1
  all: a1 b1
0 s watch from 1 -> 410
  unanswered
  INFO the cluster cannot tell its ConfigMaps from where their watch was: all are listed anew error="error returned by apiserver during watch: as the script says: Scripted"
1 s list -> a1 more
1 s list on -> HTTP 410
  WARN the cluster does not tell its ConfigMaps; what was seen of them stays in force, and it is asked again every few seconds error="as the script says (410)"
3 s list -> a1 c1
  all: a1 c1
  INFO the cluster tells its ConfigMaps now
"#,
    ),
    (
        "410: what the watch has missed, a list tells",
        r#"
0 s list -> a1 b1
  all: a1 b1
0 s watch from 1 -> +c1 410
  now c1
  unanswered
  INFO the cluster cannot tell its ConfigMaps from where their watch was: all are listed anew error="error returned by apiserver during watch: as the script says: Scripted"
1 s list -> b2
  all: b2
  INFO the cluster tells its ConfigMaps now
1 s watch from 2 -> +d1
  now d1
"#,
    ),
    (
        "a watch that is cut goes on where it was",
        "
0 s list -> a1
  all: a1
0 s watch from 1 -> +b1 cut
  now b1
1 s watch from 2 -> cut
3 s watch from 2 -> +c1
  now c1
",
    ),
    (
        "a watch that ends as it begins is begun once a second",
        "
0 s list -> a1
  all: a1
0 s watch from 1 -> end
1 s watch from 1 -> end
2 s watch from 1 -> 60s end
62 s watch from 1 -> +b1 end
  now b1
63 s watch from 2 -> end
",
    ),
    (
        "a line that cannot be read may be any change: all is asked for again",
        r#"
0 s list -> a1
  all: a1
0 s watch from 1 -> +b1 garbage +c1
  now b1
  unanswered
  WARN the cluster does not tell its ConfigMaps; what was seen of them stays in force, and it is asked again every few seconds error="Error deserializing response: expected value at line 1 column 1"
1 s list -> garbage
3 s list -> cut
  WARN the cluster does not tell its ConfigMaps; what was seen of them stays in force, and it is asked again every few seconds error="ServiceError: ServiceError: the connection was cut"
7 s list -> a1 b1 c1
  all: a1 b1 c1
  INFO the cluster tells its ConfigMaps now
"#,
    ),
    (
        "an object that cannot be read is left out and named once, and the others are told",
        r#"
0 s list -> a1 b? c1
  WARN one of the cluster's ConfigMaps cannot be read and is left out object="n/b" error="Invalid type string …. Expected a map"
  left out: 1
  all: a1 c1
0 s watch from 1 -> +d1 +b? +e1 +a? 410
  now d1
  gone b
  now e1
  WARN one of the cluster's ConfigMaps cannot be read and is left out object="n/a" error="Invalid type string …. Expected a map"
  gone a
  left out: 2
  unanswered
  INFO the cluster cannot tell its ConfigMaps from where their watch was: all are listed anew error="error returned by apiserver during watch: as the script says: Scripted"
1 s list -> a? b? c1
  all: c1
  INFO the cluster tells its ConfigMaps now
1 s watch from 5 -> +b2 -a +b?
  now b2
  left out: 1
  gone a
  left out: 0
  WARN one of the cluster's ConfigMaps cannot be read and is left out object="n/b" error="Invalid type string …. Expected a map"
  gone b
  left out: 1
"#,
    ),
    (
        "a definition that comes later, goes, and comes again",
        "
0 s list -> HTTP 404
  not installed
  INFO the cluster has no ConfigMaps: their CustomResourceDefinition is not installed; looking again every few seconds
1 s list -> HTTP 404
3 s list -> a1
  all: a1
  INFO the cluster tells its ConfigMaps now
3 s watch from 1 -> -a end
  gone a
4 s watch from 2 -> HTTP 404
  not installed
  INFO the cluster has no ConfigMaps: their CustomResourceDefinition is not installed; looking again every few seconds
8 s list -> a1
  all: a1
  INFO the cluster tells its ConfigMaps now
",
    ),
    (
        "away for ten minutes: what was seen stays, and it is asked every 8 s",
        r#"
0 s list -> a1 b1
  all: a1 b1
0 s watch from 1 -> cut
1 s watch from 1 -> HTTP 503 until 600
  unanswered
  WARN the cluster does not tell its ConfigMaps; what was seen of them stays in force, and it is asked again every few seconds error="as the script says (503)"
  asked 77 times
607 s list -> a2
  all: a2
  INFO the cluster tells its ConfigMaps now
607 s watch from 1 -> +b2
  now b2
"#,
    ),
];

#[tokio::test(start_paused = true)]
async fn news_are_what_the_api_server_has() {
    let mut others = String::new();
    for (what, script) in CASES {
        let played = play(script).await;
        if played.trim() != script.trim() {
            others += &format!("{what}:\n{played}\n");
        }
    }
    assert!(others.is_empty(), "it went otherwise:\n{others}");
}

/// Plays a script, and gives it as it went.
async fn play(script: &str) -> String {
    let server = ScriptedApi::new(script);
    let log = server.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("info,kube_client=off,kube_runtime=off"))
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .with_writer(move || Lines(log.clone()))
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let api: Api<DeserializeGuard<ConfigMap>> = Api::all(server.client());
    let kind = Kind::all("ConfigMaps", api);
    let told = server.clone();
    let _first_view = follow(kind, read, move |news| told.tell(line(news)));
    server.played().await
}

/// What a ConfigMap is called, and says.
fn read(object: DeserializeGuard<ConfigMap>) -> Result<Option<String>, String> {
    let object = well_formed(object)?;
    let says = object.data.and_then(|mut data| data.remove("says"));
    Ok(object
        .metadata
        .name
        .zip(says)
        .map(|(name, says)| name + &says))
}

fn line(news: News<String>) -> String {
    match news {
        News::Listed(all) => format!("all: {}", all.join(" ")),
        News::Applied(object) => format!("now {object}"),
        News::Deleted(name) => format!("gone {}", name.name),
        News::NotInstalled => "not installed".to_owned(),
        News::Unanswered => "unanswered".to_owned(),
        News::LeftOut(count) => format!("left out: {count}"),
    }
}

/// Lines of the log, written among the requests.
struct Lines(ScriptedApi);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! What a view of many entries takes to build, from what the API server sends of them.

use std::hint::black_box;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tunnelguard::discovery::mesh::{MeshKind, MeshObject, keep_view};
use tunnelguard::discovery::watch::News;
use tunnelguard::mesh::MeshView;

use super::Arguments;
use super::entry::entry;
use super::turns::processor_time;

const TIMES: usize = 5;

/// How long it takes to build something of these texts.
type Building = fn(&[String]) -> Duration;

pub(super) fn measure(arguments: &Arguments) {
    let rows: [(&str, Building); 2] = [
        ("building a view", one_view),
        ("building both views that `serve` keeps", both_views),
    ];
    let wanted: Vec<_> = rows
        .into_iter()
        .filter(|(row, _)| arguments.wants(row))
        .collect();
    if wanted.is_empty() {
        return;
    }
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    let texts: Vec<String> = (0..arguments.many)
        .map(|n| stored(n, [10, 128, 0, 0]))
        .collect();
    println!(
        "\nOf {} entries, in processor time, reading them included:",
        arguments.many
    );
    for (row, build) in wanted {
        let times = (0..TIMES).map(|_| build(black_box(&texts)));
        let quickest = times.min().unwrap().as_secs_f64();
        println!("{row:<62} {quickest:>6.2} s");
    }
}

fn one_view(texts: &[String]) -> Duration {
    let begin = processor_time();
    let mut view = MeshView::new();
    for text in texts {
        if let Some(MeshObject::ServiceEntry(entry)) = read(text) {
            view.upsert(entry);
        }
    }
    drop(black_box(view));
    processor_time() - begin
}

/// The second one takes the list when something else is told, whatever that is.
fn both_views(texts: &[String]) -> Duration {
    let begin = processor_time();
    let objects: Vec<MeshObject> = texts.iter().filter_map(|text| read(text)).collect();
    let reading = processor_time() - begin;
    // What has been published is told by the thread that keeps the views, so that it tells its own time.
    let (published, publications) = mpsc::channel();
    let telling = keep_view(move |_| published.send(processor_time()).unwrap());
    let after = |kind, news| {
        telling.send((kind, news)).unwrap();
        publications.recv().unwrap()
    };
    let begin = after(MeshKind::Sidecar, News::NotInstalled);
    after(MeshKind::ServiceEntry, News::Listed(objects));
    reading + after(MeshKind::Sidecar, News::NotInstalled) - begin
}

/// What is kept of an entry.
pub(super) fn read(text: &str) -> Option<MeshObject> {
    let object = serde_json::from_str(text).unwrap();
    MeshKind::ServiceEntry.read(object).unwrap()
}

/// An entry of its own host and address, as the API server sends it.
pub(super) fn stored(n: usize, network: [u8; 4]) -> String {
    let address = std::net::Ipv4Addr::from(u32::from_be_bytes(network) + n as u32);
    let (host, address) = (format!("host-{n}.test"), address.to_string());
    let text = entry(&host, &address, 3128, "TCP");
    let name = format!("\"name\":\"entry-{n}\"");
    text.replacen("\"name\":\"corporate-proxy\"", &name, 1)
}

//! The lab's DNS server.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::thread;

use tunnelguard::mesh::simulation::Names;

/// What the names of the lab lead to. Different ones, so that it shows whose a connection went to.
const NAMES: &[(&str, [u8; 4])] = &[
    ("my-company-proxy.com", [10, 20, 0, 5]),
    ("backup-proxy.com", [10, 20, 0, 6]),
    ("second.test", [10, 20, 0, 5]),
    ("api.test", [10, 20, 0, 8]),
    ("a.test", [10, 20, 0, 5]),
    ("b.test", [10, 20, 0, 6]),
];

/// The same, as the simulation is told.
pub(crate) fn names() -> Names {
    let entries = NAMES.iter();
    entries
        .map(|(name, address)| ((*name).into(), vec![IpAddr::from(*address)]))
        .collect()
}

/// The IP of an endpoint, which may be written as a name.
pub(crate) fn resolved(endpoint: &str) -> Option<IpAddr> {
    let known = NAMES.iter().find(|(name, _)| *name == endpoint);
    let known = known.map(|(_, address)| IpAddr::from(*address));
    known.or_else(|| endpoint.parse().ok())
}

/// Answers for as long as the program runs.
pub(crate) fn serve() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).expect("the port of DNS");
    thread::spawn(move || {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).expect("a query");
            if let Some(answer) = answer(&buffer[..length]) {
                socket.send_to(&answer, from).expect("loopback");
            }
        }
    });
}

/// The answer to a query of one question (RFC 1035 §4), or nothing to what is none.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let (header, mut rest) = query.split_at_checked(12)?;
    let mut labels = Vec::new();
    loop {
        let (length, tail) = rest.split_first()?;
        let (label, tail) = tail.split_at_checked(usize::from(*length))?;
        rest = tail;
        if label.is_empty() {
            break;
        }
        labels.push(String::from_utf8_lossy(label).to_lowercase());
    }
    let (kind, rest) = rest.split_at_checked(2)?;
    let question = &query[12..query.len() - rest.len() + 2];
    let name = labels.join(".");
    let known = NAMES.iter().find(|(known, _)| *known == name);
    let is_a = kind == [0, 1];
    // NXDOMAIN for other names; for these no error, and no answer to what is not A.
    let code = if known.is_some() { 0 } else { 3 };
    let found = known.filter(|_| is_a);
    let mut answer = header[..2].to_vec();
    answer.extend([
        0x85,
        0x80 | code,
        0,
        1,
        0,
        u8::from(found.is_some()),
        0,
        0,
        0,
        0,
    ]);
    answer.extend(question);
    if let Some((_, address)) = found {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address);
    }
    Some(answer)
}

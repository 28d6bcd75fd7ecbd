//! What checks say, and the turns of phrase that they share.

use std::net::IpAddr;

use crate::mesh::ServiceEntry;
use crate::mesh::line::{VALUE_CHARACTERS, quoted};
use crate::mesh::protocol::Protocol;
use crate::mesh::service_entry::{Port, Resolution};

use super::finding::Brief;

/// What a finding says: see the fields of the same name of [`super::Finding`].
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// What happens, to what.
    pub what: String,
    /// The edit to make.
    pub edit: String,
    /// Both in a few words.
    pub brief: Brief,
}

/// How long a list of addresses may be in an edit, and in the brief of one. The whole list is in the
/// fix, where there is one.
pub(crate) const LIST_CHARACTERS: usize = 160;
pub(crate) const BRIEF_LIST_CHARACTERS: usize = 48;

/// `[10.20.0.5, 10.20.0.6]`, as it is written in YAML; at least one, and those beyond `longest`
/// characters are counted.
pub(crate) fn ip_list(ips: &[IpAddr], longest: usize) -> String {
    let mut list = String::new();
    for (index, ip) in ips.iter().enumerate() {
        let ip = ip.to_string();
        if index > 0 && list.len() + ip.len() > longest {
            return format!("[{list} and {} more]", ips.len() - index);
        }
        if index > 0 {
            list.push_str(", ");
        }
        list.push_str(&ip);
    }
    format!("[{list}]")
}

/// `addresses: [10.20.0.5]`; where nobody knows them, what belongs there.
pub(crate) fn addresses_field(ips: &[IpAddr], longest: usize) -> String {
    match ips {
        [] => "addresses: [the proxy's IPs]".to_owned(),
        ips => format!("addresses: {}", ip_list(ips, longest)),
    }
}

/// `a, b and c`.
pub(crate) fn in_a_row(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

/// As a sentence begins.
pub(crate) fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(rest).collect()
}

/// What makes an entry forward to the address dialled. `None` where a selector says that the proxy
/// runs in the mesh: its workloads are meant.
pub(crate) fn as_dialled(entry: &ServiceEntry) -> Option<&'static str> {
    match (
        entry.workload_selector.is_some(),
        entry.resolution == Resolution::None,
        entry.endpoints.is_empty(),
    ) {
        (true, _, _) | (_, true, true) => None,
        (_, true, false) => Some("remove the endpoints"),
        (_, false, true) => Some("set resolution: NONE"),
        (_, false, false) => Some("set resolution: NONE and remove the endpoints"),
    }
}

/// An edit of the addresses: several of them need resolution NONE, too (TG018).
pub(crate) fn with_forwarding(edit: String, entry: &ServiceEntry, addresses: usize) -> String {
    match as_dialled(entry) {
        Some(forward) if addresses > 1 => format!("{edit}, and {forward}"),
        _ => edit,
    }
}

/// A port's protocol: as the subject of a sentence, and behind the path of its field.
pub(crate) fn protocol_in_words(port: &Port) -> (String, String) {
    match port.protocol {
        Protocol::Absent => ("a missing protocol".to_owned(), "is not set".to_owned()),
        Protocol::Unknown => {
            let text = port.protocol_text.as_deref().unwrap_or_default();
            let text = quoted(text, VALUE_CHARACTERS);
            (
                format!("the protocol {text}, which Istio does not know and istiod rejects,"),
                format!("{text} is unknown to Istio"),
            )
        }
        known => (known.to_string(), known.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::{in_a_row, ip_list};

    #[test]
    fn lists_are_bounded() {
        let ips = |texts: &[&str]| -> Vec<std::net::IpAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let long = "2001:db8:1111:2222:3333:4444:5555:6666";
        for (list, expected) in [
            (&["10.0.0.5"][..], "[10.0.0.5]".to_owned()),
            (&["10.0.0.5", "10.0.0.6"], "[10.0.0.5, 10.0.0.6]".to_owned()),
            (
                &["10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.8"],
                "[10.0.0.5, 10.0.0.6 and 2 more]".to_owned(),
            ),
            (&[long, long], format!("[{long} and 1 more]")),
        ] {
            assert_eq!(ip_list(&ips(list), 20), expected);
        }
    }

    #[test]
    fn a_row_reads_as_one() {
        for (items, row) in [
            (&[][..], ""),
            (&["a"], "a"),
            (&["a", "b"], "a and b"),
            (&["a", "b", "c"], "a, b and c"),
        ] {
            let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
            assert_eq!(in_a_row(&items), row);
        }
    }
}

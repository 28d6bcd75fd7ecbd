//! The protocol of a Service's port, which its name or `appProtocol` tells.
//!
//! Source: `ConvertProtocol` in `pkg/config/kube/conversion.go` of istio/istio.

use crate::mesh::protocol::Protocol;

/// Ports on which servers speak first, so that sniffing would break them.
const NEVER_SNIFFED: [u16; 4] = [25, 53, 3306, 27017];

impl Protocol {
    /// What Istio makes of a port of a Service. `appProtocol` beats the name; of either, what
    /// stands before the first `-` counts.
    pub(super) fn of_service_port(
        number: u16,
        name: &str,
        transport: Option<&str>,
        app_protocol: Option<&str>,
    ) -> Self {
        if transport == Some("UDP") {
            return Self::Udp;
        }
        // `ws` and `wss` came after Istio 1.21, which sniffs them: not told apart here.
        match app_protocol {
            Some("kubernetes.io/h2c") => return Self::Http2,
            Some("kubernetes.io/ws") => return Self::Http,
            Some("kubernetes.io/wss") => return Self::Https,
            _ => {}
        }
        let words = app_protocol.unwrap_or(name);
        const GRPC_WEB: &str = "grpc-web";
        let start = words.get(..GRPC_WEB.len());
        if start.is_some_and(|start| start.eq_ignore_ascii_case(GRPC_WEB)) {
            return Self::GrpcWeb;
        }
        let prefix = words.split('-').next();
        match Self::parse(prefix) {
            sniffed if sniffed.is_sniffed() && NEVER_SNIFFED.contains(&number) => Self::Tcp,
            protocol => protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Protocol;

    #[test]
    fn name_and_app_protocol() {
        use Protocol::*;
        let rows = [
            ("http", None, Http),
            ("http-proxy", None, Http),
            ("HTTP-Proxy", None, Http),
            ("httpx", None, Unknown),
            ("proxy-http", None, Unknown),
            ("http2-connect", None, Http2),
            ("grpc", None, Grpc),
            ("grpc-web", None, GrpcWeb),
            ("GRPC-WEB-ui", None, GrpcWeb),
            ("tcp", None, Tcp),
            ("tcp-squid", None, Tcp),
            ("tls-x", None, Tls),
            ("https", None, Https),
            ("mongo", None, Mongo),
            ("squid", None, Unknown),
            ("3128", None, Unknown),
            ("", None, Absent),
            ("-x", None, Absent),
            ("http", Some("tcp"), Tcp),
            ("tcp", Some("http-connect"), Http),
            ("tcp", Some("http_proxy"), HttpProxy),
            ("tcp", Some("kubernetes.io/h2c"), Http2),
            ("tcp", Some("kubernetes.io/ws"), Http),
            ("http", Some("kubernetes.io/wss"), Https),
            ("kubernetes.io/h2c", None, Unknown),
            ("tcp", Some("example.com/mine"), Unknown),
            ("tcp", Some(""), Absent),
        ];
        for (name, app_protocol, expected) in rows {
            for transport in [None, Some("TCP")] {
                let found = Protocol::of_service_port(3128, name, transport, app_protocol);
                assert_eq!(found, expected, "{name:?} {app_protocol:?}");
            }
            let udp = Protocol::of_service_port(3128, name, Some("UDP"), app_protocol);
            assert_eq!(udp, Udp);
        }
    }

    #[test]
    fn servers_that_speak_first_are_never_sniffed() {
        for (number, name, expected) in [
            (3306, "squid", Protocol::Tcp),
            (53, "", Protocol::Tcp),
            (3306, "http", Protocol::Http),
            (3307, "squid", Protocol::Unknown),
        ] {
            let found = Protocol::of_service_port(number, name, None, None);
            assert_eq!(found, expected, "{number} {name:?}");
        }
    }
}

//! The protocol of a ServiceEntry port, as Istio reads it.
//!
//! Source: `pkg/config/protocol/instance.go` of istio/istio: the value is lower-cased, never
//! trimmed, and compared with a fixed list. The port's *name* plays no part.

use std::fmt;

/// What Istio makes of `ports[].protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Opaque TCP.
    Tcp,
    /// UDP: no listener is built.
    Udp,
    /// HTTP/1.1.
    Http,
    /// A value for `Sidecar.egress` only, which a ServiceEntry accepts nevertheless.
    HttpProxy,
    /// HTTP/2.
    Http2,
    /// gRPC.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
    /// TLS carrying HTTP.
    Https,
    /// TLS.
    Tls,
    /// MongoDB.
    Mongo,
    /// Redis.
    Redis,
    /// MySQL.
    MySql,
    /// No value: the sidecar sniffs.
    Absent,
    /// A value Istio does not know: the sidecar sniffs, and istiod's validation rejects it.
    Unknown,
}

/// Which kind of listener Istio builds
/// (`ModelProtocolToListenerProtocol` in `pilot/pkg/networking/networking.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerClass {
    /// Shares one `0.0.0.0_PORT` listener with every other HTTP service of the port.
    Http,
    /// A listener of its own where the address is a single IP.
    Tcp,
    /// TCP and HTTP filter chains side by side, told apart by sniffing.
    Auto,
    /// None at all.
    None,
}

impl Protocol {
    /// Every value Istio knows, as its documentation spells it.
    pub const KNOWN: [(&'static str, Protocol); 12] = [
        ("TCP", Protocol::Tcp),
        ("UDP", Protocol::Udp),
        ("HTTP", Protocol::Http),
        ("HTTP_PROXY", Protocol::HttpProxy),
        ("HTTP2", Protocol::Http2),
        ("GRPC", Protocol::Grpc),
        ("GRPC-Web", Protocol::GrpcWeb),
        ("HTTPS", Protocol::Https),
        ("TLS", Protocol::Tls),
        ("Mongo", Protocol::Mongo),
        ("Redis", Protocol::Redis),
        ("MySQL", Protocol::MySql),
    ];

    /// Reads the value of the field; `None` and the empty string are both [`Protocol::Absent`].
    pub fn parse(value: Option<&str>) -> Self {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Self::Absent;
        };
        Self::KNOWN
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(value))
            .map_or(Self::Unknown, |(_, protocol)| *protocol)
    }

    /// HTTP, HTTP2, GRPC, GRPC-Web or HTTP_PROXY: Envoy parses what the client sends.
    pub fn is_http(self) -> bool {
        matches!(
            self,
            Self::Http | Self::HttpProxy | Self::Http2 | Self::Grpc | Self::GrpcWeb
        )
    }

    /// Every protocol that Istio forwards without parsing it as HTTP, UDP excepted.
    pub fn is_tcp(self) -> bool {
        self.listener_class() == ListenerClass::Tcp
    }

    /// TLS or HTTPS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }

    /// No value, or one that Istio does not know.
    pub fn is_sniffed(self) -> bool {
        matches!(self, Self::Absent | Self::Unknown)
    }

    /// Mongo and MySQL never share a listener with another protocol
    /// (`isConflictWithWellKnownPort` in `pilot/pkg/networking/core/listener.go`).
    pub fn refuses_company(self) -> bool {
        matches!(self, Self::Mongo | Self::MySql)
    }

    /// Which kind of listener is built for it.
    pub fn listener_class(self) -> ListenerClass {
        match self {
            Self::Http | Self::HttpProxy | Self::Http2 | Self::Grpc | Self::GrpcWeb => {
                ListenerClass::Http
            }
            Self::Tcp | Self::Https | Self::Tls | Self::Mongo | Self::Redis | Self::MySql => {
                ListenerClass::Tcp
            }
            Self::Absent | Self::Unknown => ListenerClass::Auto,
            Self::Udp => ListenerClass::None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Absent => "no protocol",
            Self::Unknown => "an unknown protocol",
            known => Self::KNOWN
                .iter()
                .find(|(_, protocol)| protocol == known)
                .map_or("", |(name, _)| name),
        };
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::Protocol;

    #[test]
    fn forgives_case_and_nothing_else() {
        let table = [
            (Some("HTTP"), Protocol::Http),
            (Some("http"), Protocol::Http),
            (Some("grpc-web"), Protocol::GrpcWeb),
            (Some("grpcweb"), Protocol::Unknown),
            (Some("http_proxy"), Protocol::HttpProxy),
            (Some("tcp"), Protocol::Tcp),
            (Some("TCP "), Protocol::Unknown),
            (Some("HTTP\n"), Protocol::Unknown),
            (Some("\tHTTP"), Protocol::Unknown),
            (Some("ＨＴＴＰ"), Protocol::Unknown),
            (Some("h2c"), Protocol::Unknown),
            (Some("HBONE"), Protocol::Unknown),
            (Some(""), Protocol::Absent),
            (None, Protocol::Absent),
        ];
        for (value, expected) in table {
            assert_eq!(Protocol::parse(value), expected, "{value:?}");
        }
    }
}

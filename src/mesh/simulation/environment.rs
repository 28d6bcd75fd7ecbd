//! What a prediction depends on besides the objects: the mesh's settings, and what is known of
//! names.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// `meshConfig.outboundTrafficPolicy.mode`: what happens to a destination nobody declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutboundPolicy {
    /// Forwarded as it is.
    #[default]
    AllowAny,
    /// Closed.
    RegistryOnly,
    /// Forwarded; but HTTP is parsed (Istio 1.31 and newer).
    AllowAnyDynamicDns,
}

/// A minor version of Istio, 1.21 to 1.31. Behaviour was measured at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IstioVersion(u8);

/// `meshConfig.rootNamespace` where nothing says otherwise.
pub const ROOT_NAMESPACE: &str = "istio-system";

/// What the mesh is set to, and what is known of names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Environment<'a> {
    /// The outbound policy.
    pub outbound: OutboundPolicy,
    /// The version of Istio.
    pub version: IstioVersion,
    /// Where host names lead, as far as it is known; lower case.
    pub names: Option<&'a Names>,
    /// `meshConfig.rootNamespace`; `istio-system` where nothing says otherwise.
    pub root_namespace: Option<&'a str>,
    /// Whether sidecars capture DNS (`ISTIO_META_DNS_CAPTURE`) and so use the addresses that istiod
    /// allocates to hosts without one; before Istio 1.25 with `ISTIO_META_DNS_AUTO_ALLOCATE` beside it.
    pub captures_dns: bool,
}

impl<'a> Environment<'a> {
    pub(crate) fn root_namespace(&self) -> &'a str {
        self.root_namespace.unwrap_or(ROOT_NAMESPACE)
    }
}

/// Host name → addresses.
pub type Names = HashMap<Box<str>, Vec<IpAddr>>;

impl OutboundPolicy {
    /// Every mode, as Istio spells it.
    pub const ALL: [(&'static str, OutboundPolicy); 3] = [
        ("ALLOW_ANY", OutboundPolicy::AllowAny),
        ("REGISTRY_ONLY", OutboundPolicy::RegistryOnly),
        ("ALLOW_ANY_DYNAMIC_DNS", OutboundPolicy::AllowAnyDynamicDns),
    ];
}

impl fmt::Display for OutboundPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::ALL.iter().find(|(_, policy)| policy == self);
        f.write_str(known.map_or("", |(name, _)| name))
    }
}

impl FromStr for OutboundPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().find(|(name, _)| *name == text);
        known.map(|(_, policy)| *policy).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name).join(", ");
            format!("{text:?} is not an outbound traffic policy; use one of {names}")
        })
    }
}

impl IstioVersion {
    /// 1.21, of 2024-02.
    pub const OLDEST: Self = Self(21);
    /// 1.31, of 2026-08.
    pub const NEWEST: Self = Self(31);

    /// Whether an import with `~` may hide what another shows (`pilot/pkg/model/sidecar.go`): of the two measured
    /// versions in the newer one, between them perhaps.
    pub(crate) fn may_hide_imports(self) -> bool {
        self > Self::OLDEST
    }

    /// The 31 of 1.31.
    pub fn minor(self) -> u8 {
        self.0
    }
}

impl Default for IstioVersion {
    fn default() -> Self {
        Self::NEWEST
    }
}

impl fmt::Display for IstioVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

impl FromStr for IstioVersion {
    type Err = String;

    /// Reads `1.21` to `1.31`; a patch level (`1.24.2`) is allowed and ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.trim_start_matches('v').split('.');
        let major = parts.next();
        let minor = parts.next().and_then(|minor| minor.parse::<u8>().ok());
        let known = Self::OLDEST.0..=Self::NEWEST.0;
        match (major, minor) {
            (Some("1"), Some(minor)) if known.contains(&minor) => Ok(Self(minor)),
            _ => Err(format!(
                "{text:?} is not a version of Istio between {} and {}; write it as \"{}\"",
                Self::OLDEST,
                Self::NEWEST,
                Self::NEWEST
            )),
        }
    }
}

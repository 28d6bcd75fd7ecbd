//! The guard's way to the API server.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::{Balancer, free_address};

/// A way that can be cut, for one guard alone.
pub(crate) struct Way {
    /// What is its API server to the guard.
    pub(crate) begins: SocketAddr,
    /// None while who dials is refused.
    listener: Option<TcpListener>,
    /// None while nobody accepts what comes to the listener: the guard is connected, and not answered.
    open: Option<Balancer>,
}

impl Way {
    /// One that is cut.
    pub(crate) fn new() -> Self {
        Self {
            begins: free_address(Ipv4Addr::LOCALHOST),
            listener: None,
            open: None,
        }
    }

    pub(crate) fn open(&mut self, api_server: SocketAddr) {
        let bind = || TcpListener::bind(self.begins).expect("it was cut");
        let listener = self.listener.get_or_insert_with(bind);
        let way = Balancer::accepting(listener.try_clone().expect("a socket"));
        way.forward_to([api_server]);
        self.open = Some(way);
    }

    /// Ends every connection; who dials waits until it is open.
    pub(crate) fn hold(&mut self) {
        self.open = None;
    }

    /// Ends every connection; who dials is refused.
    pub(crate) fn cut(&mut self) {
        self.hold();
        self.listener = None;
    }
}

//! The processes behind the connections.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use super::session::Description;

/// One host process.
pub(super) struct Host {
    /// Becomes readable when the process ends (pidfd_open(2)); None on kernels before 5.3.
    pub pidfd: Option<OwnedFd>,
    /// As its hello says; a host that only speaks minidumper's protocol has none.
    pub description: Option<Description>,
    /// How many connections it has open.
    pub sessions: usize,
}

/// All hosts, by process id.
pub(super) type Hosts = BTreeMap<i32, Host>;

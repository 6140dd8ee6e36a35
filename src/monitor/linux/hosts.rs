//! The processes behind the connections.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use super::heartbeat::Heartbeat;
use super::host_page::HostPage;
use super::process_info::ProcessInfo;
use super::session::Description;

/// One host process.
pub(super) struct Host {
    /// Becomes readable when the process ends (pidfd_open(2)); None on kernels before 5.3.
    pub pidfd: Option<OwnedFd>,
    /// As its hello says; a host that only speaks minidumper's protocol has none.
    pub description: Option<Description>,
    /// How many connections it has open.
    pub sessions: usize,
    /// What its records will say of it, of a host with a description; read while it can be.
    pub info: Option<ProcessInfo>,
    /// It said goodbye, or reported a crash: its end is no news.
    pub accounted_for: bool,
    pub page: HostPage,
    /// None for a host that promised no sign of life.
    pub heartbeat: Option<Heartbeat>,
}

/// All hosts, by process id.
pub(super) type Hosts = BTreeMap<i32, Host>;

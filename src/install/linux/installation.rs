//! One installation: what `cm_install` makes and `cm_uninstall` undoes.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::connect::{self, Connection};
use super::{ensure_stack, start};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::handler::{self, Armed, CrashLink, HandlerConfig, Memory};
use crate::install::{dump_dir, timed_out, unusable};
use crate::page::host;
use crate::status::CM_ERR_HANDLER;
use crate::sys::raw::{self, Deadline, Errno, FileIdentity, SocketAddress};
use crate::sys::spawn::Program;
use crate::wire;

/// How long a message waits for room in the socket's queue, where the monitor is stopped.
const ANNOUNCE: Duration = Duration::from_secs(1);

/// A connection to a monitor, before the handlers are installed.
pub(super) struct Connected {
    connection: Connection,
    identity: FileIdentity,
    monitor: Option<Program>,
}

impl Connected {
    /// Makes the directory and finds or starts a monitor: everything that can fail for reasons outside this process.
    pub(super) fn to_monitor(settings: &Settings) -> Result<Self> {
        dump_dir::make(&settings.dump_dir)?;
        host::set_log_bytes(settings.log_bytes)?;
        let deadline = Deadline::after(settings.deadline);
        let program = start::program(settings)?;
        let connection = start::find_or_start(settings, &program, deadline)?;
        let identity = raw::identity(connection.link.as_raw_fd())
            .map_err(|errno| Error::system("cannot examine the connection to the monitor", errno))?;
        Ok(Self { connection, identity, monitor: program.ok() })
    }

    /// Installs the handlers.
    pub(super) fn arm(self, settings: Settings, memory: &mut Memory) -> Result<Installation> {
        ensure_stack()?;
        let Self { connection: Connection { link, monitor_pid, welcomed }, identity, monitor } = self;
        let pid = raw::getpid();
        let mut hello = connect::hello_message(&settings);
        hello.truncate(hello.len() - size_of_val(&pid));
        let config = HandlerConfig {
            pid,
            link: CrashLink { fd: link.as_raw_fd(), identity },
            welcomed,
            monitor_pid,
            uid: rustix::process::geteuid().as_raw(),
            address: SocketAddress::new(settings.socket_path.as_os_str().as_encoded_bytes()),
            hello: &hello,
            strategy: settings.strategy,
            callback: settings.crash_callback,
            deadline: settings.deadline,
            monitor: monitor.as_ref(),
        };
        let armed = memory
            .arm(&config)
            .map_err(|error| Error::new(CM_ERR_HANDLER, format!("cannot attach the signal handlers: {error}")))?;
        raw::allow_tracer(monitor_pid);
        Ok(Installation { settings, armed: Some(armed), link, welcomed, identity, pid, retry: None })
    }
}

/// An armed process.
pub(super) struct Installation {
    pub(super) settings: Settings,
    /// None while the handlers are installed again, and after that has failed.
    armed: Option<Armed>,
    link: OwnedFd,
    /// Whether the monitor has answered the hello, and so knows all our messages.
    pub(super) welcomed: bool,
    identity: FileIdentity,
    /// The process that installed. A forked child inherits this structure with its parent's connection.
    pid: i32,
    /// None unless the monitor has ended and could not be replaced.
    pub(super) retry: Option<Retry>,
}

/// When a monitor may be looked for again.
pub(super) struct Retry {
    pub(super) not_before: Instant,
    pub(super) delay: Duration,
}

impl Installation {
    /// Replaces the connection by one to another monitor, and installs our handlers again.
    pub(super) fn reconnect(&mut self, connected: Connected, settings: Settings, memory: &mut Memory) -> Result<()> {
        // Armed again without disarming first, so that a crash of another thread in between is not missed.
        self.armed = None;
        let anew = connected.arm(settings, memory)?;
        std::mem::replace(self, anew).disarm();
        Ok(())
    }

    /// Has the monitor look at the heartbeat in the page.
    pub(super) fn announce_heartbeat(&self) -> Result<()> {
        let message = wire::header(wire::KIND_USER + wire::USER_HEARTBEAT, 0);
        match raw::send(self.link.as_raw_fd(), [&message, &[]], Deadline::after(ANNOUNCE)) {
            Ok(()) => Ok(()),
            Err(Errno(libc::ETIMEDOUT)) => Err(timed_out(&self.settings, "take a message", ANNOUNCE)),
            Err(errno) => Err(unusable(&self.settings, format_args!("talking to the monitor failed: {errno}"))),
        }
    }

    /// Puts back the previous handlers and closes the connection.
    pub(super) fn disarm(self) {
        let link_is_ours = self.link_is_ours();
        let Self { armed, link, .. } = self;
        if let Some(armed) = armed {
            handler::disarm(armed);
            raw::allow_tracer(0);
        }
        if !link_is_ours {
            // The host has closed its descriptors and may have reused this number: closing it would close another file.
            std::mem::forget(link);
        }
    }

    /// Whether the link's number still means our socket.
    fn link_is_ours(&self) -> bool {
        raw::identity(self.link.as_raw_fd()) == Ok(self.identity)
    }

    /// Whether the link is this process's own and the monitor has not closed it.
    pub(super) fn monitor_is_there(&self) -> bool {
        self.pid == raw::getpid() && self.link_is_ours() && !raw::is_hung_up(self.link.as_raw_fd())
    }

    /// Tells the monitor that this process's end needs no record. Does not wait, and does nothing in a forked child, whose
    /// connection is its parent's.
    pub(super) fn say_goodbye(&self) {
        if self.pid == raw::getpid() && self.link_is_ours() {
            let goodbye = wire::header(wire::KIND_USER + wire::USER_GOODBYE, 0);
            // The monitor may have gone already, and then needs no goodbye.
            let _ = raw::send(self.link.as_raw_fd(), [&goodbye, &[]], Deadline::after(Duration::ZERO));
        }
    }
}

//! One installation: what `cm_install` makes and `cm_uninstall` undoes.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use super::connect::{self, Connection};
use super::extras::{self, Message};
use super::{init_thread, start};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::handler::{self, Armed, CrashLink, HandlerConfig};
use crate::install::dump_dir;
use crate::status::CM_ERR_HANDLER;
use crate::sys::raw::{self, Deadline, FileIdentity, SocketAddress};
use crate::sys::spawn::Program;
use crate::wire::{self, Role};

/// Both connections to a monitor, and nothing attached yet.
pub(super) struct Connected {
    crash: Connection,
    control: minidumper::Client,
    identity: FileIdentity,
    monitor: Option<Program>,
}

impl Connected {
    /// Does everything that can fail for reasons outside this process.
    pub(super) fn to_monitor(settings: &Settings) -> Result<Self> {
        dump_dir::make(&settings.dump_dir)?;
        let deadline = Deadline::after(settings.deadline);
        let program = start::program(settings)?;
        let crash = start::find_or_start(settings, &program, deadline)?;
        let control = connect::control(settings)?;
        for message in extras::all() {
            control.send_message(message.number, message.payload).map_err(|error| connect::lost(settings, &error))?;
        }
        let identity = raw::identity(crash.link.as_raw_fd())
            .map_err(|errno| Error::system("cannot examine the crash connection", errno))?;
        Ok(Self { crash, control, identity, monitor: program.ok() })
    }

    /// Attaches the handlers.
    pub(super) fn arm(self, settings: Settings) -> Result<Installation> {
        init_thread()?;
        let Self { crash, control, identity, monitor } = self;
        let pid = raw::getpid();
        let mut hello = connect::hello_message(&settings, Role::Crash);
        hello.truncate(hello.len() - size_of_val(&pid));
        let config = HandlerConfig {
            pid,
            link: CrashLink { fd: crash.link.as_raw_fd(), identity },
            monitor_pid: crash.monitor_pid,
            uid: rustix::process::geteuid().as_raw(),
            address: SocketAddress::new(settings.socket_path.as_os_str().as_encoded_bytes()),
            hello: &hello,
            strategy: settings.strategy,
            callback: settings.crash_callback,
            deadline: settings.deadline,
            monitor: monitor.as_ref(),
        };
        let armed = handler::arm(&config)
            .map_err(|error| Error::new(CM_ERR_HANDLER, format!("cannot attach the signal handlers: {error}")))?;
        raw::allow_tracer(crash.monitor_pid);
        let heartbeat = Duration::ZERO;
        let Connection { link, welcomed, .. } = crash;
        Ok(Installation { settings, heartbeat, armed: Some(armed), control, link, welcomed, identity, pid })
    }
}

/// An armed process.
pub(super) struct Installation {
    pub(super) settings: Settings,
    /// The time within which signs of life are promised; zero for none.
    pub(super) heartbeat: Duration,
    /// None only while the handlers are attached anew, and after that failed.
    armed: Option<Armed>,
    control: minidumper::Client,
    link: OwnedFd,
    /// Whether the monitor has welcomed us, and so knows all our messages.
    pub(super) welcomed: bool,
    identity: FileIdentity,
    /// The process that installed; a forked child inherits this structure with its parent's connections.
    pid: i32,
}

impl Installation {
    /// Goes over to another monitor, and puts our handlers in front again.
    pub(super) fn reconnect(&mut self, connected: Connected) -> Result<()> {
        // Armed anew without being disarmed: a crash of another thread at this moment is not to be missed.
        self.armed = None;
        let mut anew = connected.arm(self.settings.clone())?;
        anew.heartbeat = self.heartbeat;
        std::mem::replace(self, anew).disarm();
        Ok(())
    }

    /// Sends to the monitor on the control connection.
    pub(super) fn send(&self, message: &Message) -> Result<()> {
        let sent = self.control.send_message(message.number, &message.payload);
        sent.map_err(|error| connect::lost(&self.settings, &error))
    }

    /// Takes the handlers away and closes the connections.
    pub(super) fn disarm(self) {
        let link_is_ours = self.link_is_ours();
        let Self { armed, control, link, .. } = self;
        if let Some(armed) = armed {
            handler::disarm(armed);
            raw::allow_tracer(0);
        }
        if !link_is_ours {
            // The host has closed its descriptors and may have given our numbers to something else, which closing them
            // would hit.
            std::mem::forget((control, link));
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

    /// Tells the monitor that this process's end is no news. Does not wait; a forked child has nothing to say.
    pub(super) fn say_goodbye(&self) {
        if self.pid == raw::getpid() && self.link_is_ours() {
            let goodbye = wire::header(wire::KIND_USER + wire::USER_GOODBYE, 0);
            // The monitor may have gone already, and then needs no goodbye.
            let _ = raw::send(self.link.as_raw_fd(), [&goodbye, &[]], Deadline::after(Duration::ZERO));
        }
    }
}

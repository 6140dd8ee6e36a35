//! Who has sent a crash signal, where it was sent and not raised by what the thread did.

use std::fmt;

use minidump_writer::crash_context::CrashContext;
use serde_json::{Value, json};

/// The process and user that the kernel has put into the siginfo (sigaction(2)).
pub(super) struct Sender {
    pid: u32,
    uid: u32,
    is_itself: bool,
}

/// None for a signal that has no sender: its siginfo has an address, a timer or nothing there.
pub(super) fn of_crash(context: &CrashContext) -> Option<Sender> {
    let info = &context.siginfo;
    let is_sent = matches!(info.ssi_code, libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL);
    is_sent.then_some(Sender { pid: info.ssi_pid, uid: info.ssi_uid, is_itself: info.ssi_pid == context.pid as u32 })
}

impl Sender {
    pub(super) fn to_json(&self) -> Value {
        json!({ "pid": self.pid, "uid": self.uid })
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, uid, is_itself } = self;
        match pid {
            _ if *is_itself => write!(f, "the process itself"),
            // pid_namespaces(7)
            0 => write!(f, "a process of another pid name space, user {uid}"),
            _ => write!(f, "process {pid}, user {uid}"),
        }
    }
}

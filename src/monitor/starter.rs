//! The host that has started this monitor and waits until it is ready.

use std::fs::File;
use std::io::Write;

use super::Options;
use crate::error::Error;
use crate::wire;

/// The pipe to it, if there is one.
pub(super) struct Starter(Option<File>);

impl Starter {
    pub(super) fn of(options: &Options) -> Self {
        Self(options.ready_fd.and_then(inherited))
    }

    /// Tells how starting went. A starter that is gone is no reason not to serve others.
    pub(super) fn tell(&mut self, outcome: Result<(), &Error>) {
        if let Some(pipe) = &mut self.0 {
            let _ = pipe.write_all(&wire::ready(outcome.map_err(Error::message)));
        }
    }

    /// The pipe: while its reader waits, a host is about to connect.
    pub(super) fn into_pipe(self) -> Option<File> {
        self.0
    }
}

#[cfg(target_os = "linux")]
fn inherited(fd: i32) -> Option<File> {
    crate::sys::process::inherited(fd).map(File::from)
}

/// Elsewhere it is standard output, whatever the number.
#[cfg(not(target_os = "linux"))]
fn inherited(_fd: i32) -> Option<File> {
    #[cfg(unix)]
    let pipe = std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned();
    #[cfg(windows)]
    let pipe = std::os::windows::io::AsHandle::as_handle(&std::io::stdout()).try_clone_to_owned();
    pipe.ok().map(File::from)
}

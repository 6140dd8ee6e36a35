//! Starting a monitor and waiting until it is ready.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::connect::{self, Connection};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::install::{monitor_program, timed_out, unusable};
use crate::status::CM_ERR_MONITOR_START;
use crate::sys::program;
use crate::sys::raw::{self, Deadline, Errno};
use crate::sys::spawn::{Program, READY_FD};
use crate::wire;

/// What the dynamic loader needs to find this library again for a host that is its own monitor.
const KEPT_VARIABLE: &str = "LD_LIBRARY_PATH";

/// The monitor to start, or the error that says where one was looked for. The outer error is another failure.
pub(super) fn program(settings: &Settings) -> Result<Result<Program>> {
    let path = match monitor_program::executable(settings) {
        Ok(path) => path,
        Err(error) => return Ok(Err(error)),
    };
    let secure = program::is_privileged();
    let environment = std::env::var_os(KEPT_VARIABLE).filter(|_| !secure).map(|value| {
        let mut pair = OsString::from(format!("{KEPT_VARIABLE}="));
        pair.push(value);
        pair
    });
    let strings = |strings: Vec<OsString>| strings.into_iter().map(|s| c_string(s.into_vec())).collect();
    Ok(Ok(Program {
        path: c_string(path.as_os_str().as_bytes().to_vec()),
        arguments: strings(monitor_program::command_line(settings, READY_FD)),
        environment: strings(environment.into_iter().collect()),
    }))
}

/// Paths from C, the environment or the kernel hold no NUL.
fn c_string(bytes: Vec<u8>) -> CString {
    CString::new(bytes).unwrap_or_default()
}

/// How often a monitor is looked for and started. One that listens may be about to end, and a new one that finds it
/// listening ends at once.
const ATTEMPTS: usize = 3;

/// Connects to a monitor, which is started where none listens.
pub(super) fn find_or_start(settings: &Settings, program: &Result<Program>, deadline: Deadline) -> Result<Connection> {
    for _ in 0..ATTEMPTS {
        if let Some(connection) = connect::to_living_monitor(settings, deadline)? {
            return Ok(connection);
        }
        if let Some(connection) = start_and_connect(settings, program, deadline)? {
            return Ok(connection);
        }
    }
    Err(unusable(settings, "the monitor hung up at once; does it serve too many hosts already?"))
}

/// Starts a monitor and connects to the one that listens then: this one, or one that another host has started first.
fn start_and_connect(settings: &Settings, program: &Result<Program>, deadline: Deadline) -> Result<Option<Connection>> {
    let program = program.as_ref().map_err(Clone::clone)?;
    if !Path::new("/proc/self/stat").exists() {
        return Err(Error::new(
            CM_ERR_MONITOR_START,
            "no monitor runs, and none can read processes here: /proc is not mounted (proc(5))",
        ));
    }
    // The read end is kept open until the connection is made: a monitor without a host waits for one as long as that.
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| Error::system("cannot make a pipe", errno))?;
    let path = Path::new(OsStr::from_bytes(program.path().to_bytes()));
    let not_started = |errno| monitor_program::failed(path, format!("cannot be started: {errno}"));
    let pid = program.start(write.as_raw_fd()).map_err(not_started)?;
    drop(write);

    let mut answer = [0; wire::READY_MAX];
    match raw::read(read.as_raw_fd(), &mut answer, deadline) {
        Ok(length) => monitor_program::check_ready(path, &answer[..length])?,
        Err(Errno(libc::ETIMEDOUT)) => {
            raw::kill(pid);
            return Err(timed_out(settings, "become ready", settings.deadline));
        }
        Err(errno) => return Err(Error::system("cannot read the monitor's ready pipe", errno)),
    }
    connect::to_living_monitor(settings, deadline)
}

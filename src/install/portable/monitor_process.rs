//! Finding a monitor, or starting one.

use std::io::{ErrorKind, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use minidumper::{Client, SocketName};

use crate::config::Settings;
use crate::error::Result;
use crate::install::{hello_payload, monitor_program, refuse_other_file, timed_out, unusable};
use crate::wire;

/// A monitor writes to its standard output when it is ready.
const READY_FD: i32 = 1;

/// Connects to the monitor at the socket path, which is started where none listens.
pub(super) fn connect(settings: &Settings) -> Result<Client> {
    refuse_other_file(settings)?;
    if let Ok(client) = to_living_monitor(settings) {
        return Ok(client);
    }
    // A monitor that listens may be about to end, and a new one that finds it listening ends at once.
    start(settings)?;
    to_living_monitor(settings).or_else(|_| {
        start(settings)?;
        to_living_monitor(settings).map_err(|error| unusable(settings, error))
    })
}

fn to_living_monitor(settings: &Settings) -> std::result::Result<Client, minidumper::Error> {
    let client = Client::with_name(SocketName::Path(&settings.socket_path))?;
    client.send_message(wire::USER_HELLO, hello_payload(settings, 0))?;
    client.ping()?;
    Ok(client)
}

/// Starts a monitor and waits until it is ready.
fn start(settings: &Settings) -> Result<()> {
    let program = monitor_program::executable(settings)?;
    let failed = |why: String| monitor_program::failed(&program, why);
    let mut command = Command::new(&program);
    // Its name comes first, which Command gives by itself.
    command.args(&monitor_program::command_line(settings, READY_FD)[1..]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    detach(&mut command);
    let mut monitor = command.spawn().map_err(|error| failed(format!("cannot be started: {error}")))?;
    match read_ready_message(&mut monitor, settings) {
        Ok(message) => monitor_program::check_ready(&program, &message),
        Err(RecvTimeoutError::Timeout) => {
            // It may have ended by itself meanwhile.
            let _ = monitor.kill();
            Err(timed_out(settings, "become ready", settings.deadline))
        }
        Err(RecvTimeoutError::Disconnected) => Err(failed("closed its standard output".to_owned())),
    }
}

/// The message that a monitor writes to its standard output, within the deadline.
fn read_ready_message(monitor: &mut Child, settings: &Settings) -> std::result::Result<Vec<u8>, RecvTimeoutError> {
    let stdout = monitor.stdout.take();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut message = [0; wire::READY_MAX];
        let read = |mut stdout: ChildStdout| loop {
            match stdout.read(&mut message) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        };
        if let Some(Ok(length)) = stdout.map(read) {
            // After the deadline the receiver is gone.
            let _ = sender.send(message[..length].to_vec());
        }
    });
    receiver.recv_timeout(settings.deadline)
}

/// Keeps a terminal's signals and the host's descriptors from the monitor, which may outlive the host.
#[cfg(unix)]
fn detach(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
    crate::sys::descriptors::inherit_none(command);
}

/// Keeps a console's signals from the monitor.
#[cfg(windows)]
fn detach(command: &mut Command) {
    const DETACHED_PROCESS: u32 = 0x8;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    std::os::windows::process::CommandExt::creation_flags(command, DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
}

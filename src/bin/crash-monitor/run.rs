//! `crash-monitor run`: a monitor that is started by hand or by a service manager.

use std::ffi::OsString;

use crash_monitor::{CM_ERR_COMMAND_LINE, Error, monitor};

use crate::Failure;

pub const HELP: &str = "\
crash-monitor run: runs a monitor that hosts connect to

Usage: crash-monitor run --dump-dir DIR [options]

Usually not needed: cm_install starts a monitor where none listens. A monitor
of your own serves all hosts of your user whose cm_install names its socket,
and writes each one's dumps where that host asked for them.

Options:
  --dump-dir DIR    Where the dumps go of hosts that name no directory; made,
                    with mode 0700, where it does not exist
  --socket PATH     Where to listen, at most 107 bytes (103 on macOS); its
                    directory has to exist [default: DIR/monitor.sock]
  --stay            Go on when the last host has gone. Without this the monitor
                    waits for a first host and ends after the last one
  --log-file FILE   Append the log to FILE [default: standard error]
  --log-level LEVEL off, error, warn, info (a line per event) or debug
                    [default: info]
  --backend NAME    linux, or minidumper: the server of that package, which has
                    no records, attachments or annotations and writes one dump
                    at a time [default: linux; on other systems minidumper,
                    the only one there]
  -h, --help        Print this

After SIGTERM the monitor takes no new hosts and ends with the last one that
it has, so that a service manager may send it to all processes at once. A
second SIGTERM ends it once the dumps in progress are written; with --backend
minidumper the first one does. Ctrl-C does not end it: it is meant for the
hosts. A monitor that finds another one listening at its socket ends at once,
with success.

Exit status: 0 when it has served, 1 on failure, 2 for a wrong command line.

Example:
  crash-monitor run --dump-dir ~/crashes --stay --log-file ~/crashes/log
";

/// Serves until the last host has gone.
pub fn run(arguments: Vec<OsString>) -> Result<(), Failure> {
    monitor::Options::parse(arguments).and_then(|options| monitor::run(&options)).map_err(failure)
}

/// What a monitor's error means for the command.
pub fn failure(error: Error) -> Failure {
    match error.status() {
        CM_ERR_COMMAND_LINE => Failure::Usage(error.to_string(), "crash-monitor run"),
        _ => Failure::Work(error.to_string()),
    }
}

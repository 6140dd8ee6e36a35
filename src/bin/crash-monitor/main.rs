//! The `crash-monitor` executable: the monitor as a program of its own, and the reader of its dumps.

mod run;
mod show;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use crash_monitor::monitor;
use lexopt::Arg;

const VERSION: &str = concat!("crash-monitor ", env!("CARGO_PKG_VERSION"), "\n");

const USAGE: &str = "\
Usage: crash-monitor show [--all-threads] FILE.dmp...
       crash-monitor run --dump-dir DIR [options]";

const HELP: &str = "\
crash-monitor: writes a dump when a program crashes, and shows what is in it

A program that crashes cannot be trusted to write down why: the crash may have
damaged its memory. So a second, healthy process waits beside it: its monitor.
When the program crashes, the monitor reads the program's stacks and registers
and writes them to a file, a minidump.

A program that is to be monitored (a host) calls cm_install, which starts the
monitor. You do not have to: this command is for reading dumps, and for the
case that several hosts are to share a monitor that outlives them.

Commands:
  crash-monitor show FILE.dmp...        Print what crashed, and where
  crash-monitor run --dump-dir DIR      Run a monitor
Options:
  -h, --help                            Print this, or a command's own help
  -V, --version                         Print the version

Dumps lie in the directory that the host gave to cm_install, and are named
<program>-<unix time>-<pid>.dmp.

Example:
  crash-monitor show crashes/app-1764104400-4242.dmp
";

/// Why the work was not done.
enum Failure {
    /// The command line is wrong: how, and where it says what would be right.
    Usage(String, &'static str),
    /// Something else, said in full.
    Work(String),
}

fn main() -> ExitCode {
    match dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(what, command)) => {
            eprintln!("crash-monitor: {what}\nTry `{command} --help`.");
            ExitCode::from(2)
        }
        Err(Failure::Work(what)) => {
            eprintln!("crash-monitor: {what}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<(), Failure> {
    // How the library starts a monitor: with `--crash-monitor` instead of a command.
    if monitor::run_from_command_line().map_err(run::failure)? {
        return Ok(());
    }
    let wrong = |what: &dyn std::fmt::Display| Failure::Usage(what.to_string(), "crash-monitor");
    let mut parser = lexopt::Parser::from_env();
    let command = match parser.next().map_err(|error| wrong(&error))? {
        None => return Err(wrong(&format_args!("a command is missing\n{USAGE}"))),
        Some(Arg::Long("help") | Arg::Short('h')) => return print(HELP),
        Some(Arg::Long("version") | Arg::Short('V')) => return print(VERSION),
        Some(Arg::Value(command)) => command,
        Some(other) => return Err(wrong(&other.unexpected())),
    };
    let arguments: Vec<OsString> = parser.raw_args().map_err(|error| wrong(&error))?.collect();
    let mut options = arguments.iter().take_while(|argument| *argument != "--");
    let help = options.any(|option| option == "--help" || option == "-h");
    match command.to_str() {
        Some("run") if help => print(run::HELP),
        Some("run") => run::run(arguments),
        Some("show") if help => print(show::HELP),
        Some("show") => show::show(arguments),
        _ => Err(wrong(&format_args!("no command `{}`: there are `show` and `run`", command.display()))),
    }
}

/// Writes to standard output. A reader who has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Work(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

//! `crash-monitor show`: a minidump as text.

#[cfg(feature = "show")]
mod dump;
#[cfg(feature = "show")]
mod frames;
#[cfg(feature = "show")]
mod report;
#[cfg(feature = "show")]
mod stack;
#[cfg(feature = "show")]
mod symbols;

use std::ffi::OsString;

use crate::Failure;

pub const HELP: &str = "\
crash-monitor show: prints what crashed, and where

Usage: crash-monitor show [--all-threads] FILE.dmp...

Prints the process, the signal and the address of the fault, and the stack of
the thread that crashed: the function that crashed first, its callers below.
Names and lines come from the program's files on this machine, as they were
when it crashed: build with -g, and keep the files (or their debug files in
/usr/lib/debug/.build-id). Without them a frame is a file and an offset in it.

Options:
  --all-threads     Print the stacks of the other threads too
  -h, --help        Print this

Exit status: 0 when the dump is shown, 1 on failure, 2 for a wrong command line.

Example:
  crash-monitor show crashes/app-1764104400-4242.dmp
";

/// Prints the dump that the arguments name.
#[cfg(feature = "show")]
pub fn show(arguments: Vec<OsString>) -> Result<(), Failure> {
    let wrong = |error: lexopt::Error| Failure::Usage(error.to_string(), "crash-monitor show");
    let (mut paths, mut all_threads) = (Vec::new(), false);
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            lexopt::Arg::Long("all-threads") => all_threads = true,
            lexopt::Arg::Value(value) => paths.push(std::path::PathBuf::from(value)),
            other => return Err(wrong(other.unexpected())),
        }
    }
    if paths.is_empty() {
        return Err(wrong("a dump file is missing".into()));
    }
    for (number, path) in paths.iter().enumerate() {
        let text = report::of_file(path, all_threads);
        let text = text.map_err(|why| Failure::Work(format!("{}: {why}", path.display())))?;
        crate::print(&format!("{}{text}", if number > 0 { "\n" } else { "" }))?;
    }
    Ok(())
}

/// A name that the process may have chosen, which is not to look like further lines.
#[cfg(feature = "show")]
fn one_line(name: &str) -> String {
    name.replace('\n', "?")
}

/// Becomes the executable beside this one that was built with this command: what reads debug information is not to be in the
/// one that `cm_install` starts.
#[cfg(not(feature = "show"))]
pub fn show(arguments: Vec<OsString>) -> Result<(), Failure> {
    let own = std::env::current_exe().map_err(|error| Failure::Work(format!("cannot find this program: {error}")))?;
    let other = own.with_file_name("crash-monitor-show");
    let mut command = std::process::Command::new(&other);
    command.arg("show").args(arguments);
    #[cfg(unix)]
    let error = std::os::unix::process::CommandExt::exec(&mut command);
    #[cfg(not(unix))]
    let error = match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    };
    Err(Failure::Work(format!("cannot run {}, which shows dumps: {error}", other.display())))
}

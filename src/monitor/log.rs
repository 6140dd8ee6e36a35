//! The monitor's log: a line an event, to a file or to standard error.

use std::fs::File;
use std::io::Write;
use std::sync::Mutex;
use std::time::SystemTime;

use log::{Log, Metadata, Record};

use super::callbacks;
use super::options::Options;
use crate::error::{Error, Result};
use crate::sys::clock::utc;
use crate::sys::files;

/// Sends the process's log records to where the options say. A host in Rust that has a logger already keeps it.
///
/// A monitor that a host has started logs nothing without a log file: its standard error is /dev/null.
pub(super) fn start(options: &Options) -> Result<()> {
    if options.log_file.is_none() && options.ready_fd.is_some() && callbacks::log().is_none() {
        return Ok(());
    }
    let file = options.log_file.as_deref().map(|path| {
        files::private()
            .append(true)
            .create(true)
            .open(path)
            .map_err(|error| Error::system(format_args!("cannot open the log file {}", path.display()), error))
    });
    let sink = Sink { file: file.transpose()?.map(Mutex::new) };
    if log::set_boxed_logger(Box::new(sink)).is_ok() {
        log::set_max_level(options.log_level);
    }
    Ok(())
}

struct Sink {
    file: Option<Mutex<File>>,
}

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // A host's text must not be able to add lines to the log.
        let message = record.args().to_string().replace(char::is_control, "\u{fffd}");
        let line = format!(
            "{} {:5} crash-monitor[{}] {message}\n",
            utc(SystemTime::now()),
            record.level(),
            std::process::id(),
        );
        if let Some(callback) = callbacks::log() {
            callback(record.level() as u32, &message);
        }
        // One write(2) a line, so that the lines of the monitor and of its writers do not mix. A failure cannot be reported
        // anywhere.
        let _ = match &self.file {
            Some(file) => file.lock().map(|mut file| file.write_all(line.as_bytes())).unwrap_or(Ok(())),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }

    fn flush(&self) {}
}

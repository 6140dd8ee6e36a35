//! What minidumper's server asks and tells.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use minidumper::{LoopAction, MinidumpBinary, ServerHandler};

use super::state::State;
use crate::monitor::report_files::{self, NewFile};
use crate::settings;
use crate::wire::{self, Hello, PROTOCOL_VERSION};

pub(super) struct Handler(pub Arc<State>);

impl ServerHandler for Handler {
    /// Which host it is for, minidumper's server does not say before the dump is written.
    fn create_minidump_file(&self) -> io::Result<(File, PathBuf)> {
        let create = |directory: &Path| NewFile::create(directory, &report_files::stem(settings::APP_NAME_DEFAULT, 0));
        let own = &self.0.dump_dir;
        // Hosts name directories of their own.
        let new = create(own).or_else(|_| create(&std::env::temp_dir()));
        let new = new.inspect_err(|error| log::error!("cannot make a file in {}: {error}", own.display()))?;
        let file = new.file.try_clone()?;
        *self.0.writing() = Some(new);
        Ok((file, PathBuf::new()))
    }

    fn on_minidump_created(&self, result: std::result::Result<MinidumpBinary, minidumper::Error>) -> LoopAction {
        match result {
            Ok(dump) => self.0.publish(dump),
            Err(error) => {
                self.0.writing().take();
                log::error!("cannot write a dump: {error}");
            }
        }
        if cfg!(target_os = "macos") {
            // There the server forgets the crashed host's connection without a word.
            return self.0.go_on(self.0.connections.load(Ordering::Relaxed).saturating_sub(1));
        }
        LoopAction::Continue
    }

    fn on_message(&self, kind: u32, buffer: Vec<u8>) {
        match (kind, Hello::version_of(&buffer)) {
            (wire::USER_HELLO, Some(PROTOCOL_VERSION)) => match Hello::parse(&buffer) {
                Some(hello) => self.0.welcome(&hello),
                None => log::warn!("a host's hello is malformed"),
            },
            (wire::USER_HELLO, version) => {
                log::warn!("a host speaks protocol version {version:?}, this monitor {PROTOCOL_VERSION}");
            }
            _ => log::debug!("user message {kind} is not for this backend"),
        }
    }

    fn on_client_connected(&self, connections: usize) -> LoopAction {
        self.0.connections.store(connections, Ordering::Relaxed);
        LoopAction::Continue
    }

    fn on_client_disconnected(&self, connections: usize) -> LoopAction {
        self.0.go_on(connections)
    }
}

//! minidumper and crash-handler, put together as minidumper's own example does it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crash_handler::{CrashContext, CrashEventResult, CrashHandler};
use minidumper::{Client, LoopAction, MinidumpBinary, Server, ServerHandler, SocketName};

fn socket(directory: &Path) -> PathBuf {
    directory.join("dumps/monitor.sock")
}

/// The server process: serves until its last client has gone.
pub fn serve(directory: &Path) {
    let socket = socket(directory);
    let mut server = Server::with_name(SocketName::from(socket.as_path())).expect("listen");
    let handler = Box::new(Handler { dumps: directory.join("dumps"), count: AtomicU32::new(0) });
    server.run(handler, &AtomicBool::new(false), None).expect("serve");
}

struct Handler {
    dumps: PathBuf,
    count: AtomicU32,
}

impl ServerHandler for Handler {
    fn create_minidump_file(&self) -> Result<(File, PathBuf), std::io::Error> {
        let path = self.dumps.join(format!("{}.dmp", self.count.fetch_add(1, Ordering::Relaxed)));
        Ok((File::create(&path)?, path))
    }

    /// The file is closed here, by which the benchmark sees that the dump is whole.
    fn on_minidump_created(&self, result: Result<MinidumpBinary, minidumper::Error>) -> LoopAction {
        match result {
            Ok(mut dump) => dump.file.flush().expect("flush the dump"),
            Err(error) => eprintln!("minidumper: no dump: {error}"),
        }
        LoopAction::Continue
    }

    fn on_message(&self, _kind: u32, _buffer: Vec<u8>) {}

    fn on_client_disconnected(&self, clients: usize) -> LoopAction {
        if clients == 0 { LoopAction::Exit } else { LoopAction::Continue }
    }
}

/// The host's side.
pub fn install(directory: &Path) -> CrashHandler {
    let (client, server) = reach(directory);
    attach(server, move |context| client.request_dump(context).is_ok())
}

/// The same for a process that asks for dumps and lives on: the server closes a connection on which it has dumped, so each
/// dump has one of its own.
pub fn install_for_dumps(directory: &Path) -> (CrashHandler, Client) {
    let (client, server) = reach(directory);
    let directory = directory.to_owned();
    (attach(server, move |context| reach(&directory).0.request_dump(context).is_ok()), client)
}

fn attach(server: Option<u32>, dump: impl Fn(&CrashContext) -> bool + Send + Sync + 'static) -> CrashHandler {
    // SAFETY: minidumper's example; `request_dump` sends and receives and does no more.
    let event = unsafe { crash_handler::make_crash_event(move |context| CrashEventResult::Handled(dump(context))) };
    let handler = CrashHandler::attach(event).expect("attach the signal handlers");
    if let Some(server) = server {
        handler.set_ptracer(Some(server));
    }
    handler
}

/// Connects. Where no server listens, one is started; unlike the example, which sleeps for 100 ms, this tries to connect
/// again at once.
fn reach(directory: &Path) -> (Client, Option<u32>) {
    let mut server = None;
    loop {
        if let Ok(client) = Client::with_name(SocketName::from(socket(directory).as_path())) {
            return (client, server);
        }
        server.get_or_insert_with(|| start_server(directory));
        std::thread::yield_now();
    }
}

/// Gives its pid. It outlives this process.
fn start_server(directory: &Path) -> u32 {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.arg("minidumper-server").arg(directory).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().expect("start the server").id()
}

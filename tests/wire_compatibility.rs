//! The wire format is minidumper's: a host that uses `minidumper::Client` alone gets its dump from our monitor, and our
//! hosts get theirs from a `minidumper::Server`. Both run in processes of their own: this program, started once more.
//! A peer of another version, and one that speaks another protocol, are told apart.

#![allow(unsafe_code)] // Crashes.

mod common;

use std::fs::File;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use common::peer::{self, Peer, frame, numbers};
use common::{Dump, Host, Monitor, Running, Sandbox};
use crash_handler::{CrashEventResult, CrashHandler, make_crash_event};
use minidumper::{Client, LoopAction, MinidumpBinary, Server, ServerHandler, SocketName};

/// Holds the socket's path in a process that is not to be the test but its other half.
const SOCKET: &str = "WIRE_COMPATIBILITY_SOCKET";

/// Starts the other half of a test.
fn other_half(test: &str, socket: &Path) -> Running {
    let mut command = Command::new(std::env::current_exe().expect("this test program"));
    Running::start(command.args(["--exact", "--nocapture", test]).env(SOCKET, socket))
}

/// In the other half, the socket's path.
fn is_other_half() -> Option<PathBuf> {
    std::env::var_os(SOCKET).map(PathBuf::from)
}

/// A host as the documentation of minidumper shows it.
fn crash_as_minidumpers_client(socket: &Path) -> ! {
    let client = Client::with_name(SocketName::from(socket)).expect("connect");
    client.send_message(0, std::process::id().to_ne_bytes()).expect("send the pid");
    client.ping().expect("a pong");
    // SAFETY: the callback takes no lock and allocates nothing.
    let event =
        unsafe { make_crash_event(move |context| CrashEventResult::Handled(client.request_dump(context).is_ok())) };
    let _handler = CrashHandler::attach(event).expect("attach the handlers");
    // SAFETY: integers only.
    println!("\nready {} {}", std::process::id(), unsafe { libc::syscall(libc::SYS_gettid) });
    // SAFETY: not at all, and that is the point.
    unsafe { std::ptr::without_provenance_mut::<u32>(0xdead000).write_volatile(1) };
    unreachable!("it has crashed");
}

#[test]
fn a_host_that_uses_minidumpers_client_gets_its_dump() {
    if let Some(socket) = is_other_half() {
        crash_as_minidumpers_client(&socket);
    }
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let ended = other_half("a_host_that_uses_minidumpers_client_gets_its_dump", &sandbox.socket()).end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    let dump = sandbox.dump_of(ended.pid);
    dump.check_basics(&std::env::current_exe().unwrap(), ended.crashing_thread());
    assert_eq!(dump.signal(), libc::SIGSEGV);
    // It does not say under which name, so it has the default one.
    let file = dump.path.file_name().unwrap().to_str().unwrap();
    assert!(file.starts_with("app-"), "{file}");
    assert_eq!(sandbox.only_record()["tid"], ended.crashing_thread());
    assert_eq!(monitor.complaints(), Vec::<String>::new());
}

#[test]
fn a_client_may_ask_for_a_dump_and_live_on() {
    let sandbox = Sandbox::new();
    let _monitor = Monitor::start(&sandbox);
    let client = Client::with_name(SocketName::from(sandbox.socket().as_path())).expect("connect");
    client.ping().expect("a pong");
    // A dump of the living process, whose crash context says where this thread is.
    let mut context = peer::crash_context(std::process::id(), 0);
    // SAFETY: integers only.
    context.tid = unsafe { libc::syscall(libc::SYS_gettid) } as i32;
    client.request_dump(&context).expect("an ack");
    client.ping().expect("a pong: the connection stands");
    assert_eq!(sandbox.dump_of(std::process::id()).crashing_thread(), context.tid as u32);
}

/// Writes the one dump that it is asked for beside the socket.
struct OneDump {
    path: PathBuf,
}

impl ServerHandler for OneDump {
    fn create_minidump_file(&self) -> Result<(File, PathBuf), std::io::Error> {
        Ok((File::create(&self.path)?, self.path.clone()))
    }

    fn on_minidump_created(&self, result: Result<MinidumpBinary, minidumper::Error>) -> LoopAction {
        result.expect("a dump");
        LoopAction::Exit
    }

    fn on_message(&self, _kind: u32, _buffer: Vec<u8>) {}
}

#[test]
fn our_host_gets_its_dump_from_minidumpers_server() {
    if let Some(socket) = is_other_half() {
        let mut server = Server::with_name(SocketName::from(socket.as_path())).expect("listen");
        println!("\nlistening");
        let handler = OneDump { path: socket.with_extension("dmp") };
        return server.run(Box::new(handler), &AtomicBool::new(false), None).expect("serve");
    }
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.dumps()).unwrap();
    let mut server = other_half("our_host_gets_its_dump_from_minidumpers_server", &sandbox.socket());
    server.wait_for("listening");

    let ended = Host::c().run(&sandbox, &["segv"]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    assert_eq!(server.end().status.code(), Some(0));
    let dump: Dump = sandbox.only_dump();
    dump.check_basics(&Host::c().path, ended.pid);
    assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, 0xdead000));
}

#[test]
fn a_hello_of_another_version_is_answered_and_refused() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let peer = Peer::connect(&sandbox.socket());
    // What follows the version may be laid out in any way.
    peer.send(&frame(peer::HELLO, &[&numbers(&[4])[..], b"who knows"].concat())).unwrap();
    assert_eq!(peer.receive(), Some(frame(peer::WELCOME, &numbers(&[3, 1]))));
    assert_eq!(peer.receive(), None);
    let complaints = monitor.complaints();
    assert!(complaints.len() == 1 && complaints[0].contains("version 4, we speak 3"), "{complaints:?}");
}

/// What a host says that finds something other than its monitor at the socket: the status, and the message, which must
/// name the socket.
fn install_fails(sandbox: &Sandbox) -> (i32, String) {
    let ended = Host::c().run(sandbox, &["segv"]);
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    let message = ended.said("message ");
    assert!(message.contains(sandbox.socket().to_str().unwrap()), "{message}");
    (ended.said("status ").parse().unwrap(), message.to_owned())
}

/// A sandbox in which a listener of this test answers a host's hello.
fn with_fake_monitor(answer: Vec<u8>) -> (i32, String) {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.dumps()).unwrap();
    let monitor = peer::fake_monitor(&sandbox.socket(), answer);
    let outcome = install_fails(&sandbox);
    monitor.join().expect("the fake monitor's thread");
    outcome
}

#[test]
fn a_monitor_of_another_version_is_named_with_both_versions() {
    let (status, message) = with_fake_monitor(frame(peer::WELCOME, &numbers(&[99, 1])));
    assert_eq!(status, crash_monitor::CM_ERR_MONITOR_VERSION, "{message}");
    for word in ["protocol version 99", "this library version 3"] {
        assert!(message.contains(word), "{word:?} in {message:?}");
    }
}

#[test]
fn a_listener_that_is_no_monitor_is_told_apart() {
    for answer in [b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), vec![7; 3], frame(77, &[0; 8]), frame(peer::PING, &[])]
    {
        let (status, message) = with_fake_monitor(answer);
        assert_eq!(status, crash_monitor::CM_ERR_SOCKET, "{message}");
        assert!(message.contains("does not speak a monitor's protocol"), "{message}");
    }

    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.dumps()).unwrap();
    let _listener = UnixListener::bind(sandbox.socket()).unwrap();
    let (status, message) = install_fails(&sandbox);
    assert_eq!(status, crash_monitor::CM_ERR_SOCKET, "{message}");
    assert!(message.contains("something other than a monitor"), "{message}");
}

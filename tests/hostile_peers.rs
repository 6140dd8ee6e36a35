//! A peer that misbehaves costs the monitor its connection and a line in the log, and nobody else anything.

#![allow(unsafe_code)] // Changes the user of a thread.

mod common;

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::peer::{self, Peer, frame, hello, numbers, string};
use common::{Host, Monitor, Sandbox};
use rustix::net::{AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SocketFlags, SocketType};

#[test]
fn a_process_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return common::skip("only root can act as another user");
    }
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&sandbox.socket()), 0o600);
    // Opened to everybody, the monitor itself has to say no.
    for (path, mode) in [(sandbox.path(), 0o755), (&sandbox.dumps(), 0o755), (&sandbox.socket(), 0o777)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let socket = sandbox.socket();
    let stranger = std::thread::spawn(move || {
        const NOBODY: libc::uid_t = 65534;
        // SAFETY: integers only. The call itself, unlike the function in libc, changes this thread alone.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) }, 0);
        Peer::connect(&socket).is_served()
    });
    assert!(!stranger.join().expect("the stranger's thread"));
    assert!(Peer::connect(&sandbox.socket()).is_served(), "the monitor's own user");
    let complaints = monitor.complaints();
    assert!(complaints.len() == 1 && complaints[0].contains("of user 65534"), "{complaints:?}");
    monitor.assert_serves(&sandbox);
}

/// A good hello but for a deadline in milliseconds that no host can have.
fn hello_with_deadline(milliseconds: u32) -> Vec<u8> {
    let mut hello = hello(0, b"/d", b"app");
    hello[12..16].copy_from_slice(&milliseconds.to_ne_bytes());
    hello
}

/// Messages that no host sends, and a word of what the log says of each.
fn bad_messages() -> Vec<(Vec<u8>, &'static str)> {
    let context = peer::crash_context(std::process::id(), 0);
    let context = context.as_bytes();
    let others = peer::crash_context(1, 0);
    let mut lie = frame(peer::PING, &[]);
    lie[4] = 200;
    let mut whole = hello(0, b"/d", b"app");
    let cut = whole.split_off(whole.len() - 1);
    vec![
        (vec![], "an empty message"),
        (vec![0], "message of 1 bytes is shorter"),
        (vec![0xff; 7], "message of 7 bytes is shorter"),
        (vec![0xff; 12], "announces 4294967295 payload bytes, the message has 4"),
        (lie, "announces 200 payload bytes, the message has 0"),
        ([frame(peer::PING, &[]), vec![0; 5]].concat(), "announces 0 payload bytes, the message has 5"),
        (frame(peer::PING, &vec![0; 64 * 1024 - 7]), "message of 65537 bytes is over the limit"),
        (frame(77, &[1, 2, 3]), "unknown kind 77"),
        (frame(77, &vec![0; 64 * 1024 - 8]), "unknown kind 77"),
        (frame(u32::MAX, &[]), "unknown kind 4294967295"),
        (frame(peer::CRASH_ACK, &[]), "unknown kind 1"),
        (frame(peer::WELCOME, &[0; 8]), "unknown kind 6"),
        (frame(peer::CRASH, &[]), "kind 0 is malformed"),
        (frame(peer::CRASH, &context[1..]), "kind 0 is malformed"),
        (frame(peer::CRASH, &[context, &[0]].concat()), "kind 0 is malformed"),
        (frame(peer::CRASH, others.as_bytes()), "reports a crash of process 1"),
        (frame(peer::PID, &[0; 3]), "kind 4 is malformed"),
        (frame(peer::GOODBYE, &[0]), "kind 7 is malformed"),
        (frame(peer::HELLO, &[]), "kind 5 is malformed"),
        (frame(peer::HELLO, &whole), "kind 5 is malformed"),
        (frame(peer::HELLO, &[&whole[..], &cut, &cut].concat()), "kind 5 is malformed"),
        (frame(peer::HELLO, &hello(0, b"d", b"app")), "kind 5 is malformed"),
        (frame(peer::HELLO, &hello(0, b"/d\0", b"app")), "kind 5 is malformed"),
        (frame(peer::HELLO, &hello(0, b"/d", b"../../etc/cron.d/app")), "kind 5 is malformed"),
        (frame(peer::HELLO, &hello(0, b"/d", b"\xff")), "kind 5 is malformed"),
        (frame(peer::HELLO, &hello_with_deadline(99)), "kind 5 is malformed"),
        (frame(peer::HELLO, &hello_with_deadline(600_001)), "kind 5 is malformed"),
        (frame(peer::DUMP, &[0; 4]), "kind 8 is malformed"),
        (frame(peer::DUMPED, &[]), "unknown kind 9"),
        (frame(peer::HEARTBEAT, &[0; 4]), "kind 10 is malformed"),
        (frame(peer::OUR_CRASH, context), "kind 11 is malformed"),
        (frame(peer::OUR_CRASH, &[&[0; 8], others.as_bytes()].concat()), "reports a crash of process 1"),
        (frame(peer::CHILD_CRASH, context), "kind 12 is malformed"),
        (frame(peer::CHILD_CRASH, &[&[0; 8], others.as_bytes()].concat()), "reports a crash of process 1"),
        (frame(peer::CHILD_CRASH, &[&[0; 8], context].concat()), "a crash of a child without a socket"),
        (frame(13, &[]), "unknown kind 13"),
    ]
}

#[test]
fn a_bad_message_costs_its_sender_the_connection_and_one_line() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    // What the bad ones are made of is good.
    let host = Peer::connect(&sandbox.socket());
    host.send(&frame(peer::HELLO, &hello(0, b"/d", b"app"))).unwrap();
    assert_eq!(host.receive(), Some(frame(peer::WELCOME, &numbers(&[3, 0]))));
    for (number, (message, word)) in bad_messages().into_iter().enumerate() {
        let peer = Peer::connect(&sandbox.socket());
        assert!(peer.is_served());
        peer.send(&message).unwrap();
        assert_eq!(peer.receive(), None, "the connection is closed: {word}");
        monitor.assert_serves(&sandbox);
        let complaints = monitor.complaints();
        assert_eq!(complaints.len(), number + 1, "one line each: {complaints:?}");
        assert!(complaints[number].contains(word), "{word:?} in {:?}", complaints[number]);
    }
}

#[test]
fn descriptors_that_come_with_messages_are_closed() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage};
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let peer = Peer::connect(&sandbox.socket());
    let open = || std::fs::read_dir(format!("/proc/{}/fd", monitor.pid())).unwrap().count();
    assert!(peer.is_served());
    let before = open();
    let file = std::fs::File::open("/dev/null").unwrap();
    let files = [&file, &file, &file].map(std::os::fd::AsFd::as_fd);
    for _ in 0..10 {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        peer.send_with(&frame(peer::PING, &[]), &mut control).unwrap();
        assert_eq!(peer.receive(), Some(frame(peer::PONG, &[])));
    }
    // The answer comes before the descriptor is closed, and that before the next message is read.
    assert!(peer.is_served());
    assert_eq!((open(), monitor.complaints()), (before, vec![]));
}

#[test]
fn twelve_bad_bytes_cost_no_host_its_monitor() {
    let sandbox = Sandbox::new();
    let mut host = Host::c().start(&sandbox, &["wait", "segv"]);
    host.wait_for("ready");
    let monitor = sandbox.monitor_pid();
    assert!(monitor.is_some());
    let peer = Peer::connect(&sandbox.socket());
    // A crash report of four bytes.
    peer.send(&frame(peer::CRASH, &[0; 4])).unwrap();
    assert_eq!(peer.receive(), None);
    assert_eq!(sandbox.monitor_pid(), monitor, "it is still there");
    host.go_on();
    let ended = host.end();
    sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
}

#[test]
fn what_a_peer_says_makes_no_lines_of_its_own_in_the_log() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let peer = Peer::connect(&sandbox.socket());
    let lie = b"none\n2026-01-01T00:00:00.000Z ERROR crash-monitor[1] all is lost";
    peer.send(&frame(peer::DUMP, &[numbers(&[std::process::id()]), string(lie)].concat())).unwrap();
    assert!(peer.receive().is_some_and(|answer| answer[..4] == peer::DUMPED.to_ne_bytes()));
    assert!(monitor.log().contains("all is lost"), "{}", monitor.log());
    assert_eq!(monitor.complaints(), Vec::<String>::new());
}

#[test]
fn a_peer_learns_nothing_of_another_process_by_blaming_its_thread() {
    let sandbox = Sandbox::new();
    let _monitor = Monitor::start(&sandbox);
    let mut other = Host::c().start(&sandbox, &["wait", "segv"]);
    other.wait_for("ready");
    let impostor = Host::build("impostor.c", "impostor", &[]);
    let asked = Command::new(&impostor.path).arg(sandbox.socket()).arg(other.pid().to_string()).status().unwrap();
    assert!(asked.success(), "{asked}");
    let record = sandbox.only_record().to_string();
    let others = Host::c().path.display().to_string();
    assert!(!record.contains(&others), "{record}");
    for path in sandbox.dump_files() {
        let dump = std::fs::read(&path).unwrap();
        assert!(!dump.windows(others.len()).any(|bytes| bytes == others.as_bytes()), "{}", path.display());
    }
}

/// Otherwise one process could have another one dumped, whose socket it has.
#[test]
fn a_childs_crash_needs_a_socket_that_the_child_has_made() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let (ours, of_ours) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .expect("a pair of sockets");
    let (pipe, _reader) = rustix::pipe::pipe().expect("a pipe");
    // Its other end was made by the monitor.
    let monitors = Peer::connect(&sandbox.socket());
    let context = peer::crash_context(std::process::id(), 0);
    let message = frame(peer::CHILD_CRASH, &[&[0; 8], context.as_bytes()].concat());
    let report = |over: &Peer, socket: BorrowedFd<'_>| {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [socket];
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        over.send_with(&message, &mut control).expect("send");
    };
    let connect = |says_hello: bool| {
        let peer = Peer::connect(&sandbox.socket());
        if says_hello {
            peer.send(&frame(peer::HELLO, &hello(0, sandbox.dumps().as_os_str().as_bytes(), b"app"))).unwrap();
            assert_eq!(peer.receive(), Some(frame(peer::WELCOME, &numbers(&[3, 0]))));
        }
        peer
    };
    for (says_hello, socket) in [(true, pipe.as_fd()), (true, monitors.as_fd()), (false, of_ours.as_fd())] {
        let peer = connect(says_hello);
        report(&peer, socket);
        assert_eq!(peer.receive(), None, "the connection is closed");
        assert_eq!(sandbox.record_files(), Vec::<std::path::PathBuf>::new());
    }
    assert_eq!(monitor.complaints().len(), 3, "{:?}", monitor.complaints());
    let peer = connect(true);
    report(&peer, of_ours.as_fd());
    drop(of_ours);
    let mut answer = [0; 64];
    let (_, length) = rustix::net::recv(&ours, &mut answer[..], RecvFlags::empty()).expect("an answer");
    assert_eq!(answer[..length], frame(peer::CRASH_ACK, &[]));
    assert!(peer.is_served(), "the parent's own connection");
    assert!(sandbox.dump_of(std::process::id()).modules()[0].name.contains("hostile_peers"));
}

#[test]
fn a_connection_serves_the_process_that_has_made_it_alone() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let peer = Peer::connect(&sandbox.socket());
    assert!(peer.is_served());
    // A goodbye of another process, which has inherited the connection.
    let goodbye = "printf '\\007\\000\\000\\000\\000\\000\\000\\000' >&0";
    let inherited = peer.as_fd().try_clone_to_owned().expect("a further descriptor");
    assert!(Command::new("sh").args(["-c", goodbye]).stdin(inherited).status().unwrap().success());
    assert_eq!(peer.receive(), None);
    let complaints = monitor.complaints();
    assert!(complaints.len() == 1 && complaints[0].contains("over its connection"), "{complaints:?}");
}

#[test]
fn a_connection_has_one_hello() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let peer = Peer::connect(&sandbox.socket());
    let hello = frame(peer::HELLO, &hello(0, b"/d", b"app"));
    peer.send(&hello).unwrap();
    assert_eq!(peer.receive(), Some(frame(peer::WELCOME, &numbers(&[3, 0]))));
    peer.send(&hello).unwrap();
    assert_eq!(peer.receive(), None);
    let complaints = monitor.complaints();
    assert!(complaints.len() == 1 && complaints[0].contains("another hello"), "{complaints:?}");
}

#[test]
fn a_crash_context_of_garbage_yields_a_dump_or_the_reason_why_not() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    for filling in [0x00, 0x55, 0xa5, 0xff] {
        let peer = Peer::connect(&sandbox.socket());
        let context = peer::crash_context(std::process::id(), filling);
        peer.send(&frame(peer::CRASH, context.as_bytes())).unwrap();
        assert_eq!(peer.receive(), Some(frame(peer::CRASH_ACK, &[])), "{filling:#x}");
        let record = sandbox.only_record();
        match record["dump"]["file"].as_str() {
            Some(file) => {
                let dump = common::Dump::read(&sandbox.dumps().join(file));
                assert_eq!(dump.crashing_thread(), context.tid as u32);
                assert!(dump.modules()[0].name.contains("hostile_peers"), "the process itself is well described");
            }
            None => assert!(!record["failed"].as_array().unwrap().is_empty(), "{record}"),
        }
        monitor.assert_serves(&sandbox);
        sandbox.dump_files().into_iter().for_each(|file| std::fs::remove_file(file).unwrap());
        sandbox.record_files().into_iter().for_each(|file| std::fs::remove_file(file).unwrap());
    }
    assert!(!monitor.log().contains("panicked") && !monitor.log().contains("ended by signal"), "{}", monitor.log());
}

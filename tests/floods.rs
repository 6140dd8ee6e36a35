//! A peer that wants more than its share, of connections, answers, dumps or room, harms nobody else.

mod common;

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::page::{Page, Table};
use common::peer::{self, Peer, frame, hello, numbers, string};
use common::{Host, Monitor, Sandbox};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn ten_thousand_silent_connections_of_one_process_keep_out_nobody_else() {
    const SESSIONS_MAX: usize = 1024;
    /// What one process may have of them.
    const SHARE: usize = 256;
    let limit = getrlimit(Resource::Nofile);
    // Other tests of this process have descriptors too. The monitor inherits the limit.
    let peers = limit.maximum.map_or(10_000, |maximum| 10_000.min(maximum.saturating_sub(1000) as usize));
    if peers < 2 * SESSIONS_MAX {
        return common::skip(&format!("{limit:?} leaves no room for {} connections", 2 * SESSIONS_MAX));
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let mut early = Host::c().start(&sandbox, &["wait", "segv"]);
    early.wait_for("ready");

    let peers: Vec<Peer> = (0..peers).map(|_| Peer::connect(&sandbox.socket())).collect();
    let served = peers.iter().filter(|peer| peer.is_served()).count();
    assert_eq!(served, SHARE);
    monitor.assert_serves(&sandbox);
    early.go_on();
    let early = early.end();
    assert_eq!(early.signal(), Some(libc::SIGSEGV));
    sandbox.dump_of(early.pid).check_basics(&Host::c().path, early.pid);

    drop(peers);
    common::wait_until("room for others", || Peer::connect(&sandbox.socket()).is_served());
    monitor.assert_serves(&sandbox);
}

#[test]
fn connections_beyond_the_monitors_descriptors_do_not_keep_it_busy() {
    let sandbox = Sandbox::new();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$@\"", "sh"]).arg(Monitor::program());
    let monitor = Monitor::start_by(&sandbox, command);
    let mut early = Host::c().start(&sandbox, &["wait", "segv"]);
    early.wait_for("ready");
    let peers: Vec<Peer> = (0..100).map(|_| Peer::connect(&sandbox.socket())).collect();
    assert!(peers.iter().filter(|peer| peer.is_served()).count() < 64);
    assert!(monitor.complaints().len() <= peers.len(), "{} lines", monitor.complaints().len());
    let refused = Host::c().run(&sandbox, &["segv"]);
    assert_eq!(refused.said("status "), crash_monitor::CM_ERR_SOCKET.to_string());
    assert!(refused.said("message ").contains("too many hosts"), "{refused:?}");
    early.go_on();
    let early = early.end();
    sandbox.dump_of(early.pid).check_basics(&Host::c().path, early.pid);
    drop(peers);
    common::wait_until("room for others", || Peer::connect(&sandbox.socket()).is_served());
    monitor.assert_serves(&sandbox);
}

#[test]
fn a_peer_that_reads_no_answers_loses_its_connection() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let deaf = Peer::connect(&sandbox.socket());
    let mut sent = 0;
    while deaf.send(&frame(peer::PING, &[])).is_ok() {
        sent += 1;
        assert!(sent < 1_000_000, "it is still served");
    }
    let complaints = monitor.complaints();
    assert!(complaints.len() == 1 && complaints[0].contains("cannot answer"), "{complaints:?}");
    monitor.assert_serves(&sandbox);
    assert_eq!(monitor.complaints().len(), 1);
}

#[test]
fn a_peer_that_reports_crash_upon_crash_delays_nobody_else() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let mut early = Host::c().start(&sandbox, &["wait", "segv"]);
    early.wait_for("ready");
    let flood = Peer::connect(&sandbox.socket());
    let message = frame(peer::CRASH, peer::crash_context(std::process::id(), 0).as_bytes());
    let mut sent = 0;
    while flood.send(&message).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "it is still served");
    }
    early.go_on();
    let early = early.end();
    assert!(early.took < Duration::from_secs(2), "took {:?}: it had to wait for its turn", early.took);
    sandbox.dump_of(early.pid).check_basics(&Host::c().path, early.pid);
    let complaints = monitor.complaints();
    assert!(complaints.len() == 1 && complaints[0].contains("another request"), "{complaints:?}");
}

#[test]
fn a_reason_over_its_limit_costs_the_connection() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let peer = Peer::connect(&sandbox.socket());
    peer.send(&frame(peer::DUMP, &[numbers(&[1]), string(&[b'x'; 1025])].concat())).unwrap();
    assert_eq!(peer.receive(), None);
    assert_eq!(monitor.complaints().len(), 1, "{:?}", monitor.complaints());
    monitor.assert_serves(&sandbox);
}

/// Says hello with a page, and has a dump made.
fn dump_with(sandbox: &Sandbox, page: &Page) -> serde_json::Value {
    let peer = Peer::connect(&sandbox.socket());
    let hello = hello(page.address(), sandbox.dumps().as_os_str().as_encoded_bytes(), b"app");
    peer.send(&frame(peer::HELLO, &hello)).unwrap();
    peer.receive().expect("a welcome");
    peer.send(&frame(peer::DUMP, &[numbers(&[std::process::id()]), string(b"why")].concat())).unwrap();
    let answer = peer.receive().expect("an answer");
    assert_eq!(answer[8..12], numbers(&[0]), "{}", String::from_utf8_lossy(&answer));
    let own = format!("-{}.json", std::process::id());
    let record = sandbox.record_files().into_iter().find(|path| path.to_string_lossy().ends_with(&own));
    let record = serde_json::from_slice(&std::fs::read(record.expect("a record")).unwrap()).unwrap();
    sandbox.files().iter().filter(|path| path.is_file()).for_each(|path| std::fs::remove_file(path).unwrap());
    record
}

#[test]
fn whatever_lies_in_a_page_costs_neither_the_dump_nor_the_monitor() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    for byte in [0, 1, 0x41, 0x80, 0xff] {
        let mut page = Page::new();
        page.fill(byte);
        let record = dump_with(&sandbox, &page);
        let count = |what: &str| record[what].as_object().map_or(0, |entries| entries.len());
        assert!(count("annotations") <= 64 && count("thread_annotations") <= 256, "{record}");
        monitor.assert_serves(&sandbox);
    }
    let mut page = Page::new();
    page.set(Table::Memory, 0, &0x1000_u64.to_ne_bytes(), &(1_u64 << 40).to_ne_bytes());
    page.set(Table::Attachments, 0, b"relative", &[]);
    page.set(Table::Attachments, 1, b"/", &[]);
    page.set(Table::Annotations, 0, b"good", b"one");
    page.set(Table::Annotations, 70, b"in a buffer to spare", b"two");
    page.set(Table::Annotations, 80, b"in no buffer", b"three");
    page.set(Table::Annotations, 2, b"\xff", b"\xfe");
    let record = dump_with(&sandbox, &page);
    let expected = serde_json::json!({ "good": "one", "in a buffer to spare": "two", "\u{fffd}": "\u{fffd}" });
    assert_eq!(record["annotations"], expected, "{record}");
    assert!(!record["failed"].to_string().contains("attachment"), "{record}");
    assert_eq!(monitor.complaints(), Vec::<String>::new());
}

#[test]
fn connections_made_without_end_keep_out_nobody() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let (made, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = Peer::try_connect(&sandbox.socket());
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        common::wait_until("a flood", || made.load(Ordering::Relaxed) > 20_000);
        let served = std::panic::catch_unwind(|| (0..3).for_each(|_| monitor.assert_serves(&sandbox)));
        done.store(true, Ordering::Relaxed);
        served.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn hosts_that_do_not_end_after_their_crash_keep_nobody_waiting() {
    /// The monitor waits as long for a crashed host's end.
    const HOST_END: Duration = Duration::from_secs(3);
    /// As many dumps are written at a time.
    const DUMPERS: usize = 8;
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let log = sandbox.path().join("server.log");
    std::fs::write(&log, "a line\n").unwrap();
    let mut page = Page::new();
    page.set(Table::Attachments, 0, log.as_os_str().as_encoded_bytes(), &[]);
    let peers: Vec<Peer> = (0..DUMPERS).map(|_| Peer::connect(&sandbox.socket())).collect();
    let hello = hello(page.address(), sandbox.dumps().as_os_str().as_encoded_bytes(), b"app");
    peers[0].send(&frame(peer::HELLO, &hello)).unwrap();
    peers[0].receive().expect("a welcome");
    let start = Instant::now();
    for peer in &peers {
        peer.send(&frame(peer::CRASH, peer::crash_context(std::process::id(), 0).as_bytes())).unwrap();
        assert_eq!(peer.receive(), Some(frame(peer::CRASH_ACK, &[])));
    }
    monitor.assert_serves(&sandbox);
    assert!(start.elapsed() < HOST_END, "{:?}", start.elapsed());
}

//! A peer that wants more than its share, of connections, answers, dumps or room, harms nobody else.

mod common;

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::peer::{self, Peer, frame, numbers, string};
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
fn a_peer_that_adds_more_than_the_limits_allow_loses_its_connection() {
    let annotation = |key: String, value: usize| {
        frame(peer::ANNOTATION, &[string(key.as_bytes()), string(&vec![b'x'; value])].concat())
    };
    let attachment = |n: usize| frame(peer::ATTACHMENT, &string(format!("/{n}").as_bytes()));
    let memory = |n: usize, length: u32| frame(peer::MEMORY, &numbers(&[n as u32, 0, length, 0]));
    let reason = |length: usize| frame(peer::DUMP, &[numbers(&[1]), string(&vec![b'x'; length])].concat());
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let floods: [Vec<Vec<u8>>; 7] = [
        (0..65).map(|n| annotation(n.to_string(), 1)).collect(),
        vec![annotation("k".repeat(257), 1)],
        vec![annotation("k".to_owned(), 20 * 1024 + 1)],
        (0..17).map(attachment).collect(),
        (0..65).map(|n| memory(n, 1)).collect(),
        vec![memory(1, (1 << 20) + 1)],
        vec![reason(1025)],
    ];
    for (number, messages) in floods.into_iter().enumerate() {
        let peer = Peer::connect(&sandbox.socket());
        let (last, allowed) = messages.split_last().unwrap();
        allowed.iter().for_each(|message| peer.send(message).unwrap());
        assert!(peer.is_served(), "flood {number}, up to the limit");
        peer.send(last).unwrap();
        assert_eq!(peer.receive(), None, "flood {number}, one beyond");
        assert_eq!(monitor.complaints().len(), number + 1, "one line each: {:?}", monitor.complaints());
    }
    monitor.assert_serves(&sandbox);
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
    let peers: Vec<Peer> = (0..DUMPERS).map(|_| Peer::connect(&sandbox.socket())).collect();
    peers[0].send(&frame(peer::ATTACHMENT, &string(log.as_os_str().as_encoded_bytes()))).unwrap();
    assert!(peers[0].is_served());
    let start = Instant::now();
    for peer in &peers {
        peer.send(&frame(peer::CRASH, peer::crash_context(std::process::id(), 0).as_bytes())).unwrap();
        assert_eq!(peer.receive(), Some(frame(peer::CRASH_ACK, &[])));
    }
    monitor.assert_serves(&sandbox);
    assert!(start.elapsed() < HOST_END, "{:?}", start.elapsed());
}

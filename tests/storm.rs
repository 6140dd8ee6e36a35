//! Many crashes at once, and what a reader of the dump directory may see of them at any moment.

mod common;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use common::peer::{self, Peer, frame};
use common::{Dump, Host, Monitor, Running, Sandbox, process};

const HOSTS: usize = 32;

/// Hosts that stand ready to crash.
fn ready_hosts(sandbox: &Sandbox) -> Vec<Running> {
    let mut hosts: Vec<_> = (0..HOSTS).map(|_| Host::c().start(sandbox, &["wait", "segv"])).collect();
    hosts.iter_mut().for_each(|host| _ = host.wait_for("ready"));
    hosts
}

/// Has all hosts crash, and waits for their ends.
fn crash_all(mut hosts: Vec<Running>) -> Vec<common::Ended> {
    hosts.iter_mut().for_each(Running::go_on);
    let ended: Vec<_> = hosts.into_iter().map(Running::end).collect();
    for host in &ended {
        assert_eq!(host.signal(), Some(libc::SIGSEGV), "{host:?}");
    }
    ended
}

#[test]
fn hosts_that_crash_at_the_same_instant_get_a_dump_each() {
    let sandbox = Sandbox::new();
    let ended = crash_all(ready_hosts(&sandbox));
    sandbox.wait_for_monitors_end();
    for host in &ended {
        let dump = sandbox.dump_of(host.pid);
        dump.check_basics(&Host::c().path, host.pid);
        assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, 0xdead000));
    }
    let pids = |pids: &mut dyn Iterator<Item = u64>| pids.collect::<BTreeSet<_>>();
    let of_records = pids(&mut sandbox.records().iter().map(|record| record["pid"].as_u64().unwrap()));
    assert_eq!(of_records, pids(&mut ended.iter().map(|host| host.pid.into())));

    let files = sandbox.files();
    assert_eq!(files.len(), 2 * HOSTS, "a dump and a record each, and nothing else: {files:?}");
}

#[test]
fn a_dump_that_takes_for_ever_holds_up_no_other() {
    let sandbox = Sandbox::new();
    let others = ready_hosts(&sandbox);
    // Two seconds, since one of its threads cannot be stopped: enough to find who dumps it, and to stop that one.
    let mut slow = Host::shapes().start(&sandbox, &["unstoppable", "60000"]);
    slow.wait_for("ready");
    slow.go_on();
    let mut dumper = None;
    common::wait_until("somebody to hold the host", || {
        dumper = process::tracers(slow.pid()).into_iter().find(|tracer| *tracer != 0);
        dumper.is_some()
    });
    let stopped = process::Stopped::new(dumper.expect("just found"));
    for host in crash_all(others) {
        sandbox.dump_of(host.pid).check_basics(&Host::c().path, host.pid);
    }
    assert_eq!(sandbox.dump_files().len(), HOSTS, "the slow one's is still to come");
    drop(stopped);
    let slow = slow.end();
    assert_eq!(slow.signal(), Some(libc::SIGSEGV), "{slow:?}");
    sandbox.dump_of(slow.pid).check_basics(&Host::shapes().path, slow.pid);
}

/// Reads every file that was not there at the last look.
fn read_new(sandbox: &Sandbox, seen: &mut BTreeSet<PathBuf>) {
    for file in sandbox.dump_files().into_iter().filter(|file| seen.insert(file.clone())) {
        assert_eq!(Dump::read(&file).address(), 0xdead000);
    }
    for file in sandbox.record_files().into_iter().filter(|file| seen.insert(file.clone())) {
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).expect("valid JSON");
        assert_eq!(record["address"], "0xdead000");
    }
}

#[test]
fn a_file_is_whole_as_soon_as_it_has_its_name() {
    let sandbox = Sandbox::new();
    let hosts = ready_hosts(&sandbox);
    let mut seen = BTreeSet::new();
    std::thread::scope(|scope| {
        let crashing = scope.spawn(|| {
            crash_all(hosts);
            sandbox.wait_for_monitors_end();
        });
        loop {
            let last_look = crashing.is_finished();
            read_new(&sandbox, &mut seen);
            if last_look {
                break;
            }
        }
        crashing.join().expect("all ended as they should");
    });
    assert_eq!(seen.len(), 2 * HOSTS);
}

#[test]
fn crashes_of_one_process_in_one_second_leave_a_dump_each() {
    const CRASHES: usize = 12;
    let sandbox = Sandbox::new();
    // With every permission left to the files themselves.
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec \"$@\"", "sh"]).arg(Monitor::program());
    let _monitor = Monitor::start_by(&sandbox, command);
    let me = std::process::id();
    let message = frame(peer::CRASH, peer::crash_context(me, 0).as_bytes());
    let peers: Vec<_> = (0..CRASHES).map(|_| Peer::connect(&sandbox.socket())).collect();
    for peer in &peers {
        peer.send(&message).unwrap();
    }
    for peer in &peers {
        assert_eq!(peer.receive(), Some(frame(peer::CRASH_ACK, &[])));
    }
    let dumps = sandbox.dump_files();
    assert_eq!(dumps.len(), CRASHES, "{dumps:?}");
    for dump in &dumps {
        Dump::read(dump);
        for file in [dump, &dump.with_extension("json")] {
            let mode = file.metadata().unwrap_or_else(|error| panic!("{}: {error}", file.display())).mode();
            assert_eq!(mode & 0o7777, 0o600, "{}", file.display());
        }
    }
    let stem = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let second = |path: &PathBuf| stem(path).split('-').nth(1).unwrap().to_owned();
    let seconds: BTreeSet<_> = dumps.iter().map(second).collect();
    let counted = dumps.iter().filter(|dump| !stem(dump).ends_with(&format!("-{me}"))).count();
    assert_eq!(counted, CRASHES - seconds.len(), "the first of a second has no counter, each other one has: {dumps:?}");
    assert!(counted > 0, "{CRASHES} dumps took {} seconds", seconds.len());
}

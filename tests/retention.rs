//! A dump directory keeps the newest reports, up to a number of files and of bytes.

mod common;

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use common::page::{Page, Table};
use common::peer::{self, Peer, frame, hello};
use common::{Host, Monitor, Sandbox};

/// Crashes hosts one after another under these limits; gives their pids.
fn crash(sandbox: &Sandbox, hosts: usize, files: &str, bytes: &str) -> Vec<u32> {
    let crash = |_| {
        let ended = Host::c().run(sandbox, &["keep", files, bytes]);
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
        // Old ones are removed after the host has been let go.
        sandbox.wait_for_monitors_end();
        ended.pid
    };
    (0..hosts).map(crash).collect()
}

/// The pids in the names of files, sorted.
fn pids(files: Vec<PathBuf>) -> Vec<u32> {
    let pid = |path: &PathBuf| path.file_stem()?.to_str()?.rsplit('-').next()?.parse().ok();
    let mut pids: Vec<u32> = files.iter().map(|path| pid(path).expect("a pid")).collect();
    pids.sort();
    pids
}

fn sorted(pids: &[u32]) -> Vec<u32> {
    let mut pids = pids.to_vec();
    pids.sort();
    pids
}

#[test]
fn the_newest_stay_up_to_the_number_asked_for() {
    let sandbox = Sandbox::new();
    let crashed = crash(&sandbox, 5, "3", "1000000000");
    assert_eq!(pids(sandbox.dump_files()), sorted(&crashed[2..]));
    assert_eq!(pids(sandbox.record_files()), sorted(&crashed[2..]), "records go with their dumps");
}

#[test]
fn the_newest_stay_up_to_the_bytes_asked_for() {
    const MIB: u64 = 1 << 20;
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.dumps()).unwrap();
    // Three older reports of which two and a new one fit.
    for (pid, hours) in [(1, 3), (2, 2), (3, 1)] {
        for (extension, size) in [("dmp", 10 * MIB), ("json", 500)] {
            let path = sandbox.dumps().join(format!("other-app-1000000000-{pid}.{extension}"));
            let file = File::create(path).unwrap();
            file.set_len(size).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
        }
    }
    let crashed = crash(&sandbox, 1, "100", &(25 * MIB).to_string());
    assert_eq!(pids(sandbox.dump_files()), sorted(&[2, 3, crashed[0]]));
    assert_eq!(pids(sandbox.record_files()), sorted(&[2, 3, crashed[0]]));
}

#[test]
fn the_one_just_written_always_stays() {
    let sandbox = Sandbox::new();
    let crashed = crash(&sandbox, 3, "1", "1");
    assert_eq!(pids(sandbox.dump_files()), crashed[2..]);
    assert_eq!(pids(sandbox.record_files()), crashed[2..]);
    sandbox.only_dump().check_basics(&Host::c().path, crashed[2]);
}

#[test]
fn files_that_no_monitor_has_written_are_neither_counted_nor_removed() {
    let sandbox = Sandbox::new();
    let others = ["notes.txt", "core.1234", "report.dmp", "host-backup.dmp", "settings.json"]
        .map(|name| sandbox.dumps().join(name));
    fs::create_dir(sandbox.dumps()).unwrap();
    others.iter().for_each(|path| fs::write(path, [0; 5000]).unwrap());
    let crashed = crash(&sandbox, 2, "1", "1000000000");
    let mut left: Vec<_> = sandbox.files().into_iter().filter(|path| !others.contains(path)).collect();
    left.retain(|path| path.extension().is_some_and(|e| e == "dmp"));
    assert_eq!(pids(left), crashed[1..]);
    assert!(others.iter().all(|path| path.metadata().unwrap().len() == 5000));
}

#[test]
fn hosts_of_one_monitor_have_their_own_limits_in_their_own_directories() {
    let sandbox = Sandbox::new();
    let other = Sandbox::new();
    let socket = sandbox.socket();
    let crash = |directory: &Sandbox, files: &str| {
        let mut command = std::process::Command::new(&Host::c().path);
        command.arg(directory.dumps()).arg(&socket).args(["keep", files, "1000000000"]);
        let ended = common::Running::start(&mut command).end();
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    };
    fs::create_dir(sandbox.dumps()).unwrap();
    let monitor = common::Monitor::start(&sandbox);
    for _ in 0..3 {
        crash(&sandbox, "1");
        crash(&other, "2");
    }
    assert_eq!(sandbox.monitor_pid(), Some(monitor.pid()));
    common::wait_until("the old ones to go", || sandbox.dump_files().len() == 1 && other.dump_files().len() == 2);
}

#[test]
fn one_that_was_removed_while_its_host_had_not_ended_does_not_come_back() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let late = sandbox.path().join("late.log");
    let mut page = Page::new();
    page.set(Table::Attachments, 0, late.as_os_str().as_encoded_bytes(), &[]);
    let peer = Peer::connect(&sandbox.socket());
    let mut hello = hello(page.address(), sandbox.dumps().as_os_str().as_encoded_bytes(), b"app");
    hello[4..8].copy_from_slice(&1_u32.to_ne_bytes());
    peer.send(&frame(peer::HELLO, &hello)).unwrap();
    peer.receive().expect("a welcome");
    // This process goes on after its crash, and its dumper waits for its end.
    peer.send(&frame(peer::CRASH, peer::crash_context(std::process::id(), 0).as_bytes())).unwrap();
    assert_eq!(peer.receive(), Some(frame(peer::CRASH_ACK, &[])));
    let first = sandbox.only_dump().path;

    let newer = Host::c().run(&sandbox, &["keep", "1", "1000000000"]);
    common::wait_until("the first to be removed", || !first.exists());
    std::fs::write(&late, "late\n").unwrap();
    common::wait_until("the dumpers to end", || common::process::writers(monitor.pid()).is_empty());
    assert_eq!(pids(sandbox.dump_files()), [newer.pid]);
    assert_eq!(pids(sandbox.record_files()), [newer.pid]);
}

//! Files beside a dump: copied with it, and once more when the crashed host has ended.

#![allow(unsafe_code)] // Takes a lease.

mod common;

use std::collections::BTreeMap;
use std::fs::{File, create_dir, read_to_string, write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Instant;

use common::page::{Page, Table};
use common::peer::{self, Peer, frame, hello, numbers, string};
use common::{Host, Monitor, Sandbox};

/// A peer that has said hello with a deadline in milliseconds, and with a page that has these files.
fn peer(sandbox: &Sandbox, deadline: u32, files: &[PathBuf]) -> Peer {
    let mut page = Page::new();
    for (number, path) in files.iter().enumerate() {
        page.set(Table::Attachments, number, path.as_os_str().as_encoded_bytes(), &[]);
    }
    let peer = Peer::connect(&sandbox.socket());
    let mut hello = hello(page.address(), sandbox.dumps().as_os_str().as_encoded_bytes(), b"app");
    hello[12..16].copy_from_slice(&deadline.to_ne_bytes());
    peer.send(&frame(peer::HELLO, &hello)).unwrap();
    assert_eq!(peer.receive(), Some(frame(peer::WELCOME, &numbers(&[3, 0]))));
    peer
}

/// Asks for a dump and expects one.
fn dump(peer: &Peer) {
    peer.send(&frame(peer::DUMP, &[numbers(&[std::process::id()]), string(b"why")].concat())).unwrap();
    let answer = peer.receive().expect("an answer");
    assert_eq!(answer[8..12], numbers(&[0]), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn what_a_hosts_own_handler_writes_after_the_dump_is_attached_too() {
    let sandbox = Sandbox::new();
    let host = Host::build("writes_after_dump.c", "writes_after_dump", &[]);
    let files = sandbox.path().join("files");
    create_dir(&files).unwrap();
    create_dir(files.join("other")).unwrap();
    for (name, text) in [("server.log", "before\n"), ("other/server.log", "other\n"), ("dmp", "no dump\n")] {
        write(files.join(name), text).unwrap();
    }
    write(files.join("empty.txt"), "").unwrap();

    let ended = host.run(&sandbox, &[files.to_str().unwrap()]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    // The monitor ends once it has done everything for its last host.
    sandbox.wait_for_monitors_end();
    let dump =
        sandbox.files().into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().matches('.').count() == 1);
    let stem = dump.expect("a dump").file_stem().unwrap().to_str().unwrap().to_owned();

    let attached = |path: &std::path::PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix(&format!("{stem}."))?.to_owned();
        (!["dmp", "json"].contains(&name.as_str())).then(|| (name, read_to_string(path).unwrap()))
    };
    let attached: BTreeMap<String, String> = sandbox.files().iter().filter_map(attached).collect();
    let expected = [
        // In the order of their paths: the first of one name has it.
        ("2.server.log", "before\nafter\n"),
        ("server.log", "other\n"),
        ("2.dmp", "no dump\n"),
        ("later.txt", "later\n"),
        ("words.txt", "in memory\n"),
    ];
    let expected: BTreeMap<String, String> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(attached, expected);

    let record = sandbox.only_record();
    let names = record["attachments"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, expected.keys().map(|name| format!("{stem}.{name}")).collect::<Vec<_>>());
    assert_eq!(record["failed"], serde_json::json!([]), "what was not there at first has come");
    assert_eq!(sandbox.temporary_files(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn much_to_copy_costs_neither_the_dump_nor_the_deadline() {
    const SIZE: u64 = 64 << 20;
    const FILES: usize = 16;
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let files: Vec<_> = (0..FILES).map(|number| sandbox.path().join(format!("{number}.log"))).collect();
    files.iter().for_each(|path| File::create(path).unwrap().set_len(SIZE).unwrap());
    let peer = peer(&sandbox, 400, &files);
    dump(&peer);
    sandbox.only_dump();
    let copied = || {
        let record = sandbox.only_record();
        let names = record["attachments"].as_array().unwrap();
        let whole = |name: &&serde_json::Value| {
            sandbox.dumps().join(name.as_str().unwrap()).metadata().is_ok_and(|file| file.len() == SIZE)
        };
        // Of this process's own threads one may be ending, which is noted too.
        names.iter().filter(whole).count() == FILES && !record["failed"].to_string().contains("attachment")
    };
    // A disk may take long for a GiB, but not for the next bit of it.
    let bytes = || sandbox.files().iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum::<u64>();
    while !copied() {
        let before = bytes();
        common::wait_until("more to be copied", || bytes() > before || copied());
    }
    assert_eq!(monitor.complaints(), Vec::<String>::new());
}

#[test]
fn a_file_that_cannot_be_opened_at_once_is_left_out() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let path = sandbox.path().join("leased.log");
    write(&path, "whose\n").unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    // SAFETY: integers only. Who opens the file waits for the lease's holder, who is told by SIGIO, and 45 s for one who does
    // not care (fcntl(2)).
    unsafe {
        libc::signal(libc::SIGIO, libc::SIG_IGN);
        assert_eq!(libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK), 0);
    }
    let peer = peer(&sandbox, 10_000, &[path]);
    let start = Instant::now();
    dump(&peer);
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    let record = sandbox.only_record();
    // Of this process, which another test may be having dumped too, threads may be missing as well.
    let failed = record["failed"].as_array().unwrap().iter().filter_map(|failed| failed.as_str());
    let of_attachments: Vec<_> = failed.filter(|failed| failed.starts_with("attachment ")).collect();
    assert!(of_attachments.len() == 1 && of_attachments[0].contains("leased.log"), "{record}");
    assert_eq!(monitor.complaints(), Vec::<String>::new());
}

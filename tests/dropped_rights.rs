//! Processes that have given up rights since their program installed: each that crashes leaves a dump, and none uses the rights
//! of the monitor.

mod common;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::OnceLock;

use common::{Host, Monitor, Sandbox, process};
use serde_json::{Value, json};

/// The user that `tests/hosts/dropped.c` becomes.
const COMMONER: u32 = 54321;

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("dropped.c", "dropped", &["-DCM_TEST_PROTOCOL=3"]))
}

/// Whether this test may do what the kind of host does; says aloud where not.
fn may(kind: &str) -> bool {
    let may = rustix::process::geteuid().is_root() || ["nothing", "descriptors", "user-names"].contains(&kind);
    if !may {
        common::skip(&format!("{kind}: only root can"));
    }
    may
}

/// Checks the dump of a child that has crashed by `crash_segv`, and that it has what was set before and after the fork.
fn check_dump(sandbox: &Sandbox, child: u32, kind: &str) {
    let dump = sandbox.dump_of(child);
    assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, 0xdead000), "{kind}");
    dump.check_basics(&host().path, child);
    let record = record_of(sandbox, child);
    assert_eq!(record["annotations"], json!({ "set": "before the fork", "rights": kind }));
    assert_eq!(record["failed"], json!([]), "{kind}");
}

fn record_of(sandbox: &Sandbox, pid: u32) -> Value {
    let of_pid = sandbox.records().into_iter().find(|record| record["pid"] == pid);
    of_pid.unwrap_or_else(|| panic!("no record of process {pid} among {:?}", sandbox.files()))
}

#[test]
fn a_child_of_lesser_rights_leaves_its_dump() {
    for kind in ["nothing", "descriptors", "user", "root-directory", "mounts", "user-names", "process-names"] {
        if !may(kind) {
            continue;
        }
        let sandbox = Sandbox::new();
        let ended = host().run(&sandbox, &["child", kind]);
        let (child, "signal 11") = ended.said("child ").split_once(' ').unwrap() else { panic!("{kind}: {ended:?}") };
        check_dump(&sandbox, child.parse().unwrap(), kind);
        sandbox.wait_for_monitors_end();
    }
}

#[test]
fn a_child_whose_parent_has_ended_leaves_its_dump() {
    for kind in ["nothing", "user"] {
        if !may(kind) {
            continue;
        }
        let sandbox = Sandbox::new();
        let mut parent = host().start(&sandbox, &["orphan", kind]);
        let child: u32 = parent.wait_for("child ").parse().unwrap();
        let monitor = sandbox.monitor_pid().expect("a monitor");
        common::wait_until("the parent's end", || !process::is_alive(parent.pid()));
        // A second look of the monitor's at a host that has ended.
        let mut other = host().start(&sandbox, &["waits", "nothing"]);
        other.wait_for("ready");
        other.go_on();
        other.end();
        assert_eq!(sandbox.monitor_pid(), Some(monitor), "it stays for the child");
        parent.go_on();
        assert_eq!(parent.end().status.code(), Some(0));
        sandbox.wait_for_monitors_end();
        check_dump(&sandbox, child, kind);
    }
}

#[test]
fn files_are_opened_with_the_rights_that_the_process_has_left() {
    if !may("user") {
        return;
    }
    for who in ["attaches", "child-attaches"] {
        let sandbox = Sandbox::new();
        std::fs::set_permissions(sandbox.path(), Permissions::from_mode(0o711)).unwrap();
        for (name, mode) in [("secret", 0o600), ("public", 0o644)] {
            let file = sandbox.path().join(name);
            std::fs::write(&file, name).unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            host().run(&sandbox, &[who, "user", file.to_str().unwrap()]);
            sandbox.wait_for_monitors_end();
            let record = sandbox.only_record();
            if name == "public" {
                assert_eq!(record["failed"], json!([]), "{who}");
                let copy = sandbox.dumps().join(record["attachments"][0].as_str().expect("a name"));
                assert_eq!(std::fs::read(copy).unwrap(), name.as_bytes());
            } else {
                let why = format!("attachment {}: Permission denied (os error 13)", file.display());
                assert_eq!((&record["failed"], &record["attachments"]), (&json!([why]), &json!([])), "{who}");
                assert_eq!(sandbox.files().len(), 2, "dump and record");
            }
            sandbox.files().iter().for_each(|file| std::fs::remove_file(file).unwrap());
        }
    }
}

/// The dump directory of a service often lies in a directory of the service's user.
#[test]
fn a_process_that_has_changed_its_user_cannot_put_another_directory_in_place_of_its_own() {
    if !may("user") {
        return;
    }
    let sandbox = Sandbox::new();
    let directory = sandbox.path().join("roots");
    std::fs::create_dir(&directory).unwrap();
    std::os::unix::fs::chown(sandbox.path(), Some(COMMONER), None).unwrap();
    let monitor = Monitor::start(&sandbox);
    let ended = host().run(&sandbox, &["swaps", "user", directory.to_str().unwrap()]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "{}", monitor.log());
    std::fs::remove_file(sandbox.dumps()).unwrap();
    std::fs::rename(sandbox.path().join("dumps.moved"), sandbox.dumps()).unwrap();
    let dump = sandbox.dump_of(ended.pid);
    assert_eq!(sandbox.only_record()["failed"], json!([]));
    let told = format!("wrote {}", dump.path.display());
    assert!(monitor.log().contains(&told), "{}", monitor.log());
}

#[test]
fn a_process_that_has_changed_its_user_cannot_redirect_its_monitor() {
    if !may("user") {
        return;
    }
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let directory = sandbox.path().join("roots");
    std::fs::create_dir(&directory).unwrap();
    let ended = host().run(&sandbox, &["redirects", "user", directory.to_str().unwrap()]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    let answers: Vec<_> = ended.output.lines().filter(|line| line.starts_with("answer ")).collect();
    assert_eq!(answers, ["answer 0"; 2], "over the connection of the install, and over one that had said nothing");
    monitor.assert_serves(&sandbox);
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    assert_eq!(monitor.complaints().len(), 2, "{:?}", monitor.complaints());
}

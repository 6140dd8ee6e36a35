//! A dump directory that fails: the host ends by its signal without delay, the reason is in the log and, where one can
//! be written, in a record; once the directory is in order again, so is everything else.

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{Ended, Host, Monitor, Running, Sandbox, process};

/// A host that stands ready to crash.
fn ready_host(sandbox: &Sandbox) -> Running {
    let mut host = Host::c().start(sandbox, &["wait", "segv"]);
    host.wait_for("ready");
    host
}

/// Has a host crash; it does not wait for its deadline of 10 s.
fn crash(mut host: Running) -> Ended {
    host.go_on();
    let ended = host.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    assert!(ended.took < Duration::from_secs(5), "took {:?}", ended.took);
    ended
}

/// The only complaint in the log, which must be about process `pid` and hold `word`.
fn assert_complains(monitor: &Monitor, pid: u32, word: &str) {
    common::wait_until("the complaint", || !monitor.complaints().is_empty());
    for complaint in monitor.complaints() {
        assert!(complaint.contains(&format!("process {pid}: ")) && complaint.contains(word), "{word:?} in {complaint}");
    }
}

/// A small file system on the sandbox's dump directory, for as long as this lives.
struct SmallDisk<'a> {
    sandbox: &'a Sandbox,
}

impl<'a> SmallDisk<'a> {
    /// None, said aloud, where this test must not mount.
    fn mount(sandbox: &'a Sandbox) -> Option<Self> {
        fs::create_dir(sandbox.dumps()).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=64k,mode=0700", "none"]).arg(sandbox.dumps());
        let output = command.output().expect("mount(8)");
        if !output.status.success() {
            common::skip(&format!("needs to mount a file system: {}", String::from_utf8_lossy(&output.stderr)));
            return None;
        }
        Some(Self { sandbox })
    }

    fn remount(&self, option: &str) {
        common::run(Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(self.sandbox.dumps()));
    }

    fn filler(&self) -> PathBuf {
        self.sandbox.dumps().join("filler")
    }

    /// Fills the disk, up to so many bytes.
    fn fill(&self, left: usize) {
        let mut file = File::create(self.filler()).unwrap();
        while file.write(&[1; 4096]).is_ok() {}
        file.set_len(file.metadata().unwrap().len() - left as u64).unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Monitor and hosts may still have it open.
        let _ = Command::new("umount").arg("--lazy").arg(self.sandbox.dumps()).status();
    }
}

#[test]
fn a_full_disk_leaves_a_record_where_that_fits() {
    let sandbox = Sandbox::new();
    let Some(disk) = SmallDisk::mount(&sandbox) else { return };
    let monitor = Monitor::start(&sandbox);
    let (first, second) = (ready_host(&sandbox), ready_host(&sandbox));

    disk.fill(8 * 1024);
    let ended = crash(first);
    assert_complains(&monitor, ended.pid, "No space left on device");
    assert_eq!(sandbox.dump_files(), Vec::<PathBuf>::new());
    let record = sandbox.only_record();
    assert_eq!(record["pid"], ended.pid);
    assert_eq!(record["signal"]["name"], "SIGSEGV");
    assert!(record["failed"][0].as_str().unwrap().contains("No space left on device"), "{record}");

    disk.fill(0);
    crash(second);
    assert_eq!(sandbox.records().len(), 1, "not even the record of the second fits");

    fs::remove_file(disk.filler()).unwrap();
    monitor.assert_serves(&sandbox);
    assert_eq!(sandbox.temporary_files(), Vec::<PathBuf>::new());
}

#[test]
fn a_read_only_directory_costs_the_dump_and_nothing_else() {
    let sandbox = Sandbox::new();
    let Some(disk) = SmallDisk::mount(&sandbox) else { return };
    let monitor = Monitor::start(&sandbox);
    let host = ready_host(&sandbox);
    disk.remount("ro");
    let ended = crash(host);
    assert_complains(&monitor, ended.pid, "Read-only file system");
    assert_eq!((sandbox.dump_files().len(), sandbox.records().len()), (0, 0));
    disk.remount("rw");
    monitor.assert_serves(&sandbox);
}

#[test]
fn a_directory_that_vanished_is_made_anew() {
    let sandbox = Sandbox::new();
    let host = ready_host(&sandbox);
    let monitor = sandbox.monitor_pid().expect("a monitor");
    fs::remove_dir_all(sandbox.dumps()).unwrap();
    let ended = crash(host);
    sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
    assert_eq!(sandbox.only_record()["pid"], ended.pid);
    assert_mode_0700(&sandbox.dumps());
    // Socket and lock are gone with the directory.
    common::wait_until("the monitor to end", || !process::is_alive(monitor));
    assert_eq!(sandbox.files().len(), 2, "{:?}", sandbox.files());
}

fn assert_mode_0700(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn a_lost_socket_costs_connected_hosts_nothing_and_new_ones_a_new_monitor() {
    let sandbox = Sandbox::new();
    let old_host = ready_host(&sandbox);
    let old_monitor = sandbox.monitor_pid().expect("a monitor");
    fs::remove_file(sandbox.socket()).unwrap();
    let new_host = ready_host(&sandbox);
    let new_monitor = sandbox.monitor_pid().expect("a new monitor");
    assert_ne!(new_monitor, old_monitor);

    let ended = crash(old_host);
    sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
    common::wait_until("the old monitor to end", || !process::is_alive(old_monitor));
    assert_eq!(sandbox.monitor_pid(), Some(new_monitor), "the old one leaves the new one's socket alone");
    let ended = crash(new_host);
    sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
    common::wait_until("the new monitor to end", || !process::is_alive(new_monitor));
    assert_eq!(sandbox.files().len(), 4, "two dumps and their records: {:?}", sandbox.files());
}

#[test]
fn a_file_in_the_directorys_place_costs_the_dump_and_nothing_else() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let (first, second) = (ready_host(&sandbox), ready_host(&sandbox));
    let aside = sandbox.path().join("aside");
    fs::rename(sandbox.dumps(), &aside).unwrap();
    fs::write(sandbox.dumps(), "precious").unwrap();
    let ended = crash(first);
    assert_complains(&monitor, ended.pid, sandbox.dumps().to_str().unwrap());
    assert_eq!(fs::read_to_string(sandbox.dumps()).unwrap(), "precious");

    fs::remove_file(sandbox.dumps()).unwrap();
    fs::rename(&aside, sandbox.dumps()).unwrap();
    let ended = crash(second);
    sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
    monitor.assert_serves(&sandbox);
}

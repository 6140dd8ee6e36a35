//! The monitor with minidumper's server as its backend, as it is on Windows and macOS, here with hosts on Linux.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use common::peer::{self, Peer};
use common::process::{self, is_alive};
use common::{Ended, Host, Monitor, Running, Sandbox, run, wait_until};

/// A monitor at the sandbox's socket; without `--stay` it ends with its last host.
fn run_monitor(sandbox: &Sandbox, program: &Path, command: &[&str]) -> Running {
    let mut line = Command::new(program);
    line.args(command).args(["--backend", "minidumper", "--dump-dir"]).arg(sandbox.dumps());
    let monitor = Running::start(&mut line);
    // Each look is a connection that says nothing, after which the monitor still waits for its first host.
    wait_until("the monitor to listen", || sandbox.monitor_pid() == Some(monitor.pid()));
    monitor
}

/// Runs a monitor to its end, at the sandbox's socket.
fn run_to_end(sandbox: &Sandbox, backend: &str) -> (Output, String) {
    let mut line = Command::new(Monitor::program());
    line.args(["run", "--backend", backend, "--dump-dir"]).arg(sandbox.dumps());
    let output = line.output().expect("run a monitor");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

fn crash(sandbox: &Sandbox, arguments: &[&str]) -> Ended {
    let ended = Host::c().run(sandbox, arguments);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    ended
}

#[test]
fn a_crash_leaves_a_whole_dump_under_the_hosts_name() {
    let sandbox = Sandbox::new();
    let _monitor = Monitor::start_minidumpers(&sandbox);
    let ended = crash(&sandbox, &["segv"]);
    // Visible before the host ends, and nothing half-written beside it.
    let dump = sandbox.dump_of(ended.pid);
    assert_eq!(sandbox.temporary_files(), Vec::<PathBuf>::new());
    dump.check_basics(&Host::c().path, ended.crashing_thread());
    assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, 0xdead000));
    let program = Host::c().path.file_name().unwrap().to_str().unwrap();
    let name = dump.path.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(&format!("{program}-")), "{name}");
    assert_eq!(dump.path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn dumps_go_where_each_host_wants_them() {
    let sandbox = Sandbox::new();
    let _monitor = Monitor::start_minidumpers(&sandbox);
    let elsewhere = sandbox.path().join("elsewhere");
    let mut command = Command::new(&Host::c().path);
    let ended = Running::start(command.arg(&elsewhere).arg(sandbox.socket()).arg("fork")).end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    // Of a forked child and of its parent.
    let child: u32 = ended.said("child ").split(' ').next().unwrap().parse().unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(&elsewhere).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    for pid in [child, ended.pid] {
        let of_pid = names.iter().position(|name| name.starts_with("host-") && name.ends_with(&format!("-{pid}.dmp")));
        let name = names.remove(of_pid.unwrap_or_else(|| panic!("no dump of {pid} in {names:?}")));
        common::Dump::read(&elsewhere.join(name)).check_basics(&Host::c().path, pid);
    }
    assert_eq!(sandbox.dump_files(), Vec::<PathBuf>::new());
}

#[test]
fn hosts_that_crash_at_once_each_get_their_dump() {
    let sandbox = Sandbox::new();
    let _monitor = Monitor::start_minidumpers(&sandbox);
    let mut hosts: Vec<_> = (0..8).map(|_| Host::c().start(&sandbox, &["wait", "segv"])).collect();
    hosts.iter_mut().for_each(|host| _ = host.wait_for("ready"));
    hosts.iter_mut().for_each(Running::go_on);
    for host in hosts {
        let ended = host.end();
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
        sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
    }
}

#[test]
fn it_ends_with_its_last_host_and_leaves_nothing_but_dumps() {
    let sandbox = Sandbox::new();
    let monitor = run_monitor(&sandbox, &Monitor::program(), &["run"]);
    let ended = crash(&sandbox, &["segv"]);
    assert!(monitor.end().status.success());
    assert_eq!(sandbox.files(), [sandbox.dump_of(ended.pid).path]);
}

#[test]
fn sigterm_ends_it_and_what_a_terminal_sends_does_not() {
    let sandbox = Sandbox::new();
    let monitor = run_monitor(&sandbox, &Monitor::program(), &["run"]);
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::HUP, rustix::process::Signal::QUIT] {
        process::signal(monitor.pid(), signal);
    }
    assert!(is_alive(monitor.pid()) && sandbox.monitor_pid() == Some(monitor.pid()));
    process::signal(monitor.pid(), rustix::process::Signal::TERM);
    assert!(monitor.end().status.success());
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

#[test]
fn a_socket_has_one_monitor_whichever_its_backend() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start_minidumpers(&sandbox);
    for backend in ["linux", "minidumper"] {
        let (output, said) = run_to_end(&sandbox, backend);
        assert!(output.status.success() && said.contains("another monitor listens"), "{output:?}");
    }
    monitor.assert_serves(&sandbox);
    drop(monitor);

    let sandbox = Sandbox::new();
    let monitor = Monitor::start(&sandbox);
    let (_, said) = run_to_end(&sandbox, "minidumper");
    assert!(said.contains("another monitor listens"), "{said}");
    monitor.assert_serves(&sandbox);
}

#[test]
fn what_lies_at_the_sockets_path_and_is_no_monitors_is_left_alone() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.dumps()).unwrap();
    std::fs::write(sandbox.socket(), "somebody's").unwrap();
    let (output, said) = run_to_end(&sandbox, "minidumper");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said.contains("not a socket and is left alone"), "{said}");
    assert_eq!(std::fs::read_to_string(sandbox.socket()).unwrap(), "somebody's");
    std::fs::remove_file(sandbox.socket()).unwrap();

    let listener = UnixListener::bind(sandbox.socket()).unwrap();
    let (output, said) = run_to_end(&sandbox, "minidumper");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said.contains("Protocol wrong type"), "{said}");
    std::os::unix::net::UnixStream::connect(sandbox.socket()).expect("it is still there");
    drop(listener);
}

#[test]
fn a_monitor_that_is_stopped_is_there_all_the_same() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start_minidumpers(&sandbox);
    process::signal(monitor.pid(), rustix::process::Signal::STOP);
    // Its queue is full soon, and then connect(2) waits.
    let connect = |_| {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let connected = rustix::net::connect(&socket, &SocketAddrUnix::new(sandbox.socket()).unwrap());
        (socket, connected.is_ok())
    };
    let waiting: Vec<_> = (0..2000).map(connect).take_while(|(_, connected)| *connected).collect();
    assert!(waiting.len() < 2000, "the queue is full");
    let (output, said) = run_to_end(&sandbox, "minidumper");
    assert!(output.status.success() && said.contains("another monitor listens"), "{output:?}");
    drop(waiting);
    process::signal(monitor.pid(), rustix::process::Signal::CONT);
    monitor.assert_serves(&sandbox);
}

#[test]
fn another_monitors_socket_is_not_removed() {
    for start in [Monitor::start, Monitor::start_minidumpers] {
        let sandbox = Sandbox::new();
        let first = run_monitor(&sandbox, &Monitor::program(), &["run"]);
        // As somebody does who tidies up; another one then finds nobody.
        std::fs::remove_file(sandbox.socket()).unwrap();
        let second = start(&sandbox);
        process::signal(first.pid(), rustix::process::Signal::TERM);
        assert!(first.end().status.success());
        second.assert_serves(&sandbox);
    }
}

#[test]
fn a_malformed_crash_ends_it_and_its_log_says_why() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start_minidumpers(&sandbox);
    let peer = Peer::connect(&sandbox.socket());
    peer.send(&peer::frame(peer::CRASH, &[0; 12])).unwrap();
    wait_until("the monitor to end", || monitor.log().contains("ending: minidumper's server: "));
}

#[test]
fn dumps_on_demand_are_refused_at_once() {
    let sandbox = Sandbox::new();
    let _monitor = Monitor::start_minidumpers(&sandbox);
    let host = Host::build("extras.c", "extras_minidumper", &[]);
    let ended = host.run(&sandbox, &["dump-now"]);
    assert_eq!(ended.said("status "), crash_monitor::CM_ERR_UNSUPPORTED.to_string(), "{ended:?}");
    assert!(ended.took < Duration::from_secs(5), "{ended:?}");
}

#[test]
fn many_dumps_leave_nothing_in_its_memory() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start_minidumpers(&sandbox);
    let mappings = || std::fs::read_to_string(format!("/proc/{}/maps", monitor.pid())).unwrap().lines().count();
    (0..3).for_each(|_| _ = crash(&sandbox, &["segv"]));
    let before = mappings();
    (0..10).for_each(|_| _ = crash(&sandbox, &["segv"]));
    assert!(mappings() < before + 10, "{before} mappings have become {}", mappings());
}

#[test]
fn dumps_that_wait_to_be_finished_cost_no_thread_each() {
    const CRASHES: usize = 5;
    let sandbox = Sandbox::new();
    let host = Host::build("callbacks.c", "callbacks_held", &[]);
    let monitor = run_monitor(&sandbox, &host.path, &["--crash-monitor", "--stay"]);
    let hold = sandbox.dumps().join("hold");
    run(Command::new("mkfifo").arg(&hold));
    for _ in 0..CRASHES {
        let ended = Running::start(Command::new(&host.path).arg(sandbox.dumps()).arg("plain")).end();
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    }
    let threads = std::fs::read_dir(format!("/proc/{}/task", monitor.pid())).unwrap().count();
    assert_eq!(threads, 2, "the server's and the one that is in the program's function");
    // Linux opens a FIFO for both at once, and from then on does not hold up its readers (fifo(7)).
    let _opened = std::fs::OpenOptions::new().read(true).write(true).open(&hold).unwrap();
    process::signal(monitor.pid(), rustix::process::Signal::TERM);
    assert!(monitor.end().status.success());
    let is_seen = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "seen");
    assert_eq!(sandbox.files().into_iter().filter(is_seen).count(), CRASHES, "it has seen to all before it ended");
}

#[test]
fn a_directory_that_cannot_be_written_to_costs_its_own_hosts_dump_and_no_more() {
    let sandbox = Sandbox::new();
    let monitor = Monitor::start_minidumpers(&sandbox);
    let mut host = Host::c().start(&sandbox, &["wait", "segv"]);
    host.wait_for("ready");
    // Its socket is open already.
    let aside = sandbox.path().join("aside");
    std::fs::rename(sandbox.dumps(), &aside).unwrap();
    std::fs::write(sandbox.dumps(), "in the way").unwrap();
    let pid = host.pid();
    host.go_on();
    assert_eq!(host.end().signal(), Some(libc::SIGSEGV));
    let expected = format!("cannot write the dump of process {pid}: ");
    assert!(monitor.complaints().iter().any(|line| line.contains(&expected)), "{:?}", monitor.complaints());

    // The monitor's own is still no directory.
    let elsewhere = sandbox.path().join("elsewhere");
    let socket = aside.join("monitor.sock");
    let mut command = Command::new(&Host::c().path);
    let ended = Running::start(command.arg(&elsewhere).arg(&socket).arg("segv")).end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 1);

    std::fs::remove_file(sandbox.dumps()).unwrap();
    std::fs::rename(&aside, sandbox.dumps()).unwrap();
    monitor.assert_serves(&sandbox);
}

#[test]
fn the_newest_dumps_stay() {
    let sandbox = Sandbox::new();
    let _monitor = Monitor::start_minidumpers(&sandbox);
    let pids: Vec<u32> = (0..3).map(|_| crash(&sandbox, &["keep", "1", "1000000000"]).pid).collect();
    // Old ones are removed after the host has been let go.
    wait_until("the older ones to be removed", || sandbox.dump_files().len() == 1);
    sandbox.dump_of(pids[2]).check_basics(&Host::c().path, pids[2]);
}

#[test]
fn the_programs_own_function_is_called_with_the_dump_and_no_record() {
    let sandbox = Sandbox::new();
    let host = Host::build("callbacks.c", "callbacks_minidumper", &[]);
    let monitor = run_monitor(&sandbox, &host.path, &["--crash-monitor"]);
    let mut command = Command::new(&host.path);
    let ended = Running::start(command.arg(sandbox.dumps()).arg("plain")).end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    // It waits for the function before it ends.
    assert!(monitor.end().status.success());
    let dump = sandbox.dump_of(ended.pid).path;
    let seen = std::fs::read_to_string(format!("{}.seen", dump.display())).expect("what the function has written");
    let (pid, dump) = (ended.pid, dump.display());
    // What that server knows; of annotations and attached files it knows nothing.
    let expected = format!(
        "told so\nversion 1\nkind 1\ndump {dump}\nrecord -\napp callbacks_minidumper\npid {pid}\nthread {pid}\n\
         signal 11\nexit -1\nreason -\nunknown -\nnull 1\n"
    );
    assert_eq!(seen, expected);
}

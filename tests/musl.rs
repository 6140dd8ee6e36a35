//! Hosts whose C library is musl, linked statically and not, with a monitor that is built for musl too.

mod common;

use std::path::Path;
use std::sync::OnceLock;

use common::{Ended, Host, Running, Sandbox};

/// The hosts: static and dynamic; none where nothing is built for musl.
fn hosts() -> &'static [Host] {
    static HOSTS: OnceLock<Vec<Host>> = OnceLock::new();
    HOSTS.get_or_init(|| {
        let Some(dist) = common::musl() else { return Vec::new() };
        let build = |name, link| Host::build_with("musl-gcc", &dist, "host.c", name, &[link, "-Wl,--build-id"]);
        vec![build("musl-static", "-static"), build("musl-shared", "-pie")]
    })
}

fn run(host: &Host, sandbox: &Sandbox, arguments: &[&str]) -> Ended {
    let monitor = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/musl/bin/crash-monitor");
    Running::start(host.command(sandbox, arguments).env("CRASH_MONITOR_PATH", monitor)).end()
}

#[test]
fn every_crash_leaves_its_dump_and_its_signal() {
    for (arguments, signal) in [
        (&["segv"][..], libc::SIGSEGV),
        (&["bus"], libc::SIGBUS),
        (&["fpe"], libc::SIGFPE),
        (&["ill"], libc::SIGILL),
        (&["trap"], libc::SIGTRAP),
        (&["abort"], libc::SIGABRT),
        (&["overflow"], libc::SIGSEGV),
        (&["thread", "segv"], libc::SIGSEGV),
        (&["thread", "abort"], libc::SIGABRT),
        (&["thread", "overflow"], libc::SIGSEGV),
        (&["bare-thread", "segv"], libc::SIGSEGV),
        (&["crowd", "segv"], libc::SIGSEGV),
    ] {
        for host in hosts() {
            let sandbox = Sandbox::new();
            let ended = run(host, &sandbox, arguments);
            assert_eq!(ended.signal(), Some(signal), "{arguments:?} {ended:?}");
            let dump = sandbox.only_dump();
            dump.check_crash(&host.path, ended.crashing_thread());
            assert_eq!(dump.signal(), signal, "{arguments:?}");
            if arguments.ends_with(&["segv"]) {
                assert_eq!(dump.address(), 0xdead000, "{arguments:?}");
            }
            let threads = if arguments[0] == "crowd" { 22 } else { 1 + usize::from(arguments[0].ends_with("thread")) };
            assert_eq!(dump.thread_count(), threads, "{arguments:?}");
            assert_eq!(sandbox.only_record()["failed"], serde_json::json!([]), "{arguments:?}");
        }
    }
}

#[test]
fn a_forked_child_leaves_a_dump_of_its_own() {
    for host in hosts() {
        let sandbox = Sandbox::new();
        let ended = run(host, &sandbox, &["fork", "segv"]);
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
        let (child, signal) = ended.said("child ").split_once(" signal ").unwrap();
        assert_eq!(signal, libc::SIGABRT.to_string());
        let child = child.parse().unwrap();
        let dump = sandbox.dump_of(child);
        dump.check_crash(&host.path, child);
        assert_eq!(dump.signal(), libc::SIGABRT);
        sandbox.dump_of(ended.pid).check_crash(&host.path, ended.pid);
    }
}

#[test]
fn a_host_is_its_own_monitor() {
    for host in hosts() {
        let sandbox = Sandbox::new();
        let mut command = std::process::Command::new(&host.path);
        command.arg("own-monitor").arg(sandbox.dumps()).args(["-", "segv"]);
        let ended = Running::start(&mut command).end();
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
        sandbox.only_dump().check_crash(&host.path, ended.pid);
    }
}

#[test]
fn what_the_host_does_to_its_handlers_holds() {
    for host in hosts() {
        let sandbox = Sandbox::new();
        let ended = run(host, &sandbox, &["handled-segv", "11"]);
        assert_eq!((ended.status.code(), ended.said("handler ")), (Some(42), "11 1 0xdead000"), "{ended:?}");
        sandbox.only_dump().check_crash(&host.path, ended.pid);

        let sandbox = Sandbox::new();
        let ended = run(host, &sandbox, &["reinstall", "abort"]);
        assert_eq!(ended.signal(), Some(libc::SIGABRT), "{ended:?}");
        sandbox.only_dump().check_crash(&host.path, ended.pid);
    }
}

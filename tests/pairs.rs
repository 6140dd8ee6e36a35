//! `cm_install` and `cm_uninstall`, many times and at the same time.

mod common;

use std::sync::OnceLock;

use common::{Ended, Host, Monitor, Sandbox};

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("pairs.c", "pairs", &[]))
}

/// Runs a host against a monitor that stays; whatever it did, it can be armed at the end, and its crash is dumped.
fn run(kind: &str, rounds: u32) -> Ended {
    let sandbox = Sandbox::new();
    let _monitor = Monitor::start(&sandbox);
    let ended = host().run(&sandbox, &[kind, &rounds.to_string()]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    let dump = sandbox.only_dump();
    assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, 0xdead000));
    dump.check_basics(&host().path, ended.pid);
    ended
}

#[test]
fn a_host_that_is_told_that_it_is_installed_is_armed_whatever_another_thread_does() {
    const ROUNDS: u32 = 2_500;
    let ended = run("race", ROUNDS);
    assert_eq!((ended.said("refused "), ended.said("torn ")), ("0", "0"), "{ended:?}");
    assert_eq!(ended.said("told ok "), ROUNDS.to_string());
    let count = |what| ended.said(what).parse::<u32>().unwrap();
    assert_eq!(count("armed ") + count("not installed "), ROUNDS);
}

#[test]
fn installing_and_uninstalling_costs_nothing_over_the_first_times() {
    let ended = run("growth", 3_000);
    assert_eq!(ended.said("address space "), "0", "{ended:?}");
    // The C library's lists of free blocks move by some kilobytes, however many rounds there are.
    let heap: i64 = ended.said("heap ").parse().unwrap();
    assert!(heap < 32 * 1024, "{heap} bytes in 3,000 pairs");
}

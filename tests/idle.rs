//! A monitor that has nothing to do costs nothing: neither it nor its spare writer runs, and both are small.

mod common;

use std::process::Command;

use common::{Host, Sandbox, process};

/// How often the process has been on a processor: it leaves it each time by itself or because others want it.
fn context_switches(pid: u32) -> u64 {
    let count = |name| process::status(pid, name).expect("the process is there").parse::<u64>().expect("a number");
    count("voluntary_ctxt_switches") + count("nonvoluntary_ctxt_switches")
}

/// Work of the same kind and size each time, of about a second.
fn work() {
    let mut command = Command::new("python3");
    common::run(command.args(["-c", "sum(i * i for i in range(10_000_000))"]));
}

#[test]
fn an_idle_monitor_does_not_run_and_stays_small() {
    let sandbox = Sandbox::new();
    let mut host = Host::c().start(&sandbox, &["wait", "segv"]);
    host.wait_for("ready");
    // It has served a crash, too.
    let ended = Host::c().run(&sandbox, &["segv"]);
    sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
    let monitor = sandbox.monitor_pid().expect("a monitor");
    // It has heard of all that by now: what it hears of wakes it before those that caused it go on.
    common::wait_until("the monitor to sleep", || {
        let sleeps = |pid| process::stat(pid, 3).as_deref() == Some("S");
        process::writers(monitor).is_empty() && process::spare(monitor).is_some_and(sleeps) && sleeps(monitor)
    });
    let spare = process::spare(monitor).expect("just seen");

    let before = [monitor, spare].map(context_switches);
    work();
    assert_eq!([monitor, spare].map(context_switches), before, "one has run while nobody wanted anything");

    let kilobytes = |name| process::status(monitor, name).unwrap().trim_end_matches(" kB").parse::<u64>().unwrap();
    let (resident, own) = (kilobytes("VmRSS"), kilobytes("RssAnon"));
    println!("resident: {resident} KiB, of which its own: {own} KiB");
    assert!(own <= 512, "{own} KiB are its own");
    // The rest are pages of files that others share. How many the kernel maps around those that are used depends on its
    // page cache: some hundred KiB more or less.
    assert!(resident <= 3072, "{resident} KiB resident, {own} KiB of them its own");

    let rollup =
        std::fs::read_to_string(format!("/proc/{spare}/smaps_rollup")).expect("read the spare writer's memory");
    let private = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).expect("a sum");
    let private: u64 = private.trim().trim_end_matches(" kB").parse().expect("a number");
    println!("the spare writer's own: {private} KiB");
    assert!(private <= 250, "{private} KiB are the spare writer's own");

    host.go_on();
    let ended = host.end();
    sandbox.dump_of(ended.pid).check_basics(&Host::c().path, ended.pid);
}

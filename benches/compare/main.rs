//! crash-monitor against `minidumper::Server`, in turn in the same run: how soon a dump is there, what a crowd of crashes
//! costs, what the monitor costs while nothing happens, what installing and each further call costs, how large the dumps
//! are.
//!
//! `make bench`, or `cargo bench -- --quick` for fewer rounds once `make dist` has been run. This one program is the
//! benchmark, the hosts and minidumper's server: it starts itself with another first argument.

#![allow(unsafe_code)] // The clock, shared memory, loading the library, and the fault itself.

#[path = "../../tests/common/mod.rs"]
mod common;

mod calls;
mod crash;
mod host;
mod idle;
mod library;
mod rival;
mod table;

use std::time::Duration;

use calls::Calls;
use crash::Outcome;
use host::{Load, Reporter};
use idle::Idle;
use table::{Goal, Row, Samples};

/// What a host is like when it crashes; how many times as long as minidumper we may take to its dump; and how many
/// milliseconds longer than without us its end may take.
const LOADS: [(&str, Load, f64, f64); 6] = [
    ("no further thread", Load { threads: 0, mebibytes: 10 }, 0.35, 1.0),
    ("10 threads", Load { threads: 10, mebibytes: 10 }, 0.35, 1.5),
    ("100 threads", Load { threads: 100, mebibytes: 10 }, 0.27, 3.5),
    ("1,000 threads", Load { threads: 1000, mebibytes: 10 }, 0.16, 20.0),
    ("no thread, no memory", Load { threads: 0, mebibytes: 0 }, 0.35, 1.0),
    ("1 GiB of memory", Load { threads: 0, mebibytes: 1024 }, 1.0, 2.0),
];
/// Hosts that crash at once, each of them as the third of [`LOADS`].
const CROWD: usize = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["host", reporter, directory, threads, mebibytes] => {
            let number = |text: &str| text.parse().expect("a number");
            let load = Load { threads: number(threads), mebibytes: number(mebibytes) };
            host::run(Reporter::from_name(reporter), directory.as_ref(), load);
        }
        ["calls", reporter, directory] => calls::run_here(Reporter::from_name(reporter), directory.as_ref()),
        ["minidumper-server", directory] => rival::serve(directory.as_ref()),
        _ => compare(words.contains(&"--quick")),
    }
}

/// In the order of [`Reporter::ALL`].
type Outcomes = [Vec<Outcome>; Reporter::ALL.len()];

/// Everything that was measured.
struct Measured {
    /// One host's crashes, by load.
    single: [Outcomes; LOADS.len()],
    /// Crashes of many hosts at once.
    crowds: Outcomes,
    /// What a living process calls.
    calls: [Vec<Calls>; 2],
    idle: [Idle; 2],
}

fn compare(quick: bool) {
    let rounds = if quick { 3 } else { 15 };
    let idle_time = Duration::from_secs(if quick { 2 } else { 10 });
    let mut single = LOADS.map(|_| Reporter::ALL.map(|_| Vec::new()));
    let mut crowds = Reporter::ALL.map(|_| Vec::new());
    let mut calls = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for ((_, load, ..), outcomes) in LOADS.iter().zip(&mut single) {
            for reporter in Reporter::ALL {
                outcomes[reporter as usize].push(crash::run(reporter, *load, 1));
            }
        }
        for reporter in Reporter::ALL {
            crowds[reporter as usize].push(crash::run(reporter, LOADS[2].1, CROWD));
        }
        for reporter in [Reporter::CrashMonitor, Reporter::Minidumper] {
            calls[reporter as usize].push(calls::measure(reporter));
        }
    }
    eprintln!("idle for {} s", idle_time.as_secs());
    let measured = Measured { single, crowds, calls, idle: idle::watch(idle_time) };
    table::heading(rounds);
    single_crashes(&measured.single);
    crowd_of_crashes(&measured.crowds);
    installing(&measured);
    living(&measured);
    idle_monitors(&measured.idle, idle_time);
}

fn single_crashes(single: &[Outcomes; LOADS.len()]) {
    let rows = |title: &str, measure: fn(&Outcome) -> Option<f64>, goals: [Goal; LOADS.len()]| {
        table::section(title);
        for (((name, ..), outcomes), goal) in LOADS.iter().zip(single).zip(goals) {
            Row::new(name, outcomes.each_ref().map(|of| Samples::of(of, measure)), goal).print();
        }
    };
    rows("fault to dump visible, ms", |outcome| outcome.visible, LOADS.map(|(_, _, ratio, _)| Goal::Ratio(ratio)));
    rows("fault to process reaped, ms", |outcome| Some(outcome.reaped), LOADS.map(|(.., more)| Goal::OverNone(more)));
    rows("size of the dump, kB", Outcome::kilobytes, LOADS.map(|_| Goal::None));
}

fn crowd_of_crashes(crowds: &Outcomes) {
    table::section(&format!("{CROWD} hosts of {} threads crash at once", LOADS[2].1.threads));
    let row = |name: &str, measure: fn(&Outcome) -> Option<f64>, goal| {
        Row::new(name, crowds.each_ref().map(|of| Samples::of(of, measure)), goal).print();
    };
    row("first fault to last dump, ms", |outcome| outcome.visible, Goal::Ratio(1.0));
    row("first fault to last reaped, ms", |outcome| Some(outcome.reaped), Goal::Ratio(1.0));
    row("dumps", |outcome| Some(outcome.dumps.len() as f64), Goal::AtLeast(CROWD as f64));
}

/// The first host of each run has started its monitor, the further ones of a crowd have not.
fn installing(measured: &Measured) {
    let [ours, theirs, _] = &measured.single[0];
    let starting = [ours, theirs].map(|of| Samples::of(of, |outcome| outcome.installs.first().copied()));
    let [ours, theirs, _] = &measured.crowds;
    let joining = [ours, theirs].map(|of| of.iter().flat_map(|outcome| &outcome.installs[1..]).copied().collect());
    table::section("installing, ms");
    Row::of_two("with a start of the monitor", starting, Goal::AtMost(1.1)).print();
    Row::of_two("to a running monitor", joining, Goal::AtMost(0.22)).print();
}

fn living(measured: &Measured) {
    let row = |name: &str, measure: fn(&Calls) -> Option<f64>, goal| {
        Row::of_two(name, measured.calls.each_ref().map(|of| Samples::of(of, measure)), goal).print();
    };
    table::section("calls of a living process, us");
    row("annotation / message", |calls| Some(calls.message), Goal::AtMost(0.2));
    row("thread annotation", |calls| calls.thread, Goal::None);
    row("log line", |calls| calls.log, Goal::None);
    row("heartbeat", |calls| calls.heartbeat, Goal::AtMost(0.02));
    row("file attached", |calls| calls.file, Goal::None);
    row("memory added and removed", |calls| calls.memory, Goal::None);
    table::section(&format!("dump on demand of {} threads, ms", calls::THREADS));
    let [ours, ..] = &measured.single[2];
    let crash = Samples::of(ours, |outcome| Some(outcome.reaped)).median().expect("crashes of as many threads");
    row("until it is there", |calls| Some(calls.dump), Goal::AtMost(crash));
    row("a running thread stands still", |calls| Some(calls.stall), Goal::None);
}

fn idle_monitors(idle: &[Idle; 2], time: Duration) {
    table::section(&format!("the monitor, idle for {} s with one host", time.as_secs()));
    let row = |name: &str, measure: fn(&Idle) -> f64, goal| {
        Row::of_two(name, idle.each_ref().map(|idle| Samples::from_iter([measure(idle)])), goal).print();
    };
    row("context switches", |idle| idle.switches, Goal::AtMost(0.0));
    row("resident, kB (VmRSS)", |idle| idle.resident, Goal::AtMost(2048.0));
    row("of that its own, kB (RssAnon)", |idle| idle.own, Goal::AtMost(600.0));
}

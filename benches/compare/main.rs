//! crash-monitor against `minidumper::Server`, in turn in the same run: how soon a dump is there, what a crowd of crashes
//! costs, what the monitor costs while nothing happens, what installing costs, how large the dumps are.
//!
//! `make bench`, or `cargo bench -- --quick` for fewer rounds once `make dist` has been run. This one program is the
//! benchmark, the hosts and minidumper's server: it starts itself with another first argument.

#![allow(unsafe_code)] // The clock, shared memory, loading the library, and the fault itself.

#[path = "../../tests/common/mod.rs"]
mod common;

mod crash;
mod host;
mod idle;
mod rival;
mod table;

use std::time::Duration;

use crash::Outcome;
use host::{Load, Reporter};
use table::{Goal, Row, Samples};

/// What a host is like when it crashes, and how many times as long as minidumper we may take to its dump.
const LOADS: [(&str, Load, f64); 6] = [
    ("no further thread", Load { threads: 0, mebibytes: 0 }, 1.0),
    ("10 threads", Load { threads: 10, mebibytes: 0 }, 1.0),
    ("100 threads", Load { threads: 100, mebibytes: 0 }, 1.0 / 3.0),
    ("1,000 threads", Load { threads: 1000, mebibytes: 0 }, 1.0 / 3.0),
    ("10 MiB of memory", Load { threads: 0, mebibytes: 10 }, 1.0),
    ("1 GiB of memory", Load { threads: 0, mebibytes: 1024 }, 1.0),
];
/// What Crashpad writes on x86-64 Debian 12, in kB, for the loads it was measured with; our dumps may have more by the
/// streams that its do not: the lists of mappings and of processors.
const CRASHPAD_DUMPS: [(usize, f64); 2] = [(0, 13.0), (3, 3600.0)];
/// Hosts that crash at once.
const CROWD: usize = 32;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["host", reporter, directory, threads, mebibytes] => {
            let number = |text: &str| text.parse().expect("a number");
            let load = Load { threads: number(threads), mebibytes: number(mebibytes) };
            host::run(Reporter::from_name(reporter), directory.as_ref(), load);
        }
        ["minidumper-server", directory] => rival::serve(directory.as_ref()),
        _ => compare(words.contains(&"--quick")),
    }
}

fn compare(quick: bool) {
    let rounds = if quick { 3 } else { 15 };
    let idle_time = Duration::from_secs(if quick { 2 } else { 10 });
    // By load, then by reporter.
    let mut single = LOADS.map(|_| Reporter::ALL.map(|_| Vec::new()));
    let mut crowds = Reporter::ALL.map(|_| Vec::new());
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        for reporter in Reporter::ALL {
            for ((_, load, _), outcomes) in LOADS.iter().zip(&mut single) {
                outcomes[reporter as usize].push(crash::run(reporter, *load, 1));
            }
            let load = Load { threads: 0, mebibytes: 0 };
            crowds[reporter as usize].push(crash::run(reporter, load, CROWD));
        }
    }
    eprintln!("idle for {} s", idle_time.as_secs());
    let idle = idle::watch(idle_time);

    table::heading(rounds);
    let rows = |title: &str, measure: fn(&Outcome) -> Option<f64>, goals: [Goal; LOADS.len()]| {
        table::section(title);
        for (((name, ..), outcomes), goal) in LOADS.iter().zip(&single).zip(goals) {
            Row::new(name, outcomes.each_ref().map(|of| Samples::of(of, measure)), goal).print();
        }
    };
    rows("fault to dump visible, ms", |outcome| outcome.visible, LOADS.map(|(.., ratio)| Goal::Ratio(ratio)));
    rows("fault to process reaped, ms", |outcome| Some(outcome.reaped), LOADS.map(|_| Goal::Ratio(1.0)));
    rows("size of the dump, kB", Outcome::kilobytes, LOADS.map(|_| Goal::None));
    for (load, crashpad) in CRASHPAD_DUMPS {
        println!("  Crashpad, {}: {crashpad} kB", LOADS[load].0);
    }

    let crowd = |name: &str, measure: fn(&Outcome) -> Option<f64>, goal| {
        Row::new(name, crowds.each_ref().map(|of| Samples::of(of, measure)), goal).print();
    };
    table::section(&format!("{CROWD} hosts crash at once"));
    crowd("first fault to last dump, ms", |outcome| outcome.visible, Goal::Ratio(1.0));
    crowd("first fault to last reaped, ms", |outcome| Some(outcome.reaped), Goal::Ratio(1.0));
    crowd("dumps", |outcome| Some(outcome.dumps.len() as f64), Goal::Ours(CROWD as f64));

    table::section("installing, ms");
    let starting = single[0].each_ref().map(|of| Samples::of(of, |outcome| outcome.installs.first().copied()));
    Row::new("with a start of the monitor", starting, Goal::Ours(1.0)).print();
    let joining = crowds.each_ref().map(|of| of.iter().flat_map(|outcome| outcome.installs[1..].iter().copied()));
    Row::new("to a running monitor", joining.map(Samples::from_iter), Goal::Ours(0.2)).print();

    table::section(&format!("the monitor, idle for {} s with one host", idle_time.as_secs()));
    let idle = |name: &str, measure: fn(&idle::Idle) -> f64, goal| {
        let [ours, theirs] = idle.each_ref().map(|idle| Samples::from_iter([measure(idle)]));
        Row::new(name, [ours, theirs, Samples::default()], goal).print();
    };
    idle("context switches", |idle| idle.switches, Goal::Ours(0.0));
    idle("resident, kB (VmRSS)", |idle| idle.resident, Goal::Ours(4096.0));
    idle("of that its own, kB (RssAnon)", |idle| idle.own, Goal::None);
}

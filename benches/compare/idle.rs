//! Monitors that have nothing to do.

use std::time::Duration;

use crate::LOADS;
use crate::common::Sandbox;
use crate::crash::Host;
use crate::host::Reporter;

/// What a monitor costs while its one host runs.
pub struct Idle {
    pub switches: f64,
    /// In kB, as the kernel counts them (proc(5), VmRSS and RssAnon).
    pub resident: f64,
    pub own: f64,
}

/// Watches both monitors for the same `time`.
pub fn watch(time: Duration) -> [Idle; 2] {
    let (gate, _key) = std::io::pipe().expect("make a pipe");
    let served = [Reporter::CrashMonitor, Reporter::Minidumper].map(|reporter| {
        let sandbox = Sandbox::new();
        std::fs::create_dir(sandbox.dumps()).expect("make the dump directory");
        let host = Host::start(reporter, LOADS[0].1, &sandbox, &gate);
        let monitor = sandbox.monitor_pid().expect("a monitor that listens");
        (host, sandbox, monitor)
    });
    // Asking who the monitor is has woken it up. This is long enough for that to be over.
    std::thread::sleep(Duration::from_millis(300));
    let before = served.each_ref().map(|(.., monitor)| switches(*monitor));
    std::thread::sleep(time);
    let mut before = before.into_iter();
    served.each_ref().map(|(.., monitor)| Idle {
        switches: switches(*monitor) - before.next().expect("one each"),
        resident: number(*monitor, "VmRSS"),
        own: number(*monitor, "RssAnon"),
    })
}

fn switches(pid: u32) -> f64 {
    number(pid, "voluntary_ctxt_switches") + number(pid, "nonvoluntary_ctxt_switches")
}

/// A number of /proc/PID/status. Both monitors have one thread.
fn number(pid: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the monitor lives");
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("a line of status");
    value.trim().trim_end_matches(" kB").parse().expect("a number")
}

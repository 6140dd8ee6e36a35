//! Hosts in process name spaces below the monitor's (pid_namespaces(7)): they know their processes and threads by other ids than
//! the monitor does. In dumps and records are the monitor's.

use std::collections::BTreeMap;

use super::process_info::Status;

/// The id that a process has for itself; `pid` where that cannot be read.
pub(super) fn own_id(pid: i32) -> i32 {
    Status::of(pid).and_then(|status| status.ids()?.last().copied()).unwrap_or(pid)
}

/// The monitor's id of a thread that the process calls `own`.
pub(super) fn thread(pid: i32, own: i32) -> i32 {
    threads(pid).and_then(|threads| threads.get(&own).copied()).unwrap_or(own)
}

/// The monitor's ids of a process's threads by the process's own. None where they are the same.
pub(super) fn threads(pid: i32) -> Option<BTreeMap<i32, i32>> {
    Status::of(pid)?.ids().filter(|ids| ids.len() > 1)?;
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let tids = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
    Some(tids.filter_map(|tid| Some((*Status::of_thread(pid, tid)?.ids()?.last()?, tid))).collect())
}

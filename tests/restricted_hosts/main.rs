//! Hosts that may do less than others, have less than others, or live in a world of their own: each gets the best dump
//! there is, without delay, and ends by its signal.

#[path = "../common/mod.rs"]
mod common;

mod commoner;
mod limits;
mod namespaces;
mod rights;
mod surroundings;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use common::{Dump, Ended, Host, Sandbox};

/// `tests/hosts/restricted.c`.
fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("restricted.c", "restricted", &[]))
}

/// The deadline is 10 s; none of these hosts has to wait for that.
fn assert_ended_by(ended: &Ended, signal: i32) {
    assert_eq!(ended.signal(), Some(signal), "{ended:?}");
    assert!(ended.took < Duration::from_secs(8), "took {:?}", ended.took);
}

/// What every dump of a host's `crash_segv` must have.
fn assert_segv_of(dump: &Dump, executable: &Path, thread: u32) {
    dump.check_basics(executable, thread);
    assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, 0xdead000));
    assert_eq!(Path::new(&dump.crashing_module()), executable.canonicalize().unwrap());
}

/// What every dump of a host's abort(3) must have: of a signal that the thread has sent to itself.
fn assert_abort_of(dump: &Dump, thread: u32) {
    dump.check_basics(&host().path, thread);
    assert_eq!((dump.signal(), dump.code()), (libc::SIGABRT, libc::SI_TKILL));
    assert!(dump.crashing_module().contains("/libc.so"), "where abort(3) is: {}", dump.crashing_module());
}

/// Has a host of this kind crash by SIGSEGV, and checks its dump and how it ended.
fn crash(arguments: &[&str]) -> (Ended, Dump, Sandbox) {
    let sandbox = Sandbox::new();
    let ended = host().run(&sandbox, arguments);
    assert_ended_by(&ended, libc::SIGSEGV);
    let dump = sandbox.only_dump();
    assert_segv_of(&dump, &host().path, ended.crashing_thread());
    (ended, dump, sandbox)
}

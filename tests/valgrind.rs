//! A host in Valgrind, which emulates signals and does not take all that the kernel does.

mod common;

use std::process::Command;

use common::{Host, Running, Sandbox};

#[test]
fn a_host_in_valgrind_leaves_its_dump_and_ends_by_its_signal() {
    let Some(valgrind) = common::program("valgrind") else {
        return common::skip("there is no valgrind on PATH");
    };
    let crashes = [("segv", libc::SIGSEGV), ("trap", libc::SIGTRAP), ("abort", libc::SIGABRT), ("fpe", libc::SIGFPE)];
    for (kind, signal) in crashes {
        let sandbox = Sandbox::new();
        let mut command = Command::new(&valgrind);
        let log = sandbox.path().join("valgrind.log");
        command
            .arg("-q")
            .arg(format!("--log-file={}", log.display()))
            .arg(&Host::c().path)
            .arg(sandbox.dumps())
            .args(["-", kind]);
        let ended = Running::start(&mut command).end();
        assert_eq!(ended.signal(), Some(signal), "{kind}: {ended:?}");
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(!said.contains("uninitialised"), "bytes of nobody's were sent: {said}");
        let dump = sandbox.only_dump();
        assert_eq!((dump.signal(), dump.crashing_thread()), (signal, ended.crashing_thread()), "{kind}");
        if signal == libc::SIGSEGV {
            assert_eq!(dump.address(), 0xdead000);
        }
    }
}

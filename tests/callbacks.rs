//! The program's own functions: at the crash, after the dump, for the log; and what it wants in its dumps or not.

mod common;

use std::path::PathBuf;
use std::sync::OnceLock;

use common::{Dump, Ended, Host, Running, Sandbox};
use minidump::{MinidumpLinuxEnviron, MinidumpMemoryList};

const SECRET: &[u8] = b"correct-horse-battery-staple";

fn run(sandbox: &Sandbox, kind: &str) -> Ended {
    static HOST: OnceLock<Host> = OnceLock::new();
    let host = HOST.get_or_init(|| Host::build("callbacks.c", "callbacks", &[]));
    let mut command = std::process::Command::new(&host.path);
    let ended = Running::start(command.arg(sandbox.dumps()).arg(kind).env("TOKEN", "in the environment")).end();
    sandbox.wait_for_monitors_end();
    ended
}

fn seen(sandbox: &Sandbox) -> Vec<PathBuf> {
    sandbox.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "seen")).collect()
}

fn holds(dump: &Dump, secret: &[u8]) -> bool {
    std::fs::read(&dump.path).unwrap().windows(secret.len()).any(|window| window == secret)
}

#[test]
fn the_dump_callback_is_called_after_each_report() {
    let sandbox = Sandbox::new();
    assert_eq!(run(&sandbox, "plain").signal(), Some(libc::SIGSEGV));
    let dump = sandbox.only_dump();
    let [seen] = &seen(&sandbox)[..] else { panic!("called once: {:?}", sandbox.files()) };
    let record = dump.path.with_extension("json");
    let expected = format!("told so\n{}\n{}\n", dump.path.display(), record.display());
    assert_eq!(std::fs::read_to_string(seen).unwrap(), expected);
}

#[test]
fn the_dump_callback_of_a_death_gets_the_record_alone() {
    let sandbox = Sandbox::new();
    assert_eq!(run(&sandbox, "killed").signal(), Some(libc::SIGKILL));
    let [seen] = &seen(&sandbox)[..] else { panic!("called once: {:?}", sandbox.files()) };
    let text = std::fs::read_to_string(seen).unwrap();
    assert!(text.starts_with("told so\n-\n") && text.ends_with(".json\n"), "{text}");
}

#[test]
fn a_thread_that_could_not_stop_is_let_go_before_the_dump_callback_ends() {
    let sandbox = Sandbox::new();
    let host = Host::build("vforks.c", "vforks", &[]);
    let mut command = std::process::Command::new(&host.path);
    let ended = Running::start(command.arg(sandbox.dumps())).end();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.said("callback "), "goes on", "{ended:?}");
    let record = sandbox.only_record();
    assert!(record["failed"].to_string().contains("1 did not stop"), "{record}");
}

#[test]
fn the_crash_callback_is_called_in_the_crashing_thread_and_may_veto() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, "callback");
    assert_eq!((ended.signal(), ended.output.ends_with("called\n")), (Some(libc::SIGSEGV), true), "{ended:?}");
    sandbox.only_dump();

    let sandbox = Sandbox::new();
    let ended = run(&sandbox, "veto");
    assert_eq!((ended.signal(), ended.output.ends_with("called to veto\n")), (Some(libc::SIGSEGV), true), "{ended:?}");
    assert_eq!(sandbox.dump_files().len(), 0);
}

#[test]
fn a_fault_that_would_not_come_again_ends_the_process_all_the_same() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, "mend");
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    sandbox.only_dump();
}

#[test]
fn the_environment_is_in_a_dump_that_asks_for_it() {
    let sandbox = Sandbox::new();
    run(&sandbox, "environment");
    let dump = sandbox.only_dump();
    let environment: MinidumpLinuxEnviron<'_> = dump.dump.get_stream().expect("the environment");
    // Its entries end with a NUL each (proc(5)).
    let bytes = environment.raw_bytes();
    assert!(bytes.split(|byte| *byte == 0).any(|entry| entry == b"TOKEN=in the environment"));
}

#[test]
fn sanitized_stacks_hold_code_addresses_and_no_secrets() {
    let plain = Sandbox::new();
    run(&plain, "plain");
    assert!(holds(&plain.only_dump(), SECRET), "the secret is on the stack");

    let sanitized = Sandbox::new();
    run(&sanitized, "sanitize");
    let dump = sanitized.only_dump();
    assert!(!holds(&dump, SECRET));
    // The return address into main is still there.
    let (stack, bytes) = dump.crashing_stack();
    let module = dump.modules().into_iter().next().unwrap();
    let code = minidump::Module::base_address(&module)
        ..minidump::Module::base_address(&module) + minidump::Module::size(&module);
    let words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    assert!(words.into_iter().any(|word| code.contains(&word)), "no code address in the stack at {stack:#x}");
    let memory: MinidumpMemoryList<'_> = dump.dump.get_stream().unwrap();
    assert!(memory.iter().count() > 0);
}

/// Crashes of hosts whose dump callback does something of this kind; everything that it leaves ends when this is dropped.
struct AfterDump<'a> {
    sandbox: &'a Sandbox,
    kind: &'static str,
}

impl AfterDump<'_> {
    /// So many hosts crash, all at once, and each has its dump as soon as it has ended.
    fn crash(&self, hosts: usize) {
        static HOST: OnceLock<Host> = OnceLock::new();
        let host = HOST.get_or_init(|| Host::build("after_dump.c", "after_dump", &[]));
        let start = || Running::start(std::process::Command::new(&host.path).arg(self.sandbox.dumps()).arg(self.kind));
        let running: Vec<_> = (0..hosts).map(|_| start()).collect();
        for host in running {
            let ended = host.end();
            assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
            assert!(ended.took < std::time::Duration::from_secs(8), "took {:?}", ended.took);
            assert_eq!(self.sandbox.dump_of(ended.pid).signal(), libc::SIGSEGV);
        }
    }

    /// How many callbacks have said that they have begun.
    fn begun(&self) -> usize {
        self.sandbox.files().iter().filter(|path| path.extension().is_some_and(|e| e == "begun")).count()
    }
}

impl Drop for AfterDump<'_> {
    fn drop(&mut self) {
        std::fs::write(self.sandbox.dumps().join("enough"), "").unwrap();
    }
}

#[test]
fn a_dump_callback_that_becomes_another_program_holds_up_nothing() {
    let sandbox = Sandbox::new();
    let after = AfterDump { sandbox: &sandbox, kind: "exec" };
    after.crash(1);
    common::wait_until("the callback", || after.begun() == 1);
    after.crash(6);
    drop(after);
    sandbox.wait_for_monitors_end();
}

#[test]
fn a_dump_callback_that_closes_all_descriptors_holds_up_nothing() {
    let sandbox = Sandbox::new();
    let after = AfterDump { sandbox: &sandbox, kind: "close" };
    after.crash(1);
    common::wait_until("the callback", || after.begun() == 1);
    after.crash(6);
    drop(after);
    sandbox.wait_for_monitors_end();
}

#[test]
fn a_dump_callback_that_starts_a_daemon_ends_all_the_same() {
    let sandbox = Sandbox::new();
    let after = AfterDump { sandbox: &sandbox, kind: "daemon" };
    // More than there may be callbacks at a time.
    after.crash(10);
    common::wait_until("all callbacks", || after.begun() == 10);
    // The daemons run on, and the monitor does not wait for them.
    sandbox.wait_for_monitors_end();
}

#[test]
fn a_dump_callback_that_takes_its_time_costs_no_crash_its_dump() {
    const HOSTS: usize = 60;
    let sandbox = Sandbox::new();
    let after = AfterDump { sandbox: &sandbox, kind: "slow" };
    for _ in 0..4 {
        after.crash(HOSTS / 4);
    }
    assert_eq!((sandbox.dump_files().len(), after.begun()), (HOSTS, 0));
    drop(after);
    sandbox.wait_for_monitors_end();
    let begun = sandbox.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "begun"));
    assert_eq!(begun.count(), HOSTS, "each callback has been called");
}

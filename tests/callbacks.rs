//! The program's own functions: at the crash, after the dump, for the log; and what it wants in its dumps or not.

mod common;

use std::path::PathBuf;
use std::sync::OnceLock;

use common::{Dump, Ended, Host, Running, Sandbox};
use minidump::{MinidumpLinuxEnviron, MinidumpMemoryList};

const SECRET: &[u8] = b"correct-horse-battery-staple";

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::build("callbacks.c", "callbacks", &[]))
}

fn run(sandbox: &Sandbox, kind: &str) -> Ended {
    let mut command = std::process::Command::new(&host().path);
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

/// What the only call of the callback was told, a line an accessor.
fn told(sandbox: &Sandbox) -> String {
    let [seen] = &seen(sandbox)[..] else { panic!("called once: {:?}", sandbox.files()) };
    std::fs::read_to_string(seen).unwrap()
}

/// The kinds' numbers are part of the ABI.
const CRASH: i32 = 1;
const REQUEST: i32 = 2;
const HANG: i32 = 3;
const DEATH: i32 = 4;

#[test]
fn the_kinds_of_reports_have_their_numbers() {
    use crash_monitor::ffi;
    let kinds = [ffi::CM_REPORT_CRASH, ffi::CM_REPORT_REQUEST, ffi::CM_REPORT_HANG, ffi::CM_REPORT_DEATH];
    assert_eq!(kinds, [CRASH, REQUEST, HANG, DEATH]);
}

#[test]
fn the_report_callback_is_told_of_a_crash() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, "plain");
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    let dump = sandbox.only_dump();
    let (dump_path, record) = (dump.path.display(), dump.path.with_extension("json"));
    let (pid, app) = (ended.pid, host().path.file_name().unwrap().to_str().unwrap());
    let expected = format!(
        "told so\nversion 1\nkind {CRASH}\ndump {dump_path}\nrecord {}\napp {app}\npid {pid}\nthread {pid}\n\
         signal 11\nexit -1\nreason -\nunknown -\nnull 1\n",
        record.display()
    );
    assert_eq!(told(&sandbox), expected);
}

#[test]
fn the_report_callback_is_told_of_a_request_with_what_the_program_has_added() {
    let sandbox = Sandbox::new();
    assert_eq!(run(&sandbox, "everything").status.code(), Some(0));
    let told = told(&sandbox);
    let attachment = sandbox.only_record()["attachments"][0].as_str().unwrap().to_owned();
    let attachment = format!("attachment {}", sandbox.dumps().join(attachment).display());
    let expected =
        [&format!("kind {REQUEST}"), "signal 0", "exit -1", "reason on purpose", "annotation colour=red", &attachment];
    for line in expected {
        assert!(told.lines().any(|told| told == line), "{line:?} in {told}");
    }
    // A NUL does not end a string.
    assert!(told.contains("annotation a\u{fffd}b=c\u{fffd}d\n"), "{told}");
}

#[test]
fn the_report_callback_is_told_of_a_death_with_the_record_alone() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, "killed");
    assert_eq!(ended.signal(), Some(libc::SIGKILL));
    let text = told(&sandbox);
    let pid = format!("pid {}", ended.pid);
    for line in [&format!("kind {DEATH}"), "dump -", &pid, "thread 0", "reason -"] {
        assert!(text.lines().any(|told| told == line), "{line:?} in {text}");
    }
    let record = sandbox.only_record();
    let signal = record["exit"]["signal"]["number"].as_i64().unwrap_or_default();
    assert!(text.contains(&format!("signal {signal}\nexit -1\n")), "{text}: {record}");
    assert!(text.contains(&format!("record {}\n", sandbox.record_files()[0].display())), "{text}");

    let sandbox = Sandbox::new();
    assert_eq!(run(&sandbox, "exits").status.code(), Some(7));
    let (text, record) = (told(&sandbox), sandbox.only_record());
    // Kernels before 6.15 do not tell.
    let status = record["exit"]["status"].as_i64().unwrap_or(-1);
    assert!(text.contains(&format!("signal 0\nexit {status}\n")), "{text}: {record}");
}

#[test]
fn a_callback_that_is_unset_is_not_called() {
    let sandbox = Sandbox::new();
    let directory = sandbox.path().join("unset");
    let mut command = std::process::Command::new(&host().path);
    let ended = Running::start(command.arg(&directory).arg("plain")).end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    common::wait_until("the monitor to end", || !directory.join("monitor.sock").exists());
    let names = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let extensions: Vec<_> = names.map(|path| path.extension().unwrap().to_owned()).collect();
    assert!(extensions.iter().any(|extension| extension == "dmp"), "{extensions:?}");
    assert!(!extensions.iter().any(|extension| extension == "seen"), "{extensions:?}");
}

#[test]
fn a_thread_that_could_not_stop_is_let_go_before_the_report_callback_ends() {
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
        let host = HOST.get_or_init(|| Host::build("report_callback.c", "report_callback", &[]));
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
        // A test that has failed before there was a directory has no callback to end.
        let _ = std::fs::write(self.sandbox.dumps().join("enough"), "");
    }
}

/// A callback of this kind, which does not end by itself, while other hosts crash.
fn assert_holds_up_nothing(kind: &'static str) {
    let sandbox = Sandbox::new();
    let after = AfterDump { sandbox: &sandbox, kind };
    after.crash(1);
    common::wait_until("the callback", || after.begun() == 1);
    after.crash(6);
    drop(after);
    sandbox.wait_for_monitors_end();
}

#[test]
fn a_dump_callback_that_becomes_another_program_holds_up_nothing() {
    assert_holds_up_nothing("exec");
}

#[test]
fn a_dump_callback_that_closes_all_descriptors_holds_up_nothing() {
    assert_holds_up_nothing("close");
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

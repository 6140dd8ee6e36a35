//! A Java virtual machine (HotSpot) as the host. It turns faults of its own code into exceptions, by a handler that was
//! there before us; for a crash that handler writes the machine's own error report and aborts.

mod common;

use std::fs::read_to_string;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use common::{Dump, Ended, Host, Running, Sandbox, run};
use minidump::Module;
use serde_json::json;

/// A JDK, the host's class, and the shim by which that reaches the library.
struct Java {
    jdk: PathBuf,
    shim: Host,
    classes: PathBuf,
}

impl Java {
    /// None, said aloud, where there is no JDK.
    fn get() -> Option<&'static Self> {
        static JAVA: OnceLock<Option<Java>> = OnceLock::new();
        let java = JAVA.get_or_init(|| {
            // <JDK>/bin/javac
            Some(Self::build(common::program("javac")?.ancestors().nth(2)?))
        });
        if java.is_none() {
            common::skip("there is no javac; on Debian the package is default-jdk-headless");
        }
        java.as_ref()
    }

    fn build(jdk: &Path) -> Self {
        let headers = format!("-I{}", jdk.join("include").display());
        let shim =
            Host::build("java_host.c", "libjavahost.so", &[&headers, &format!("{headers}/linux"), "-shared", "-fPIC"]);
        let classes = shim.path.with_file_name("classes");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/JavaHost.java");
        run(Command::new(jdk.join("bin/javac")).arg("-d").arg(&classes).arg(source));
        Self { jdk: jdk.to_owned(), shim, classes }
    }

    /// The host, with its error report in the sandbox. Only its first compiler, with which every null is a fault; the
    /// second makes a test of one that comes often.
    fn command(&self, sandbox: &Sandbox, kind: &str) -> Command {
        let mut command = Command::new(self.jdk.join("bin/java"));
        command.args(["-XX:TieredStopAtLevel=1", "-Xbatch", "-XX:-UsePerfData"]);
        command.arg(format!("-XX:ErrorFile={}", error_report(sandbox).display()));
        command.arg("-cp").arg(&self.classes).arg("JavaHost").arg(&self.shim.path).arg(sandbox.dumps()).arg(kind);
        command.current_dir(sandbox.path());
        command
    }

    /// The same with the JDK's library for signal chaining: the machine's own handlers call those that are set later.
    fn chained(&self, sandbox: &Sandbox, kind: &str) -> Command {
        let mut command = self.command(sandbox, kind);
        command.env("LD_PRELOAD", self.jdk.join("lib/libjsig.so"));
        command
    }
}

fn error_report(sandbox: &Sandbox) -> PathBuf {
    sandbox.path().join("hs_err.log")
}

#[test]
fn null_pointers_and_stack_overflows_are_the_machines_own_business() {
    let Some(java) = Java::get() else { return };
    let sandbox = Sandbox::new();
    let ended = Running::start(&mut java.command(&sandbox, "storm")).end();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.output.matches("caught 20000 10\n").count(), 2, "in two threads: {ended:?}");
    assert!(ended.said("faults ").parse::<u32>().unwrap() >= 40_000, "by faults: {ended:?}");
    assert_eq!(ended.said("armed "), "1");
    sandbox.wait_for_monitors_end();
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

#[test]
fn signal_chaining_spares_us_the_machines_own_faults() {
    let Some(java) = Java::get() else { return };
    let sandbox = Sandbox::new();
    let ended = Running::start(&mut java.chained(&sandbox, "storm")).end();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!((ended.said("faults "), ended.said("armed ")), ("0", "1"));
    sandbox.wait_for_monitors_end();
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

#[test]
fn an_exception_that_nobody_catches_is_no_crash() {
    let Some(java) = Java::get() else { return };
    let sandbox = Sandbox::new();
    let ended = Running::start(java.command(&sandbox, "throw").stderr(Stdio::null())).end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    sandbox.wait_for_monitors_end();
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

/// What the machine's error report says of a crash, with and without us: signal, place, code and address.
fn assert_reported(sandbox: &Sandbox, address: u64) {
    let text = read_to_string(error_report(sandbox)).expect("the error report");
    assert!(text.contains("#  SIGSEGV (0xb) at pc="), "{text}");
    assert!(text.contains("# Problematic frame:\n# C  [libjavahost.so+"), "{text}");
    let fault = format!("siginfo: si_signo: 11 (SIGSEGV), si_code: 2 (SEGV_ACCERR), si_addr: {address:#018x}");
    assert!(text.contains(&fault), "{fault}\n{text}");
}

/// After a storm of the machine's own faults a native method crashes: the machine writes its error report and aborts.
fn crash(sandbox: &Sandbox, mut command: Command) -> Ended {
    let ended = Running::start(&mut command).end();
    assert_eq!(ended.signal(), Some(libc::SIGABRT), "{ended:?}");
    assert_reported(sandbox, ended.address());
    ended
}

/// The machine's error report, all of it, lies beside the dump as its attachment.
fn assert_report_attached(sandbox: &Sandbox, dump: &Dump) {
    // The monitor ends once it has done everything for its last host.
    sandbox.wait_for_monitors_end();
    let copy = dump.path.with_extension("hs_err.log");
    let [copied, report] = [&copy, &error_report(sandbox)].map(|path| read_to_string(path).expect("a report"));
    assert_eq!(copied, report);
    assert!(report.ends_with("\nEND.\n"), "the last words of a report: {report}");
    let record = sandbox.only_record();
    let name = copy.file_name().unwrap().to_str().unwrap();
    assert_eq!((&record["attachments"], &record["failed"]), (&json!([name]), &json!([])));
}

/// The report is written after the dump.
#[test]
fn a_native_crash_with_signal_chaining_leaves_its_own_dump() {
    let Some(java) = Java::get() else { return };
    let sandbox = Sandbox::new();
    let ended = crash(&sandbox, java.chained(&sandbox, "crash"));
    let dump = sandbox.only_dump();
    dump.check_basics(&java.jdk.join("bin/java"), ended.crashing_thread());
    assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, ended.address()));
    assert_eq!(dump.crashing_module(), java.shim.path.canonicalize().unwrap().to_str().unwrap());
    assert!(dump.thread_names().contains(&"crasher".to_owned()));
    assert_report_attached(&sandbox, &dump);
}

/// Without it the machine's handler sees a crash first and never returns from it: the dump is of the abort.
#[test]
fn a_native_crash_without_signal_chaining_leaves_the_dump_of_the_machines_abort() {
    let Some(java) = Java::get() else { return };
    let sandbox = Sandbox::new();
    let ended = crash(&sandbox, java.command(&sandbox, "crash"));
    let dump = sandbox.only_dump();
    dump.check_basics(&java.jdk.join("bin/java"), ended.crashing_thread());
    assert_eq!((dump.signal(), dump.code()), (libc::SIGABRT, libc::SI_TKILL));
    assert!(dump.crashing_module().contains("/libc.so"), "where abort(3) is: {}", dump.crashing_module());
    // Above the frames of the machine's handler the stack still holds the siginfo of the crash and its place.
    let (_, stack) = dump.crashing_stack();
    let words: Vec<u64> = stack.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect();
    let shim = dump.modules().into_iter().find(|module| module.code_file().ends_with("libjavahost.so")).unwrap();
    let code = shim.base_address()..shim.base_address() + shim.size();
    assert!(words.contains(&ended.address()), "the fault address");
    assert!(words.iter().any(|word| code.contains(word)), "an address in {code:#x?}");
    assert_report_attached(&sandbox, &dump);
}

#[test]
fn a_native_crash_ends_as_it_does_without_us() {
    let Some(java) = Java::get() else { return };
    let sandbox = Sandbox::new();
    crash(&sandbox, java.command(&sandbox, "crash-without-us"));
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

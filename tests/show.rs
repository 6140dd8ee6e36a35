//! `crash-monitor show` as a user sees it: what it prints of real crashes, and what it says where it cannot.

mod common;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Ended, Host, Sandbox, dist};

const C: &str = "calls.c";
const CPP: &str = "calls.cpp";

/// Functions of the C host and where each is at the crash, from the crash on.
const CALLS: [(&str, &str); 4] =
    [("inner", "segv: inner"), ("middle", "segv: middle"), ("outer", "segv: outer"), ("main", "segv: main")];

/// A crashed host and its dump.
struct Crash {
    host: Host,
    ended: Ended,
    dump: PathBuf,
    sandbox: Sandbox,
}

impl Crash {
    /// Builds a source of `tests/hosts` as `name`, crashes it and checks that `signal` ended it.
    fn of(source: &str, name: &str, arguments: &[&str], kind: &str, signal: i32) -> Self {
        let sandbox = Sandbox::new();
        let host = Host::build(source, name, arguments);
        let ended = host.run(&sandbox, &[kind]);
        assert_eq!(ended.signal(), Some(signal), "how the host ended: {ended:?}");
        let dump = sandbox.only_dump().path;
        sandbox.wait_for_monitors_end();
        Self { host, ended, dump, sandbox }
    }

    fn shown(&self) -> Shown {
        Shown::of(&[self.dump.as_os_str()])
    }
}

/// What was printed of a dump.
struct Shown(String);

impl Shown {
    fn of(arguments: &[&OsStr]) -> Self {
        let output = show(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{}: {errors}", output.status);
        Self(String::from_utf8(output.stdout).expect("UTF-8"))
    }

    /// The value of a row above the stacks.
    fn row(&self, name: &str) -> Option<&str> {
        let mut rows = self.0.lines().take_while(|line| !line.is_empty());
        rows.find_map(|line| line.strip_prefix(name)).map(str::trim)
    }

    /// The columns of each line of the crashed thread's stack: number, function, place, and a note where there is one.
    fn stack(&self) -> Vec<Vec<&str>> {
        let stack = self.0.lines().skip_while(|line| !line.ends_with(" crashed:")).skip(1);
        stack.take_while(|line| !line.is_empty()).map(columns_of).collect()
    }

    /// Checks the first calls: each function, and the line of its source that holds the given comment.
    fn assert_calls(&self, source: &str, calls: &[(&str, &str)]) {
        let stack = self.stack();
        for (index, (function, comment)) in calls.iter().enumerate() {
            let expected = [format!("#{index}"), (*function).to_owned(), place(source, comment)];
            let found = stack.get(index).and_then(|columns| columns.get(..3));
            assert!(found.is_some_and(|found| found == expected), "{expected:?} is missing in\n{}", self.0);
        }
    }

    /// The number of calls that one line stands for, and their functions.
    fn folded(&self) -> (usize, &str) {
        let folded = self.0.lines().find_map(|line| line.strip_prefix("  ... ")?.split_once(" more frames of "));
        let (count, functions) = folded.unwrap_or_else(|| panic!("nothing is folded in\n{}", self.0));
        (count.parse().expect("a number"), functions)
    }

    fn assert_says(&self, words: &str) {
        assert!(self.0.contains(words), "{words:?} is missing in\n{}", self.0);
    }

    fn assert_does_not_say(&self, words: &str) {
        assert!(!self.0.contains(words), "{words:?} in\n{}", self.0);
    }
}

fn columns_of(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect()
}

/// Where a comment stands in a source, as seen from the package's directory, in which tests run.
fn place(source: &str, comment: &str) -> String {
    let file = Path::new("tests/hosts").join(source);
    let text = std::fs::read_to_string(&file).expect("read the source");
    let line = text.lines().position(|line| line.contains(comment));
    format!("{}:{}", file.display(), line.unwrap_or_else(|| panic!("no {comment:?} in {source}")) + 1)
}

fn show(arguments: &[&OsStr]) -> Output {
    Command::new(dist().join("bin/crash-monitor")).arg("show").args(arguments).output().expect("run crash-monitor")
}

/// Mangled, `i`, `v` and `f` are types of C++.
#[test]
fn functions_of_c_with_short_names() {
    let names = ["-Dinner=i", "-Dmiddle=v", "-Douter=f"];
    let calls = [("i", "segv: inner"), ("v", "segv: middle"), ("f", "segv: outer")];
    Crash::of(C, "short-names", &names, "segv", libc::SIGSEGV).shown().assert_calls(C, &calls);
}

#[test]
fn a_crash_is_told_in_full() {
    let crash = Crash::of(C, "calls", &[], "segv", libc::SIGSEGV);
    let shown = crash.shown();
    let pid = crash.ended.pid;
    let row = |name| shown.row(name).unwrap_or_else(|| panic!("no row {name} in\n{}", shown.0));
    assert_eq!(row("Dump"), crash.dump.to_str().unwrap());
    assert_eq!(row("Process"), format!("{pid} {}", crash.host.path.display()));
    assert!(row("Time").starts_with("20") && row("Time").ends_with(" UTC"), "{}", row("Time"));
    assert!(row("System").contains("Linux ") && row("System").ends_with(&std::env::consts::ARCH.replace('_', "-")));
    assert_eq!(row("Signal"), "SIGSEGV / SEGV_MAPERR");
    assert_eq!(row("Address"), "0x00000000dead0000");
    assert_eq!(row("Thread"), format!("{pid} \"calls\""));
    shown.assert_says(&format!("\nThread {pid} \"calls\" crashed:\n"));
    shown.assert_calls(C, &CALLS);
}

#[test]
fn callers_are_found_however_the_host_is_compiled() {
    for (name, arguments) in [
        ("calls-O0", &["-O0"][..]),
        ("calls-O2", &["-O2", "-fomit-frame-pointer"]),
        ("calls-no-pie", &["-O2", "-fno-pie", "-no-pie"]),
    ] {
        let shown = Crash::of(C, name, arguments, "segv", libc::SIGSEGV).shown();
        shown.assert_calls(C, &CALLS);
        shown.assert_does_not_say("guess");
        shown.assert_does_not_say("the dump holds only");
    }
}

#[test]
fn other_threads_are_shown_when_asked_for() {
    let crash = Crash::of(C, "calls-threads", &[], "segv", libc::SIGSEGV);
    crash.shown().assert_does_not_say("\"waiting\"");
    let shown = Shown::of(&[OsStr::new("--all-threads"), crash.dump.as_os_str()]);
    shown.assert_calls(C, &CALLS);
    let (_, other) = shown.0.split_once(" \"waiting\":\n").expect("the other thread");
    assert!(!other.contains(" crashed:"), "the crashed thread comes first:\n{}", shown.0);
}

#[test]
fn the_calls_of_an_overflow_are_folded() {
    let crash = Crash::of(C, "calls-overflow", &[], "overflow", libc::SIGSEGV);
    let size = crash.dump.metadata().unwrap().len();
    assert!(size <= 2 << 20, "{size} bytes of a main stack of 8 MiB");
    let shown = crash.shown();
    let (count, functions) = shown.folded();
    assert!(count > 1000 && functions == "recurse", "{}", shown.0);
    assert!(shown.stack().len() < 20, "{}", shown.0);
    shown.assert_says("  ... the dump holds only these 256 KiB of the stack\n");
}

#[test]
fn the_callers_of_a_function_with_a_large_frame_are_found() {
    let crash = Crash::of(C, "calls-large", &[], "large", libc::SIGSEGV);
    let shown = crash.shown();
    shown.assert_calls(C, &CALLS[..3]);
    assert_eq!(shown.stack()[3][1..], ["large", &place(C, "large: large")]);
    assert_eq!(shown.stack()[4][1..], ["main", &place(C, "large: main")]);
    shown.assert_does_not_say("the dump holds only");
}

// On AArch64 nothing tells the stack of another thread from a heap.
#[cfg(target_arch = "x86_64")]
#[test]
fn so_they_are_in_other_threads() {
    let shown = Crash::of(C, "calls-large-thread", &[], "large-thread", libc::SIGSEGV).shown();
    assert_eq!(shown.stack()[3][1..], ["large", &place(C, "large: large")]);
    assert_eq!(shown.stack()[4][1..], ["large_thread", &place(C, "large-thread: thread")]);
}

#[test]
fn a_stack_that_is_cut_in_a_frame_is_said_to_be() {
    let crash = Crash::of(C, "calls-larger", &["-DLARGE=(2000 * 1024)"], "large", libc::SIGSEGV);
    let shown = crash.shown();
    assert_eq!(shown.stack()[3][1], "large");
    shown.assert_says("  ... the dump holds only these 1024 KiB of the stack\n");
}

#[test]
fn files_with_odd_names_are_found() {
    // What /proc/PID/maps writes for a newline may be in the name itself.
    let sandbox = Sandbox::new();
    let host = Host::build(C, "odd\nna me\\012 ", &[]);
    let library = Host::build("library.c", "odd\nlibra ry\\012 ", &["-shared", "-fPIC"]);
    let ended = host.run(&sandbox, &["library", library.path.to_str().unwrap()]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    let dump = sandbox.only_dump();
    dump.check_basics(&host.path, ended.pid);
    assert_eq!(Path::new(&dump.crashing_module()), library.path.canonicalize().unwrap());
    let shown = Shown::of(&[dump.path.as_os_str()]);
    shown.assert_calls("library.c", &[("in_library", "library: inside")]);
    let stack = shown.stack();
    assert_eq!(stack[1][1..], ["caller", &place(C, "null: caller")]);
    assert_eq!(stack[2][1..], ["main", &place(C, "library: main")]);
    let name = host.path.to_str().unwrap().replace('\n', "?");
    assert_eq!(shown.row("Process"), Some(format!("{} {}", ended.pid, name.trim()).as_str()));
    sandbox.wait_for_monitors_end();
    std::fs::remove_file(&library.path).unwrap();
    let name = library.path.to_str().unwrap().replace('\n', "?");
    Shown::of(&[dump.path.as_os_str()]).assert_says(&format!("\nNo names from:\n  {name}: No such file"));
}

#[test]
fn functions_that_call_each_other_are_folded_too() {
    let shown = Crash::of(C, "calls-mutual", &["-O2"], "mutual", libc::SIGSEGV).shown();
    let (count, functions) = shown.folded();
    assert!(count > 1000 && ["even, odd", "odd, even"].contains(&functions), "{}", shown.0);
}

#[test]
fn inlined_functions_have_lines_of_their_own() {
    let shown = Crash::of(C, "calls-inline", &["-O2"], "inline", libc::SIGSEGV).shown();
    shown.assert_calls(C, &[("inlined", "inline: inlined"), ("reader", "inline: reader")]);
    assert_eq!(shown.stack()[0].last(), Some(&"(inlined)"));
    assert_eq!(shown.row("Address"), Some("0x0000000000000004"));
}

// On AArch64 the return address is in the link register, where the unwinder does not look: there the caller is missing.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_call_through_a_null_pointer_names_the_caller_as_a_guess() {
    for (name, arguments) in [("calls-null-O0", ["-O0"]), ("calls-null-O2", ["-O2"])] {
        let shown = Crash::of(C, name, &arguments, "null", libc::SIGSEGV).shown();
        let stack = shown.stack();
        assert_eq!(stack[0], ["#0", "??", "0x0000000000000000", "(not in any file)"]);
        let caller = place(C, "null: caller");
        assert_eq!(stack[1], ["#1", "caller", &caller, "(a guess, by scanning the stack)"]);
        assert_eq!(stack[2][1], "main", "{}", shown.0);
    }
}

#[test]
fn an_abort_has_no_address() {
    let shown = Crash::of(C, "calls-abort", &[], "abort", libc::SIGABRT).shown();
    assert_eq!(shown.row("Signal"), Some("SIGABRT / SI_TKILL"));
    assert_eq!(shown.row("Address"), None);
    let stack = shown.stack();
    let main = stack.iter().position(|call| call[1] == "main").expect("main among the calls");
    assert_eq!(stack[main][2], place(C, "abort: main"));
    assert!(stack[main - 1][1].ends_with("abort"), "{}", shown.0);
}

#[test]
fn a_sent_signal_has_no_address() {
    let shown = Crash::of(C, "calls-sent", &[], "sent", libc::SIGSEGV).shown();
    assert_eq!(shown.row("Signal"), Some("SIGSEGV / SI_USER"));
    assert_eq!(shown.row("Address"), None);
    shown.assert_says("\nNote     signal_sender: the process itself\n");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn an_address_that_the_processor_does_not_give_is_unknown() {
    let shown = Crash::of(C, "calls-not-canonical", &["-O0"], "not-canonical", libc::SIGSEGV).shown();
    assert_eq!(shown.row("Signal"), Some("SIGSEGV / SI_KERNEL"));
    assert!(shown.row("Address").is_some_and(|address| address.starts_with("unknown: ")), "{}", shown.0);
    assert_eq!(shown.stack()[1][1], "reader");
}

#[test]
fn cpp_names_are_readable() {
    let shown = Crash::of(CPP, "calls-cpp", &["-O2"], "segv", libc::SIGSEGV).shown();
    shown.assert_calls(CPP, &[("app::Box<int>::poke", "segv: poke")]);
    shown.assert_says("main");

    let shown = Crash::of(CPP, "calls-throw", &["-O2"], "throw", libc::SIGABRT).shown();
    let stack = shown.stack();
    let throw = stack.iter().position(|call| call[1] == "__cxa_throw").expect("__cxa_throw among the calls");
    assert!(stack[..throw].iter().any(|call| call[1] == "std::terminate"), "{}", shown.0);
    assert_eq!(stack[throw + 1][1..], ["main", &place(CPP, "throw: main")]);
}

#[test]
fn without_symbols_a_frame_is_a_file_and_an_offset() {
    let crash = Crash::of(C, "calls-stripped", &["-s"], "segv", libc::SIGSEGV);
    let shown = crash.shown();
    for call in &shown.stack()[..CALLS.len()] {
        assert!(call[1] == "??" && call[2].starts_with("calls-stripped+0x"), "{}", shown.0);
    }
    shown.assert_does_not_say("guess");
}

#[test]
fn a_file_that_is_gone_or_changed_is_not_used() {
    let crash = Crash::of(C, "calls-moved", &[], "segv", libc::SIGSEGV);
    let file = crash.host.path.display();
    std::fs::remove_file(&crash.host.path).unwrap();
    let shown = crash.shown();
    shown.assert_says(&format!("\nNo names from:\n  {file}: No such file"));
    assert_eq!(shown.stack()[0][1], "??");

    Host::build(C, "calls-moved", &["-O2"]);
    let shown = crash.shown();
    shown.assert_says(&format!("\nNo names from:\n  {file}: it has changed since the crash"));
    assert_eq!(shown.stack()[0][1], "??");
}

#[test]
fn what_is_no_dump_is_an_error() {
    let crash = Crash::of(C, "calls-damaged", &[], "segv", libc::SIGSEGV);
    let bytes = std::fs::read(&crash.dump).unwrap();
    let directory = crash.sandbox.path();
    let all_but_one = bytes.len() - 1;
    for (name, content, error) in [
        ("missing", None, "No such file or directory"),
        ("empty", Some(&b""[..]), "not a minidump"),
        ("text", Some(b"a text that is longer than the header of a minidump"), "not a minidump"),
        ("short", Some(&bytes[..100]), "a truncated minidump: it ends after 100 bytes"),
        ("half", Some(&bytes[..bytes.len() / 2]), "a truncated minidump"),
        ("all but a byte", Some(&bytes[..all_but_one]), "a truncated minidump"),
    ] {
        let path = directory.join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let output = show(&[path.as_os_str()]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {errors}");
        assert!(output.stdout.is_empty(), "{name}");
        assert!(errors.starts_with(&format!("crash-monitor: {}: {error}", path.display())), "{name}: {errors}");
    }
}

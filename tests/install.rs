//! Installing, installing again, installing with what cannot work, and uninstalling.

#![allow(unsafe_code)] // Calls the C functions directly.

mod common;

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use common::{Ended, Host, Sandbox};

/// Runs the host with a dump directory and a socket path of the test's choice.
fn install(dump_dir: &str, socket: &str) -> Ended {
    let mut command = std::process::Command::new(&Host::c().path);
    common::Running::start(command.args([dump_dir, socket, "exit"])).end()
}

/// Status and message of an install that fails; the host goes on and ends by itself.
fn failure(dump_dir: &str, socket: &str) -> (i32, String) {
    let ended = install(dump_dir, socket);
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    (ended.said("status ").parse().unwrap(), ended.said("message ").to_owned())
}

#[test]
fn the_dump_directory_is_made_for_its_owner_alone() {
    let sandbox = Sandbox::new();
    let deep = sandbox.dumps().join("a/b");
    let ended = install(deep.to_str().unwrap(), "-");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(deep.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    common::wait_until("the monitor to end", || !deep.join("monitor.sock").exists());
}

#[test]
fn the_same_again_is_fine_and_other_arguments_are_not() {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["twice"]);
    assert_eq!(ended.said("other directory "), crash_monitor::CM_ERR_ALREADY_INSTALLED.to_string());
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    sandbox.only_dump().check_basics(&Host::c().path, ended.pid);
}

#[test]
fn bad_arguments_are_refused_with_the_reason() {
    let sandbox = Sandbox::new();
    let dumps = sandbox.dumps();
    let dumps = dumps.to_str().unwrap();
    let long = format!("{}/{}", sandbox.path().display(), "s".repeat(120));
    let file = sandbox.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let file = file.to_str().unwrap();
    let below_file = format!("{file}/dumps");
    let no_parent = format!("{dumps}/nowhere/m.sock");
    for (dump_dir, socket, status, words) in [
        ("", "-", crash_monitor::CM_ERR_INVALID_ARGUMENT, &["dump_dir", "empty"][..]),
        (dumps, "", crash_monitor::CM_ERR_INVALID_ARGUMENT, &["socket_path", "empty"]),
        (dumps, &long, crash_monitor::CM_ERR_SOCKET, &["107"]),
        (file, "-", crash_monitor::CM_ERR_DUMP_DIR, &[file, "file"]),
        (&below_file, "-", crash_monitor::CM_ERR_DUMP_DIR, &[&below_file]),
        (dumps, file, crash_monitor::CM_ERR_SOCKET, &[file, "not a socket"]),
        (dumps, &no_parent, crash_monitor::CM_ERR_MONITOR_START, &[&no_parent, "No such file"]),
    ] {
        let (found, message) = failure(dump_dir, socket);
        assert_eq!(found, status, "{message}");
        for word in words {
            assert!(message.contains(word), "{word:?} in {message:?}");
        }
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), "precious");
    assert!(!sandbox.socket().exists(), "no monitor was started");
}

#[test]
fn null_is_refused_not_dereferenced() {
    // SAFETY: NULL is allowed by the contracts.
    let statuses = unsafe {
        use crash_monitor::ffi::*;
        let null = std::ptr::null();
        let mut config = std::ptr::null_mut();
        let no_directory = cm_config_new(null, null, &mut config);
        assert!(config.is_null(), "written on success only");
        cm_config_free(std::ptr::null_mut());
        [
            no_directory,
            cm_config_new(c"dumps".as_ptr(), null, std::ptr::null_mut()),
            cm_set_annotation(null, null),
            cm_set_annotation_n(null, 0, null, 0),
            cm_set_annotation_n(c"key".as_ptr(), 3, null, 1),
            cm_dump_now_n(null, 1, std::ptr::null_mut()),
            cm_install(null, null),
            cm_install_with(std::ptr::null()),
            cm_config_set_app_name(std::ptr::null_mut(), c"app".as_ptr()),
            cm_config_set_monitor_path(std::ptr::null_mut(), null),
            cm_config_set_deadline_ms(std::ptr::null_mut(), 1000),
        ]
    };
    assert_eq!(statuses, [crash_monitor::CM_ERR_NULL_ARGUMENT; 11]);
}

#[test]
fn a_thread_whose_cancellation_is_pending_may_call_everything() {
    let sandbox = Sandbox::new();
    let host = Host::build("cancelled.c", "cancelled", &[]);
    let ended = common::Running::start(std::process::Command::new(&host.path).arg(sandbox.dumps())).end();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.said("returned "), "21");
}

#[test]
fn without_a_monitor_to_start_the_error_says_what_to_do() {
    let sandbox = Sandbox::new();
    // Away from `crash-monitor`, which lies beside the library: a copy of the library alone.
    let library = sandbox.path().join("lib");
    std::fs::create_dir(&library).unwrap();
    std::fs::copy(common::dist().join("lib/libcrash_monitor.so.0"), library.join("libcrash_monitor.so.0")).unwrap();
    let mut command = Host::c().command(&sandbox, &["exit"]);
    let ended = common::Running::start(command.env("LD_PRELOAD", library.join("libcrash_monitor.so.0"))).end();
    assert_eq!(ended.said("status "), crash_monitor::CM_ERR_NO_MONITOR.to_string());
    let message = ended.said("message ");
    for word in ["cm_run_monitor", "CRASH_MONITOR_PATH", library.to_str().unwrap()] {
        assert!(message.contains(word), "{word:?} in {message:?}");
    }
}

#[test]
fn a_monitor_that_cannot_become_one_is_told_apart() {
    let sandbox = Sandbox::new();
    for (path, words) in [("/nonexistent/monitor", "No such file"), ("/bin/true", "ended before it was ready")] {
        let mut command = Host::c().command(&sandbox, &["exit"]);
        let ended = common::Running::start(command.env("CRASH_MONITOR_PATH", path)).end();
        assert_eq!(ended.said("status "), crash_monitor::CM_ERR_MONITOR_START.to_string());
        let message = ended.said("message ");
        assert!(message.contains(path) && message.contains(words), "{message}");
    }
    assert_eq!(sandbox.files(), Vec::<std::path::PathBuf>::new(), "nothing is left behind");
}

#[test]
fn children_sigchld_sigpipe_and_errno_of_the_host_are_untouched() {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["untouched"]);
    // No child at all: waitpid(2) says ECHILD.
    assert_eq!(ended.said("children "), format!("-1 errno {} sigchld 0 sigpipe 1", libc::ECHILD));
}

#[test]
fn after_uninstall_a_crash_leaves_no_dump_and_the_same_end() {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["uninstall", "segv"]);
    assert_eq!(ended.said("again "), crash_monitor::CM_ERR_NOT_INSTALLED.to_string());
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    sandbox.wait_for_monitors_end();
    assert_eq!(sandbox.files(), Vec::<std::path::PathBuf>::new(), "no dump, no socket, no lock");
}

#[test]
fn install_and_uninstall_may_alternate() {
    let sandbox = Sandbox::new();
    let ended = Host::c().run(&sandbox, &["reinstall", "segv"]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    sandbox.only_dump().check_basics(&Host::c().path, ended.pid);
}

#[test]
fn the_settings_of_a_config_are_followed() {
    let sandbox = Sandbox::new();
    let log = sandbox.path().join("monitor.log");
    let mut host = Host::c().start(&sandbox, &["config", "segv", "5000", log.to_str().unwrap()]);
    host.wait_for("ready");
    host.go_on();
    let ended = host.end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV));
    let dump = sandbox.dump_of(ended.pid);
    assert!(dump.path.file_name().unwrap().to_str().unwrap().starts_with("my-app-"));
    assert_eq!(dump.path.metadata().unwrap().mode() & 0o777, 0o600);
    // The monitor gives up its socket before.
    let text = || std::fs::read_to_string(&log).unwrap();
    common::wait_until("the monitor to say that it ends", || text().contains("ending"));
    let text = text();
    assert_eq!(log.metadata().unwrap().mode() & 0o777, 0o600);
    for step in ["listening at", "connected", "reports signal 11", dump.path.to_str().unwrap()] {
        assert!(text.contains(step), "{step:?} in the log:\n{text}");
    }
}

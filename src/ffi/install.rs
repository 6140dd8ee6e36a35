//! Arming and disarming the process.

use std::ffi::{c_char, c_void};

use super::{args, cm_config, guard, last_error};
use crate::config::Config;
use crate::error::Result;
use crate::install;
use crate::status::{CM_OK, cm_status};

/// Arms this process: from now on a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, in any thread) makes the
/// monitor write a minidump to `dump_dir`. Then the process ends exactly as it would have without this library.
///
/// `dump_dir`: is made, with missing parents, all with mode 0700. `socket_path`: where the monitor listens, at most 107
/// bytes; NULL means `monitor.sock` in `dump_dir`. Both are paths in the file system's own bytes, are copied, and made
/// absolute at once.
///
/// A monitor that listens at `socket_path` is used. Where none does, one is started (see `cm_config_set_monitor_path`)
/// and this call waits until it is ready, at most 10 s. The monitor has a session of its own, is not a child of this
/// process, and ends by itself after its last host. A socket that no process listens at is replaced; anything else that lies
/// at `socket_path` is left alone and refused.
///
/// A further call with the same arguments returns `CM_OK`. It changes nothing, except that it installs our signal handlers
/// again where others have replaced them, and connects again where the monitor has ended. A call that installs handlers gives
/// the calling thread what `cm_thread_init` gives: an alternate signal stack, and unblocked crash signals. Where it had some
/// blocked, `CM_OK` is returned as ever, and `cm_last_error` and the log say which: threads made before may have them blocked
/// still.
///
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT`, `CM_ERR_ALREADY_INSTALLED` (other arguments
/// than before), `CM_ERR_DUMP_DIR`, `CM_ERR_SOCKET`, `CM_ERR_NO_MONITOR`, `CM_ERR_MONITOR_START`,
/// `CM_ERR_MONITOR_VERSION`, `CM_ERR_TIMEOUT`, `CM_ERR_HANDLER` or `CM_ERR_SYSTEM`. After an error of the first call nothing
/// is installed. After an error of a further call the installation stays as it was, except that after `CM_ERR_HANDLER` it may
/// have no signal handlers any more. The process can continue either way.
/// Threads: any; calls wait for each other. Signal handlers: no.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_install(dump_dir: *const c_char, socket_path: *const c_char) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or NUL-terminated, by the C API's contract.
        let (dump_dir, socket_path) =
            unsafe { (args::path("dump_dir", dump_dir)?, args::optional_path("socket_path", socket_path)?) };
        arm(&Config::new(dump_dir, socket_path)?)
    })
}

/// Does what `cm_install` does, with all settings.
///
/// `config`: made by `cm_config_new`; read during the call, and may be freed afterwards.
/// Returns what `cm_install` returns.
/// Threads: any; calls wait for each other. Signal handlers: no.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_install_with(config: *const cm_config) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or valid, by the C API's contract.
        let config = unsafe { args::shared("config", config)? };
        arm(&config.inner)
    })
}

/// What the program should know of an install that has succeeded is this thread's last message.
fn arm(config: &Config) -> Result<()> {
    if let Some(notice) = install::install(config)? {
        last_error::set(CM_OK, &notice);
    }
    Ok(())
}

/// Disarms this process: puts back the signal handlers that were there before, where ours are still the installed ones,
/// and ends the connection to the monitor. `cm_install` may be called again. Alternate signal stacks stay, and crash signals
/// that were unblocked stay so: with the previous handlers, too, a fault in a thread that has its signal blocked ends the
/// process without them.
///
/// Returns `CM_OK`, or `CM_ERR_NOT_INSTALLED`.
/// Threads: any; calls wait for each other. Signal handlers: no. Before `cm_install`: it returns `CM_ERR_NOT_INSTALLED`.
#[unsafe(no_mangle)]
pub extern "C" fn cm_uninstall() -> cm_status {
    guard::status(install::uninstall)
}

/// Says whether this process is armed: installed, and our handler is still that of every crash signal. Runtimes and
/// libraries replace signal handlers; `cm_install` with the same arguments as before then installs ours again, and theirs
/// become the previous handlers.
///
/// Returns `CM_OK`; `CM_ERR_NOT_INSTALLED`; `CM_ERR_HANDLER` where a handler was replaced, with the signals in
/// `cm_last_error`. A handler that passes its signals on to ours does no harm.
/// Threads: any; calls wait for each other. Signal handlers: no. Before `cm_install`: yes.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn cm_is_armed() -> cm_status {
    guard::status(install::is_armed)
}

/// Names a range of code of a language runtime that handles its own faults: a SIGSEGV, SIGBUS or SIGFPE that an
/// instruction in it raises goes to the handler that was there before `cm_install`, unchanged, and leaves no dump. Go's
/// binding calls this with Go's text segment, where a nil dereference becomes a panic. Where there was no handler before,
/// the fault is a crash like any other.
///
/// `begin`, `end`: addresses of the first instruction and of the byte after the last one. There can be 16 ranges. None can
/// be removed; the same one twice counts once.
/// Returns `CM_OK`, `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT` (`end` not above `begin`) or `CM_ERR_LIMIT`.
/// Threads: any; calls wait for each other. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_add_runtime_code(begin: *const c_void, end: *const c_void) -> cm_status {
    guard::status(|| install::add_runtime_code(begin.addr(), end.addr()))
}

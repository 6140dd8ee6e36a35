//! Arming and disarming the process.

use std::ffi::{c_char, c_void};

use super::{args, cm_config, guard};
use crate::config::Config;
use crate::install;
use crate::status::cm_status;

/// Arms this process: from now on a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, in any thread) makes the
/// monitor write a minidump to `dump_dir`, after which the process ends exactly as it would have without this library.
///
/// `dump_dir`: made, with missing parents, all with mode 0700. `socket_path`: where the
/// monitor listens, at most 107 bytes; NULL means `monitor.sock` in `dump_dir`. Both are NUL-terminated paths in the
/// file system's own bytes, are copied, and made absolute at once.
///
/// A monitor that listens at `socket_path` is used; where none does, one is started (see
/// `cm_config_set_monitor_path`) and this call waits until it is ready, at most 10 s. The monitor has a session of
/// its own, is not a child of this process, and ends by itself after its last host. A stale socket is replaced;
/// anything else that lies at `socket_path` is left alone and refused.
///
/// A second call with the same arguments returns `CM_OK` and changes nothing, except that it puts our handlers in front
/// again where others have replaced them, and connects anew where the monitor has gone. The calling thread gets an alternate
/// signal stack, as by `cm_thread_init`.
///
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT`, `CM_ERR_ALREADY_INSTALLED` (other arguments
/// than before), `CM_ERR_DUMP_DIR`, `CM_ERR_SOCKET`, `CM_ERR_NO_MONITOR`, `CM_ERR_MONITOR_START`,
/// `CM_ERR_MONITOR_VERSION`, `CM_ERR_TIMEOUT`, `CM_ERR_HANDLER` or `CM_ERR_SYSTEM`. After a failure nothing is
/// installed and the process can go on.
/// Threads: any; calls wait for each other. Signal handlers: no.
///
/// # Safety
/// Both pointers are NULL or point to NUL-terminated strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_install(dump_dir: *const c_char, socket_path: *const c_char) -> cm_status {
    guard::status(|| {
        // SAFETY: NUL-terminated or NULL, by this function's contract.
        let (dump_dir, socket_path) =
            unsafe { (args::path("dump_dir", dump_dir)?, args::optional_path("socket_path", socket_path)?) };
        install::install(&Config::new(dump_dir, socket_path)?)
    })
}

/// `cm_install` with all settings. The configuration is only read; free it whenever you like.
///
/// Returns what `cm_install` returns. Threads: any; calls wait for each other. Signal handlers: no.
///
/// # Safety
/// `config` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_install_with(config: *const cm_config) -> cm_status {
    guard::status(|| {
        // SAFETY: by this function's contract.
        let config = unsafe { args::shared("config", config)? };
        install::install(&config.inner)
    })
}

/// Disarms this process: the signal handlers that were there before are put back (where ours are still the installed
/// ones) and the monitor is told goodbye. `cm_install` may be called again.
///
/// Returns `CM_OK`, or `CM_ERR_NOT_INSTALLED`.
/// Threads: any; calls wait for each other. Signal handlers: no.
#[unsafe(no_mangle)]
pub extern "C" fn cm_uninstall() -> cm_status {
    guard::status(install::uninstall)
}

/// Says whether this process is armed: installed, and our handler still that of every crash signal. Runtimes and
/// libraries replace handlers behind one's back; `cm_install` with the same arguments as before then puts ours in front
/// again, with theirs as the ones that get their turn after it.
///
/// Returns `CM_OK`; `CM_ERR_NOT_INSTALLED`; `CM_ERR_HANDLER` where a handler was replaced, with the signals in
/// `cm_last_error`. A handler that passes its signals on to ours does no harm.
/// Threads: any; calls wait for each other. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_is_armed() -> cm_status {
    guard::status(install::is_armed)
}

/// Names code of a language runtime that deals with its own faults: a SIGSEGV, SIGBUS or SIGFPE raised by an instruction
/// in it goes to the handler that was there before `cm_install`, unchanged, and leaves no dump. Go's binding calls this
/// with Go's text segment, where a nil dereference becomes a panic. Where no handler was there before, it is a crash as
/// any other.
///
/// `begin`, `end`: addresses of the first instruction and of the one behind the last. There can be 16 ranges, and none is
/// taken back; the same one twice counts once.
/// Returns `CM_OK`, `CM_ERR_NULL_ARGUMENT`, `CM_ERR_INVALID_ARGUMENT` (`end` not above `begin`) or `CM_ERR_LIMIT`.
/// Threads: any; calls wait for each other. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_add_runtime_code(begin: *const c_void, end: *const c_void) -> cm_status {
    guard::status(|| install::add_runtime_code(begin.addr(), end.addr()))
}

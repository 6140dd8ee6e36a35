//! `cm_config`: everything that can be asked for beyond the two arguments of `cm_install`.

use std::ffi::{c_char, c_void};

use super::cancellation::not_cancelled;
use super::{args, guard};
use crate::config::Config;
use crate::crash_callback::CrashCallback;
use crate::status::cm_status;

/// Settings for `cm_install_with`, made by `cm_config_new` and freed by `cm_config_free`. Opaque. One thread at a time may
/// use an object; different objects are independent.
pub struct cm_config {
    pub(super) inner: Config,
}

/// Makes a configuration with every setting at its default.
///
/// `dump_dir`: where dumps are written; made, with mode 0700, at install. `socket_path`: where the monitor listens;
/// NULL means `monitor.sock` in `dump_dir`. Both are paths in the file system's own bytes, at most 4095 of them, and are
/// copied; a relative path is taken from the working directory at install.
/// `config`: gets the configuration, which the caller frees with `cm_config_free`; written on success only.
/// Returns `CM_OK`; `CM_ERR_NULL_ARGUMENT` (`dump_dir` or `config`); `CM_ERR_INVALID_ARGUMENT` (an empty path, or one that
/// is too long).
/// Threads: any. Signal handlers: no. Before `cm_install`: yes.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_new(
    dump_dir: *const c_char,
    socket_path: *const c_char,
    config: *mut *mut cm_config,
) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or NUL-terminated, by the C API's contract.
        let (dump_dir, socket_path) =
            unsafe { (args::path("dump_dir", dump_dir)?, args::optional_path("socket_path", socket_path)?) };
        let config = args::output("config", config)?;
        let inner = Config::new(dump_dir, socket_path)?;
        // SAFETY: not NULL, so by the C API's contract the caller's variable.
        unsafe { config.write(Box::into_raw(Box::new(cm_config { inner }))) };
        Ok(())
    })
}

/// Frees a configuration. What was installed with it stays installed.
///
/// `config`: made by `cm_config_new` and not freed; NULL does nothing.
/// Threads: any. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_free(config: *mut cm_config) {
    if !config.is_null() {
        // SAFETY: made by Box::into_raw in cm_config_new and not freed since, by the C API's contract.
        not_cancelled(|| drop(unsafe { Box::from_raw(config) }));
    }
}

/// Sets the application's name, the first part of dump file names (`<app>-<unix time>-<pid>.dmp`). Default: the
/// executable's file name.
///
/// `app_name`: 1 to 64 ASCII letters, digits and characters of "._+-", the first one not "."; copied.
/// Returns `CM_OK`, `CM_ERR_NULL_ARGUMENT` or `CM_ERR_INVALID_ARGUMENT`; on failure the setting stays as it was.
/// Threads: any, not two at once for one configuration. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_app_name(config: *mut cm_config, app_name: *const c_char) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or valid, by the C API's contract.
        let (config, app_name) = unsafe { (args::exclusive("config", config)?, args::text("app_name", app_name)?) };
        config.inner.set_app_name(app_name)
    })
}

/// Sets the executable that is started where no monitor runs. Default: the environment variable
/// `CRASH_MONITOR_PATH` (ignored in a setuid process); else this program, when it has called `cm_run_monitor` before;
/// else the executable `crash-monitor` beside the shared library, in `../bin` or `../../bin` from there, or beside this
/// program.
///
/// `monitor_path`: a path in the file system's own bytes; copied. The executable is started as
/// `<monitor_path> --crash-monitor --dump-dir <dir> --socket <path>` and has to call `cm_run_monitor`.
/// Returns `CM_OK`, `CM_ERR_NULL_ARGUMENT` or `CM_ERR_INVALID_ARGUMENT`; on failure the setting stays as it was.
/// Threads: any, not two at once for one configuration. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_monitor_path(config: *mut cm_config, monitor_path: *const c_char) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or valid, by the C API's contract.
        let (config, path) = unsafe { (args::exclusive("config", config)?, args::path("monitor_path", monitor_path)?) };
        config.inner.set_monitor_path(path)
    })
}

/// Sets a file that a monitor started by this process appends its log to, mode 0600. Default: no log. A monitor that
/// runs already keeps its own.
///
/// `monitor_log`: a path in the file system's own bytes; copied.
/// Returns `CM_OK`, `CM_ERR_NULL_ARGUMENT` or `CM_ERR_INVALID_ARGUMENT`; on failure the setting stays as it was.
/// Threads: any, not two at once for one configuration. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_monitor_log(config: *mut cm_config, monitor_log: *const c_char) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or valid, by the C API's contract.
        let (config, path) = unsafe { (args::exclusive("config", config)?, args::path("monitor_log", monitor_log)?) };
        config.inner.set_monitor_log(path)
    })
}

/// Sets how long the crashing process waits for its dump, all steps together, before it ends without one; also how
/// long `cm_install` waits for a monitor to become ready.
///
/// `milliseconds`: 100 to 600000; default 10000.
/// Returns `CM_OK`, `CM_ERR_NULL_ARGUMENT` or `CM_ERR_INVALID_ARGUMENT`; on failure the setting stays as it was.
/// Threads: any, not two at once for one configuration. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_deadline_ms(config: *mut cm_config, milliseconds: u32) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or valid, by the C API's contract.
        let config = unsafe { args::exclusive("config", config)? };
        config.inner.set_deadline_ms(milliseconds)
    })
}

/// Sets how many dumps the dump directory keeps: after each new one the monitor removes the oldest, with all that belongs
/// to them, until both limits hold; of records without a dump it keeps as many again. The newest always stays. Only files
/// named as the monitor names them are counted and removed.
///
/// `files`: at least 1; default 100. `bytes`: at least 1; default 1073741824 (1 GiB).
/// Returns `CM_OK`, `CM_ERR_NULL_ARGUMENT` or `CM_ERR_INVALID_ARGUMENT`; on failure the setting stays as it was.
/// Threads: any, not two at once for one configuration. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_retention(config: *mut cm_config, files: u32, bytes: u64) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or valid, by the C API's contract.
        let config = unsafe { args::exclusive("config", config)? };
        config.inner.set_retention(files, bytes)
    })
}

/// Sets how much of the process's log (`cm_log`) is kept. Lines logged before the install are lost where this changes it.
///
/// `bytes`: up to 1048576; default 65536; 0 for no log. A line takes 128 bytes for each 104 bytes of its text.
/// Returns `CM_OK`, `CM_ERR_NULL_ARGUMENT` or `CM_ERR_INVALID_ARGUMENT`; on failure the setting stays as it was.
/// Threads: any, not two at once for one configuration. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_log_bytes(config: *mut cm_config, bytes: u32) -> cm_status {
    guard::status(|| {
        // SAFETY: by this function's contract.
        let config = unsafe { args::exclusive("config", config)? };
        config.inner.set_log_bytes(bytes)
    })
}

/// For `cm_config_set_strategy`: a fault is reported, then the handler that was there before `cm_install` gets its turn.
pub const CM_STRATEGY_REPORT_FIRST: i32 = 0;
/// For `cm_config_set_strategy`: the handler that was there before `cm_install` gets a fault first. Where it makes the
/// thread continue elsewhere (another program counter or stack pointer) the fault is handled; otherwise it is reported.
pub const CM_STRATEGY_PREVIOUS_FIRST: i32 = 1;

/// Sets which handler gets a fault of the processor (SIGSEGV, SIGBUS or SIGFPE) first. Default: `CM_STRATEGY_REPORT_FIRST`.
/// For runtimes that use such faults themselves and whose code has no fixed range (a Java virtual machine, .NET, V8):
/// `CM_STRATEGY_PREVIOUS_FIRST`. For Go see `cm_add_runtime_code`.
///
/// `strategy`: `CM_STRATEGY_REPORT_FIRST` or `CM_STRATEGY_PREVIOUS_FIRST`.
/// Returns `CM_OK`, `CM_ERR_NULL_ARGUMENT` or `CM_ERR_INVALID_ARGUMENT`; on failure the setting stays as it was.
/// Threads: any, not two at once for one configuration. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_strategy(config: *mut cm_config, strategy: i32) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or valid, by the C API's contract.
        let config = unsafe { args::exclusive("config", config)? };
        config.inner.set_strategy(strategy)
    })
}

/// Sets whether dumps hold the process's environment, which often holds secrets. Default: they do not.
///
/// `include`: 0 for no, anything else for yes.
/// Returns `CM_OK` or `CM_ERR_NULL_ARGUMENT`.
/// Threads: any, not two at once for one configuration. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_environment(config: *mut cm_config, include: i32) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or valid, by the C API's contract.
        let config = unsafe { args::exclusive("config", config)? };
        config.inner.set_environment(include != 0);
        Ok(())
    })
}

/// Sets whether stacks are sanitized before they go into a dump: every word that is neither a small number nor points
/// into code or into the same stack is overwritten. Stack traces survive it, the values of variables do not. Registers
/// and added memory are left as they are. Default: not sanitized.
///
/// `sanitize`: 0 for no, anything else for yes.
/// Returns `CM_OK` or `CM_ERR_NULL_ARGUMENT`.
/// Threads: any, not two at once for one configuration. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_sanitize_stacks(config: *mut cm_config, sanitize: i32) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or valid, by the C API's contract.
        let config = unsafe { args::exclusive("config", config)? };
        config.inner.set_sanitized_stacks(sanitize != 0);
        Ok(())
    })
}

/// A function of the program that the signal handler calls in the crashing thread, before it reports the crash. It may
/// call what signal-safety(7) lists and nothing else: no `cm_*` function, no allocation, no lock, no printf. The heap may
/// be corrupt. It runs on the alternate signal stack, of which it may use 16 KiB, and the time it takes is added to the
/// time the crash takes.
///
/// `signal`: its number. `siginfo`: the `siginfo_t`. `context`: the `ucontext_t`. `user_data`: what was given with the
/// function.
/// Returns 0 for the crash to be reported, anything else for no report. The process ends either way.
pub type cm_crash_callback = Option<
    unsafe extern "C" fn(signal: i32, siginfo: *const c_void, context: *const c_void, user_data: *mut c_void) -> i32,
>;

/// Sets a function to be called at a crash, before the report; see `cm_crash_callback`. Default: none.
///
/// `callback`: NULL for none; it must stay callable as long as the process lives. `user_data`: passed on to it, never
/// looked at.
/// Returns `CM_OK` or `CM_ERR_NULL_ARGUMENT`.
/// Threads: any, not two at once for one configuration. Signal handlers: no. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_config_set_crash_callback(
    config: *mut cm_config,
    callback: cm_crash_callback,
    user_data: *mut c_void,
) -> cm_status {
    guard::status(|| {
        // SAFETY: NULL or valid, by the C API's contract.
        let config = unsafe { args::exclusive("config", config)? };
        // SAFETY: the program has promised that it may be called in a signal handler.
        config.inner.set_crash_callback(callback.map(|function| unsafe { CrashCallback::new(function, user_data) }));
        Ok(())
    })
}

//! Being the monitor.

use super::guard;
use crate::monitor;
use crate::status::{CM_NOT_A_MONITOR, CM_OK, cm_status};

/// Serves as the monitor, if this process was started as one. A program that is to be its own monitor calls this
/// first thing in `main`, before it opens files or starts threads:
///
/// ```c
/// int main(void) {
///     cm_status status = cm_run_monitor();
///     if (status != CM_NOT_A_MONITOR) return status == CM_OK ? 0 : 1;
///     cm_install("/var/lib/app/crashes", NULL);
/// ```
///
/// A process is a monitor when its command line holds `--crash-monitor`, before any `--`. Then this call serves until
/// its last host has gone and returns `CM_OK`, or an error: `CM_ERR_COMMAND_LINE`, `CM_ERR_SOCKET`, `CM_ERR_SYSTEM`.
/// In any other process it returns `CM_NOT_A_MONITOR` at once, and `cm_install` knows from then on that this program
/// can be started as a monitor.
/// Threads: the first one, before the program starts threads of its own. Signal handlers: no. Before `cm_install`: yes, that is its place.
#[unsafe(no_mangle)]
pub extern "C" fn cm_run_monitor() -> cm_status {
    let served = guard::guard(monitor::run_from_command_line);
    match served {
        Ok(true) => CM_OK,
        Ok(false) => CM_NOT_A_MONITOR,
        Err(status) => status,
    }
}

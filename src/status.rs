//! The status table: every code that a `cm_*` function can return, its name and its text.
//!
//! Codes are part of the ABI: errors are negative, everything else is success. A retired code is never used again.

/// What a `cm_*` function returns. 0 is `CM_OK`, positive codes are successes of another kind (`CM_NOT_A_MONITOR`), and
/// negative codes are the `CM_ERR_*` errors: `CM_IS_ERROR(status)` tells. That also holds for codes that later versions
/// add. `cm_status_text` gives the meaning of a code, `cm_last_error` the details of the last error.
#[allow(non_camel_case_types)]
pub type cm_status = i32;

/// Done.
pub const CM_OK: cm_status = 0;
/// A success: this process was not started as a monitor, so `cm_run_monitor` has done nothing.
pub const CM_NOT_A_MONITOR: cm_status = 1;
/// A pointer that must not be NULL was NULL.
pub const CM_ERR_NULL_ARGUMENT: cm_status = -1;
/// An argument has a value that is not allowed: an empty path, a number out of range, text that is not UTF-8 where
/// UTF-8 is asked for.
pub const CM_ERR_INVALID_ARGUMENT: cm_status = -2;
/// The process has installed crash-monitor before, with other arguments.
pub const CM_ERR_ALREADY_INSTALLED: cm_status = -3;
/// The call needs an installed crash-monitor, and there is none in this process.
pub const CM_ERR_NOT_INSTALLED: cm_status = -4;
/// The dump directory cannot be made, is not a directory, or cannot be written to.
pub const CM_ERR_DUMP_DIR: cm_status = -5;
/// The socket path cannot be used: it is longer than the kernel's limit (107 bytes on Linux, 103 on macOS), something other
/// than a socket lies there, or the monitor there belongs to another user.
pub const CM_ERR_SOCKET: cm_status = -6;
/// No monitor runs at the socket path, and no executable to start one was found.
pub const CM_ERR_NO_MONITOR: cm_status = -7;
/// A monitor was started but did not become ready.
pub const CM_ERR_MONITOR_START: cm_status = -8;
/// The monitor at the socket path speaks another version of the protocol.
pub const CM_ERR_MONITOR_VERSION: cm_status = -9;
/// The monitor did not answer within the deadline.
pub const CM_ERR_TIMEOUT: cm_status = -10;
/// The signal handlers cannot be attached.
pub const CM_ERR_HANDLER: cm_status = -11;
/// A system call failed for another reason; `cm_last_error` names it.
pub const CM_ERR_SYSTEM: cm_status = -12;
/// The command line of a process started as a monitor is not a valid one.
pub const CM_ERR_COMMAND_LINE: cm_status = -13;
/// A defect in crash-monitor itself was caught. Please report it with the text of `cm_last_error`.
pub const CM_ERR_INTERNAL: cm_status = -14;
/// A limit of the library is reached; `cm_last_error` says which.
pub const CM_ERR_LIMIT: cm_status = -15;
/// The monitor could not write the dump that was asked for; `cm_last_error` says why.
pub const CM_ERR_DUMP: cm_status = -16;
/// The call, or a setting, is not supported on this system, or by a monitor that is minidumper's server;
/// `cm_last_error` says which.
pub const CM_ERR_UNSUPPORTED: cm_status = -17;

/// One row of the table.
struct Row {
    code: cm_status,
    text: &'static std::ffi::CStr,
}

/// Builds a row whose text starts with the constant's own name, so that a log line can be searched for.
macro_rules! row {
    ($name:ident, $text:literal) => {
        Row {
            code: $name,
            text: match std::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), ": ", $text, "\0").as_bytes()) {
                Ok(text) => text,
                Err(_) => panic!("a status text contains a NUL"),
            },
        }
    };
}

const TABLE: &[Row] = &[
    row!(CM_OK, "done"),
    row!(CM_NOT_A_MONITOR, "this process was not started as a monitor"),
    row!(CM_ERR_NULL_ARGUMENT, "a required pointer is NULL"),
    row!(CM_ERR_INVALID_ARGUMENT, "an argument has a value that is not allowed"),
    row!(CM_ERR_ALREADY_INSTALLED, "already installed with other arguments"),
    row!(CM_ERR_NOT_INSTALLED, "not installed in this process"),
    row!(CM_ERR_DUMP_DIR, "the dump directory cannot be used"),
    row!(CM_ERR_SOCKET, "the socket path cannot be used"),
    row!(CM_ERR_NO_MONITOR, "no monitor runs and none was found to start"),
    row!(CM_ERR_MONITOR_START, "the monitor did not become ready"),
    row!(CM_ERR_MONITOR_VERSION, "the monitor speaks another protocol version"),
    row!(CM_ERR_TIMEOUT, "the monitor did not answer within the deadline"),
    row!(CM_ERR_HANDLER, "the signal handlers cannot be attached"),
    row!(CM_ERR_SYSTEM, "a system call failed"),
    row!(CM_ERR_COMMAND_LINE, "the monitor's command line is not valid"),
    row!(CM_ERR_INTERNAL, "a defect in crash-monitor was caught"),
    row!(CM_ERR_LIMIT, "a limit of the library is reached"),
    row!(CM_ERR_DUMP, "the monitor could not write the dump"),
    row!(CM_ERR_UNSUPPORTED, "not supported on this system"),
];

/// The name and meaning of a code; a text of its own for a code that is in no row.
pub(crate) fn text(code: cm_status) -> &'static std::ffi::CStr {
    TABLE.iter().find(|row| row.code == code).map_or(c"unknown crash-monitor status", |row| row.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_dense_and_errors_are_negative() {
        let (errors, successes): (Vec<_>, Vec<_>) =
            TABLE.iter().partition(|row| row.text.to_bytes().starts_with(b"CM_ERR_"));
        for (index, row) in successes.iter().enumerate() {
            assert_eq!(row.code, index as cm_status, "{:?}", row.text);
        }
        for (index, row) in errors.iter().enumerate() {
            assert_eq!(row.code, -1 - index as cm_status, "{:?}", row.text);
        }
        assert_eq!((successes.len(), errors.len()), (2, 17), "no code is retired yet");
    }

    #[test]
    fn a_text_names_its_code() {
        assert_eq!(text(CM_ERR_SOCKET), c"CM_ERR_SOCKET: the socket path cannot be used");
        assert_eq!(text(CM_NOT_A_MONITOR), c"CM_NOT_A_MONITOR: this process was not started as a monitor");
        assert_eq!(text(-1000), c"unknown crash-monitor status");
    }
}

//! The one error type inside the crate: a status code for programs and a sentence for people.

use crate::status::{self, cm_status};

/// Why something failed. `message` says what was wrong, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    status: cm_status,
    message: String,
}

/// What fallible functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(status: cm_status, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// A failed system call: `what` was being done, and the operating system said `cause`.
    pub(crate) fn system(what: impl std::fmt::Display, cause: impl std::fmt::Display) -> Self {
        Self::new(status::CM_ERR_SYSTEM, format!("{what}: {cause}"))
    }

    /// The code that a C caller sees.
    pub fn status(&self) -> cm_status {
        self.status
    }

    /// The sentence that `cm_last_error` gives.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// An error with a constant text. It needs no memory, so a signal handler may make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StaticError {
    pub status: cm_status,
    pub message: &'static std::ffi::CStr,
}

impl StaticError {
    pub(crate) const fn new(status: cm_status, message: &'static std::ffi::CStr) -> Self {
        Self { status, message }
    }
}

impl From<StaticError> for Error {
    fn from(error: StaticError) -> Self {
        Self::new(error.status, error.message.to_string_lossy())
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

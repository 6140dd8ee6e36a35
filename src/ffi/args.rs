//! From C arguments to Rust values.

use std::ffi::{CStr, c_char, c_void};
use std::path::Path;

use crate::error::{Error, Result, StaticError};
use crate::status::{CM_ERR_INVALID_ARGUMENT, CM_ERR_NULL_ARGUMENT};
use crate::sys::files;

/// The error for a pointer that must not be NULL.
pub(super) fn null(name: &str) -> Error {
    Error::new(CM_ERR_NULL_ARGUMENT, format!("{name} is NULL: give a pointer"))
}

/// A string that must be there.
///
/// # Safety
/// `pointer` is NULL or points to a NUL-terminated string that stays unchanged for `'a`.
unsafe fn required<'a>(name: &str, pointer: *const c_char) -> Result<&'a CStr> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: not NULL, so by the caller's promise a NUL-terminated string.
    Ok(unsafe { CStr::from_ptr(pointer) })
}

/// A path that must be there: in the file system's own bytes, on Windows in UTF-8.
///
/// # Safety
/// As for [`required`].
pub(super) unsafe fn path<'a>(name: &str, pointer: *const c_char) -> Result<&'a Path> {
    // SAFETY: the caller's promise is passed on.
    let string = unsafe { required(name, pointer)? };
    files::path_from_bytes(string.to_bytes())
        .ok_or_else(|| Error::new(CM_ERR_INVALID_ARGUMENT, format!("{name} is not UTF-8: give a path in UTF-8")))
}

/// A path that may be NULL.
///
/// # Safety
/// As for [`required`].
pub(super) unsafe fn optional_path<'a>(name: &str, pointer: *const c_char) -> Result<Option<&'a Path>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise is passed on.
    unsafe { path(name, pointer).map(Some) }
}

/// UTF-8 text that must be there.
///
/// # Safety
/// As for [`required`].
pub(super) unsafe fn text<'a>(name: &str, pointer: *const c_char) -> Result<&'a str> {
    // SAFETY: the caller's promise is passed on.
    let string = unsafe { required(name, pointer)? };
    string.to_str().map_err(|error| {
        Error::new(CM_ERR_INVALID_ARGUMENT, format!("{name} is not UTF-8: byte {} is wrong", error.valid_up_to()))
    })
}

/// UTF-8 text that may be NULL.
///
/// # Safety
/// As for [`required`].
pub(super) unsafe fn optional_text<'a>(name: &str, pointer: *const c_char) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise is passed on.
    unsafe { text(name, pointer).map(Some) }
}

/// The key of an annotation. Like [`value`] and [`bytes`], a signal handler may call this: its errors need no memory.
///
/// # Safety
/// As for [`required`].
pub(super) unsafe fn key<'a>(pointer: *const c_char) -> std::result::Result<&'a str, StaticError> {
    const NULL: StaticError = StaticError::new(CM_ERR_NULL_ARGUMENT, c"key is NULL: give a pointer");
    // SAFETY: the caller's promise is passed on.
    unsafe { static_text(pointer, c"key is not UTF-8")?.ok_or(NULL) }
}

/// The value of an annotation; None for NULL.
///
/// # Safety
/// As for [`required`].
pub(super) unsafe fn value<'a>(pointer: *const c_char) -> std::result::Result<Option<&'a str>, StaticError> {
    // SAFETY: the caller's promise is passed on.
    unsafe { static_text(pointer, c"value is not UTF-8") }
}

/// # Safety
/// As for [`required`].
unsafe fn static_text<'a>(
    pointer: *const c_char,
    not_utf8: &'static CStr,
) -> std::result::Result<Option<&'a str>, StaticError> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, so by the caller's promise a NUL-terminated string.
    let text = unsafe { CStr::from_ptr(pointer) }.to_str();
    text.map(Some).map_err(|_| StaticError::new(CM_ERR_INVALID_ARGUMENT, not_utf8))
}

/// Bytes of a length that the caller gives.
///
/// # Safety
/// `pointer` is NULL or points to `length` bytes that stay unchanged for `'a`.
pub(super) unsafe fn bytes<'a>(
    pointer: *const c_void,
    length: usize,
    null: &'static CStr,
) -> std::result::Result<&'a [u8], StaticError> {
    match (pointer.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(StaticError::new(CM_ERR_NULL_ARGUMENT, null)),
        // SAFETY: not NULL, so by the caller's promise that many bytes.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(pointer.cast(), length) }),
    }
}

/// A reference to an object of ours.
///
/// # Safety
/// `pointer` is NULL or came from the `_new` function of its type, was not freed, and no other thread writes to it.
pub(super) unsafe fn shared<'a, T>(name: &str, pointer: *const T) -> Result<&'a T> {
    // SAFETY: NULL becomes None; else by the caller's promise a live object.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// A mutable reference to an object of ours.
///
/// # Safety
/// As for [`shared`], and no other thread reads it either.
pub(super) unsafe fn exclusive<'a, T>(name: &str, pointer: *mut T) -> Result<&'a mut T> {
    // SAFETY: NULL becomes None; else by the caller's promise a live object that is ours alone.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

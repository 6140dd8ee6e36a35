//! From C arguments to Rust values.

use std::ffi::{CStr, c_char};
use std::path::Path;
use std::ptr::NonNull;

use crate::error::{Error, Result, StaticError};
use crate::status::{CM_ERR_INVALID_ARGUMENT, CM_ERR_NULL_ARGUMENT};
use crate::sys::files;

/// What functions give that a signal handler may call.
type StaticResult<T> = std::result::Result<T, StaticError>;

/// The error for a pointer that must not be NULL.
fn null(name: &str) -> Error {
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
    utf8(name, unsafe { required(name, pointer)? }.to_bytes())
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

/// UTF-8 text of `length` bytes that must be there.
///
/// # Safety
/// `pointer` is NULL or points to `length` bytes that stay unchanged for `'a`.
pub(super) unsafe fn text_n<'a>(name: &str, pointer: *const c_char, length: usize) -> Result<&'a str> {
    if pointer.is_null() {
        return Err(null(name));
    }
    if isize::try_from(length).is_err() {
        return Err(Error::new(
            CM_ERR_INVALID_ARGUMENT,
            format!("the length of {name} is {length}, more than an address space holds: give the number of its bytes"),
        ));
    }
    // SAFETY: not NULL, so by the caller's promise so many bytes, and an object is never larger than isize::MAX.
    utf8(name, unsafe { std::slice::from_raw_parts(pointer.cast(), length) })
}

/// UTF-8 text of `length` bytes; NULL with a length of 0 means none.
///
/// # Safety
/// As for [`text_n`].
pub(super) unsafe fn optional_text_n<'a>(name: &str, pointer: *const c_char, length: usize) -> Result<Option<&'a str>> {
    if pointer.is_null() && length == 0 {
        return Ok(None);
    }
    // SAFETY: the caller's promise is passed on.
    unsafe { text_n(name, pointer, length).map(Some) }
}

fn utf8<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|error| {
        Error::new(CM_ERR_INVALID_ARGUMENT, format!("{name} is not UTF-8: byte {} is wrong", error.valid_up_to()))
    })
}

/// The key of an annotation. Like the functions below it may be called by a signal handler: its errors need no memory.
///
/// # Safety
/// As for [`required`].
pub(super) unsafe fn key<'a>(pointer: *const c_char) -> StaticResult<&'a str> {
    // SAFETY: the caller's promise is passed on.
    unsafe { key_n(pointer, length(pointer)) }
}

/// The key of an annotation, of `length` bytes.
///
/// # Safety
/// As for [`text_n`].
pub(super) unsafe fn key_n<'a>(pointer: *const c_char, length: usize) -> StaticResult<&'a str> {
    const NULL: StaticError = StaticError::new(CM_ERR_NULL_ARGUMENT, c"key is NULL: give a pointer");
    // SAFETY: the caller's promise is passed on.
    let bytes = unsafe { bytes(pointer, length) }.ok_or(NULL)?;
    std::str::from_utf8(bytes).map_err(|_| StaticError::new(CM_ERR_INVALID_ARGUMENT, c"key is not UTF-8"))
}

/// The value of an annotation; NULL means none.
///
/// # Safety
/// As for [`required`].
pub(super) unsafe fn value<'a>(pointer: *const c_char) -> StaticResult<Option<&'a str>> {
    // SAFETY: the caller's promise is passed on.
    unsafe { value_n(pointer, length(pointer)) }
}

/// The value of an annotation, of `length` bytes; NULL with a length of 0 means none.
///
/// # Safety
/// As for [`text_n`].
pub(super) unsafe fn value_n<'a>(pointer: *const c_char, length: usize) -> StaticResult<Option<&'a str>> {
    const NULL: StaticError = StaticError::new(CM_ERR_NULL_ARGUMENT, c"value is NULL and its length is not 0");
    if pointer.is_null() && length == 0 {
        return Ok(None);
    }
    // SAFETY: the caller's promise is passed on.
    let bytes = unsafe { bytes(pointer, length) }.ok_or(NULL)?;
    let text = std::str::from_utf8(bytes);
    text.map(Some).map_err(|_| StaticError::new(CM_ERR_INVALID_ARGUMENT, c"value is not UTF-8"))
}

/// The text of a log line; NULL with a length of 0 is an empty one.
///
/// # Safety
/// As for [`text_n`].
pub(super) unsafe fn log_text<'a>(pointer: *const c_char, length: usize) -> StaticResult<&'a [u8]> {
    const NULL: StaticError = StaticError::new(CM_ERR_NULL_ARGUMENT, c"text is NULL and length is not 0");
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: the caller's promise is passed on.
    unsafe { bytes(pointer, length) }.ok_or(NULL)
}

/// # Safety
/// As for [`required`].
unsafe fn length(pointer: *const c_char) -> usize {
    // SAFETY: not NULL, so by the caller's promise a NUL-terminated string.
    if pointer.is_null() { 0 } else { unsafe { CStr::from_ptr(pointer) }.count_bytes() }
}

/// None for NULL. A length that no object has is cut: what is that long is refused by its limit.
///
/// # Safety
/// As for [`text_n`].
unsafe fn bytes<'a>(pointer: *const c_char, length: usize) -> Option<&'a [u8]> {
    // SAFETY: not NULL, so by the caller's promise so many bytes, and an object is never larger than isize::MAX.
    (!pointer.is_null()).then(|| unsafe { std::slice::from_raw_parts(pointer.cast(), length.min(isize::MAX as usize)) })
}

/// Where a result goes.
pub(super) fn output<T>(name: &str, pointer: *mut T) -> Result<NonNull<T>> {
    NonNull::new(pointer).ok_or_else(|| null(name))
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

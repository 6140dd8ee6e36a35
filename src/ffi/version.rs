//! The version, at compile time and at run time.

use std::ffi::{CStr, c_char};

/// The version this header belongs to: changes that break programs.
pub const CM_VERSION_MAJOR: u32 = 0;
/// The version this header belongs to: additions.
pub const CM_VERSION_MINOR: u32 = 1;
/// The version this header belongs to: corrections.
pub const CM_VERSION_PATCH: u32 = 0;
/// The version this header belongs to as one number, for `#if`: major * 1000000 + minor * 1000 + patch.
pub const CM_VERSION_NUMBER: u32 = CM_VERSION_MAJOR * 1000000 + CM_VERSION_MINOR * 1000 + CM_VERSION_PATCH;

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("the version contains a NUL"),
};

/// Returns the version of the library that is loaded as text, `major.minor.patch`.
///
/// The string is static. Threads: any. Signal handlers: yes. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_version() -> *const c_char {
    VERSION.as_ptr()
}

/// Returns the version of the library that is loaded as a number, like `CM_VERSION_NUMBER`. A library that is older than
/// the header has a lower number and may lack functions; another major version breaks programs, and so does another minor
/// version while the major one is 0.
///
/// Threads: any. Signal handlers: yes. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_version_number() -> u32 {
    CM_VERSION_NUMBER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_macros_and_the_package_agree() {
        let macros = format!("{CM_VERSION_MAJOR}.{CM_VERSION_MINOR}.{CM_VERSION_PATCH}");
        assert_eq!(macros, env!("CARGO_PKG_VERSION"));
        const { assert!(CM_VERSION_MINOR < 1000 && CM_VERSION_PATCH < 1000, "each has three digits of the number") };
    }
}

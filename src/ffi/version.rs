//! The version, at compile time and at run time.

use std::ffi::{CStr, c_char};

/// The version this header belongs to: changes that break programs.
pub const CM_VERSION_MAJOR: u32 = 0;
/// The version this header belongs to: additions.
pub const CM_VERSION_MINOR: u32 = 1;
/// The version this header belongs to: corrections.
pub const CM_VERSION_PATCH: u32 = 0;

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("the version contains a NUL"),
};

/// The version of the library that is loaded, `major.minor.patch`. Compare it with the `CM_VERSION_*` macros to find a
/// header and a library that do not belong together.
///
/// The string is static. Threads: any. Signal handlers: yes. Before `cm_install`: yes.
#[unsafe(no_mangle)]
pub extern "C" fn cm_version() -> *const c_char {
    VERSION.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_macros_and_the_package_agree() {
        let macros = format!("{CM_VERSION_MAJOR}.{CM_VERSION_MINOR}.{CM_VERSION_PATCH}");
        assert_eq!(macros, env!("CARGO_PKG_VERSION"));
    }
}

//! How the shared library is linked.

fn main() {
    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").expect("cargo sets it");
    for argument in [
        // Programs record this name and so find a library of the same major version.
        format!("-Wl,-soname,libcrash_monitor.so.{major}"),
        // Symbols of the packages inside stay inside: crash-handler's pthread_create must not become the host's.
        "-Wl,--exclude-libs,ALL".to_owned(),
        // Signal handlers and thread destructors point into the library, so dlclose(3) must not unload it.
        "-Wl,-z,nodelete".to_owned(),
    ] {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}

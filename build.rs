//! How the library is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    match (target("OS").as_str(), target("ENV").as_str()) {
        ("linux", _) => shared_library_for_linux(),
        // crash-handler's _invoke_watson is in the newer of the two C run-times alone, and MinGW links the older one.
        ("windows", "gnu") => println!("cargo:rustc-link-arg=-lucrtbase"),
        _ => {}
    }
}

/// What the library is built for; cargo sets it.
fn target(property: &str) -> String {
    std::env::var(format!("CARGO_CFG_TARGET_{property}")).unwrap_or_default()
}

fn shared_library_for_linux() {
    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").expect("cargo sets it");
    for argument in [
        // Programs record this name and so find a library of the same major version.
        format!("-Wl,-soname,libcrash_monitor.so.{major}"),
        // Symbols of the packages inside stay inside: none of theirs is to become the host's.
        "-Wl,--exclude-libs,ALL".to_owned(),
        // Signal handlers and thread destructors point into the library, so dlclose(3) must not unload it.
        "-Wl,-z,nodelete".to_owned(),
    ] {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
}

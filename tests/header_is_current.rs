//! The committed header is the one that cbindgen makes from the sources, and the version macros in it are the package's.

use std::path::Path;

/// Set, the test renews the header instead of comparing it: `make header`.
const RENEW: &str = "CRASH_MONITOR_RENEW_HEADER";

fn generated() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(config).with_src(root.join("src/status.rs"));
    for file in ["version", "last_error", "monitor", "install", "config", "extras", "page", "thread"] {
        builder = builder.with_src(root.join(format!("src/ffi/{file}.rs")));
    }
    let mut header = Vec::new();
    builder.generate().expect("cbindgen").write(&mut header);

    String::from_utf8(header).expect("UTF-8")
}

#[test]
fn the_committed_header_is_not_stale() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/crash_monitor.h");
    let generated = generated();
    if std::env::var_os(RENEW).is_some() {
        std::fs::write(&path, &generated).expect("write the header");
    }
    let committed = std::fs::read_to_string(&path).expect("read the header");
    assert!(committed == generated, "include/crash_monitor.h is stale: renew it with `make header`");
}

//! The committed header is the one that cbindgen makes from the sources, and the version macros in it are the package's.

use std::path::Path;

/// Set, the test renews the header instead of comparing it: `make header`.
const RENEW: &str = "CRASH_MONITOR_RENEW_HEADER";

fn generated() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(config).with_src(root.join("src/status.rs"));
    for file in ["version", "last_error", "report", "monitor", "install", "config", "extras", "page", "thread"] {
        builder = builder.with_src(root.join(format!("src/ffi/{file}.rs")));
    }
    let mut header = Vec::new();
    builder.generate().expect("cbindgen").write(&mut header);
    for_c(&String::from_utf8(header).expect("UTF-8"))
}

/// What cbindgen cannot be told: comments are plain text, without rustdoc's backticks; a standard attribute stands before
/// all others (C23, C++17); a negative constant is one operand.
fn for_c(header: &str) -> String {
    let is_fence = |line: &&str| line.trim_start_matches([' ', '*']).starts_with("```");
    let lines = header.lines().filter(|line| !is_fence(line)).map(|line| {
        let line = line.replace('`', "").replace("CM_API CM_NODISCARD", "CM_NODISCARD CM_API");
        match line.strip_prefix("#define ").and_then(|rest| rest.split_once(" -")) {
            Some((name, value)) => format!("#define {name} (-{value})\n"),
            None => line + "\n",
        }
    });
    lines.collect()
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

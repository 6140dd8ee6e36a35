//! What must not be in a dump.

mod common;

use common::{Host, Sandbox};

#[test]
fn neither_dump_nor_record_holds_the_environment() {
    // The environment lies at the upper end of the main thread's stack, which a shallow stack reaches.
    const SECRET: &str = "correct-horse-battery-staple";
    let sandbox = Sandbox::new();
    let mut command = Host::c().command(&sandbox, &["segv"]);
    let ended = common::Running::start(command.env("TOKEN", SECRET)).end();
    let dump = sandbox.only_dump();
    dump.check_basics(&Host::c().path, ended.pid);
    for file in sandbox.files() {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "the environment is in {}", file.display());
    }
}

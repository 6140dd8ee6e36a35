//! Node.js as the host. V8 turns faults of WebAssembly code into exceptions, by a handler that Node.js sets when it
//! starts; for a crash that handler gives the signal back to the kernel.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use common::{Ended, Host, Running, Sandbox};

/// Node.js, and the add-on by which it reaches the library.
struct Node {
    program: PathBuf,
    addon: Host,
}

impl Node {
    /// None, said aloud, where there is no Node.js with its headers.
    fn get() -> Option<&'static Self> {
        static NODE: OnceLock<Option<Node>> = OnceLock::new();
        let node = NODE.get_or_init(|| {
            let program = common::program("node")?;
            // <prefix>/bin/node
            let headers = program.ancestors().nth(2)?.join("include/node");
            headers.join("node_api.h").is_file().then(|| Self::build(program, &headers))
        });
        if node.is_none() {
            common::skip("there is no Node.js with its headers; on Debian the packages are nodejs and libnode-dev");
        }
        node.as_ref()
    }

    fn build(program: PathBuf, headers: &Path) -> Self {
        let headers = format!("-I{}", headers.display());
        Self { program, addon: Host::build("node_host.c", "host.node", &[&headers, "-shared", "-fPIC"]) }
    }

    fn run(&self, sandbox: &Sandbox, kind: &str) -> Ended {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/node_host.js");
        let mut command = Command::new(&self.program);
        command.arg(script).arg(&self.addon.path).arg(sandbox.dumps()).arg(kind);
        Running::start(command.stderr(Stdio::null())).end()
    }

    /// Runs a host that crashes in the add-on after a storm of V8's own faults, and checks its dump.
    fn crash(&self, kind: &str) -> Ended {
        let sandbox = Sandbox::new();
        let ended = self.run(&sandbox, kind);
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
        let dump = sandbox.only_dump();
        dump.check_basics(&self.program, ended.crashing_thread());
        assert_eq!((dump.signal(), dump.address()), (libc::SIGSEGV, ended.address()));
        assert_eq!(dump.crashing_module(), self.addon.path.canonicalize().unwrap().to_str().unwrap());
        ended
    }
}

#[test]
fn exceptions_and_webassemblys_traps_are_v8s_own_business() {
    let Some(node) = Node::get() else { return };
    let sandbox = Sandbox::new();
    let ended = node.run(&sandbox, "storm");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.said("caught "), "10000 10000 10");
    assert_eq!((ended.said("faults "), ended.said("armed ")), ("10000", "1"), "every trap is a fault");
    sandbox.wait_for_monitors_end();
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

#[test]
fn an_exception_that_nobody_catches_is_no_crash() {
    let Some(node) = Node::get() else { return };
    let sandbox = Sandbox::new();
    let ended = node.run(&sandbox, "throw");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    sandbox.wait_for_monitors_end();
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

#[test]
fn a_crash_in_an_addon_leaves_a_dump() {
    let Some(node) = Node::get() else { return };
    let ended = node.crash("crash");
    assert_eq!(ended.crashing_thread(), ended.pid);
}

#[test]
fn a_crash_in_a_worker_leaves_a_dump() {
    let Some(node) = Node::get() else { return };
    let ended = node.crash("worker");
    assert_ne!(ended.crashing_thread(), ended.pid);
}

//! A user without rights.

use std::fs::{copy, create_dir, set_permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{Host, Sandbox, dist};

/// Files that such a user needs of those that users get.
const FILES: [&str; 2] = ["lib/libcrash_monitor.so.0", "bin/crash-monitor"];

/// The user, with a host where it can be reached: the project may lie in a directory of root's.
pub struct Commoner {
    pub host: Host,
    /// None where the tests cannot act as somebody else: then it is the one who runs them.
    uid: Option<u32>,
}

impl Commoner {
    /// Makes the sandbox the user's own and puts everything there.
    pub fn new(sandbox: &Sandbox, name: &str) -> Self {
        let rpath = format!("-Wl,-rpath,{}", sandbox.path().join("lib").display());
        let built = Host::build("restricted.c", name, &[&rpath]);
        let host = Host { path: sandbox.path().join("restricted") };
        let mut public = vec![sandbox.path().to_owned(), host.path.clone()];
        copy(built.path, &host.path).unwrap();
        for file in FILES {
            let path = sandbox.path().join(file);
            let directory = path.parent().expect("its directory");
            create_dir(directory).unwrap();
            copy(dist().join(file), &path).unwrap();
            public.extend([directory.to_owned(), path]);
        }
        for path in public {
            set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let uid = rustix::process::geteuid().is_root().then(user_of_its_own);
        chown(sandbox.path(), uid, uid).unwrap();
        Self { host, uid }
    }

    /// The host's command, as the user.
    pub fn command(&self, sandbox: &Sandbox, arguments: &[&str]) -> Command {
        let mut command = self.host.command(sandbox, arguments);
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }
}

/// One who has no processes: the kernel counts them by user, for all limits alike (setrlimit(2), `RLIMIT_NPROC`), and
/// other tests run at the same time. Below 65,536, since containers have no more.
fn user_of_its_own() -> u32 {
    static USED: AtomicU32 = AtomicU32::new(0);
    20_000 + std::process::id() % 4_000 * 10 + USED.fetch_add(1, Ordering::Relaxed)
}

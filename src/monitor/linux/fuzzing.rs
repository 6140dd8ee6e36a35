//! What has to hold for any message. `fuzz/` searches for one that breaks it; the test below replays those found so far. Not
//! part of the library that users get.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use super::messages::{self, Message};
use crate::monitor::hosts::Description;
use crate::wire::{self, Hello, PROTOCOL_VERSION};

/// The process that the messages come from.
const PEER: i32 = 4242;

/// Whether the monitor accepts `message`. Panics where it would do what no message may make it do.
pub fn accepts(message: &[u8]) -> bool {
    let cut_off = messages::interpret(message, message.len() + 1, PEER);
    assert!(cut_off.is_err(), "a message that the kernel has cut off is refused");
    let interpreted = messages::interpret(message, message.len(), PEER);
    match &interpreted {
        Ok(Message::Crash(crash)) => assert_eq!(crash.context.pid, PEER, "nobody has another process dumped"),
        Ok(Message::OtherVersion(version)) => assert_ne!(*version, PROTOCOL_VERSION),
        Ok(Message::Hello { description, .. }) => {
            check_description(description);
            let (_, payload) = wire::split(message, message.len()).expect("it was accepted");
            let hello = Hello::parse(payload).expect("it was accepted");
            assert_eq!(wire::hello(&hello), payload, "nothing is read that was not said");
        }
        _ => {}
    }
    // A hello of another version ends the session like a bad message.
    interpreted.is_ok()
}

/// Dumps go where the host said, under one file name.
fn check_description(Description { dump_dir, app_name, .. }: &Description) {
    assert!(dump_dir.is_absolute() && !dump_dir.as_os_str().as_bytes().contains(&0), "{}", dump_dir.display());
    let only_a_name = Path::new(app_name).components().eq([Component::Normal(OsStr::new(app_name))]);
    assert!(only_a_name && !app_name.starts_with('.') && !app_name.contains('\0'), "{app_name:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fuzzing_has_found_is_harmless() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/session");
        let (mut accepted, mut refused) = (0, 0);
        for entry in std::fs::read_dir(&corpus).expect("the corpus") {
            let path = entry.expect("a file of the corpus").path();
            let name = path.file_name().expect("its name").to_string_lossy();
            if name.ends_with("x86_64") && !cfg!(target_arch = "x86_64") {
                // A crash context is laid out as its processor has it.
                continue;
            }
            if accepts(&std::fs::read(&path).expect("a file of the corpus")) {
                assert!(!name.starts_with("bad-"), "{name} is accepted");
                accepted += 1;
            } else {
                // What the search has found is named by its hash, what was written by hand by what it is.
                let by_hand = name.len() != 40;
                assert!(!by_hand || name.starts_with("bad-"), "{name} is refused");
                refused += 1;
            }
        }
        assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused: is the corpus complete?");
    }
}

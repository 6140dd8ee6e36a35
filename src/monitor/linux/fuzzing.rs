//! What has to hold for any message, and for any page. `fuzz/` searches for one that breaks it; the tests below replay those
//! found so far. Not part of the library that users get.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use super::messages::{self, Message};
use crate::monitor::hosts::Description;
use crate::page::layout::*;
use crate::page::read;
use crate::wire::{self, Hello, PROTOCOL_VERSION};

/// The process that the messages come from.
const PEER: i32 = 4242;

/// Whether the monitor accepts `message`. Panics where it would do what no message may make it do.
pub fn accepts(message: &[u8]) -> bool {
    let cut_off = messages::interpret(message, message.len() + 1, PEER);
    assert!(cut_off.is_err(), "a message that the kernel has cut off is refused");
    let interpreted = messages::interpret(message, message.len(), PEER);
    match &interpreted {
        Ok(Message::Crash(crash) | Message::ChildCrash(crash)) => {
            assert_eq!(crash.context.pid, PEER, "nobody has another process dumped")
        }
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

/// Reads a page that is all zero but for its header and for `changes`: each is the place of a word, four bytes, and the
/// word, eight. Panics where more is read than a page can hold.
pub fn reads_page(changes: &[u8]) {
    let mut page = vec![0; PAGE_BYTES];
    page[..8].copy_from_slice(&MAGIC.to_ne_bytes());
    page[8..12].copy_from_slice(&VERSION.to_ne_bytes());
    for change in changes.chunks_exact(12) {
        let (place, word) = change.split_at(4);
        let place = u32::from_le_bytes(place.try_into().expect("four bytes")) as usize % (PAGE_BYTES / 8) * 8;
        page[place..place + 8].copy_from_slice(word);
    }
    let source = |offset: usize, length: usize| Ok(page[offset..offset + length].to_vec());
    let entries = read::entries(&source);
    assert!(entries.annotations.len() <= ANNOTATIONS && entries.attachments.len() <= ATTACHMENTS);
    assert!(entries.thread_annotations.len() <= THREAD_ANNOTATIONS && entries.memory.len() <= MEMORY_RANGES);
    assert!(entries.memory.values().all(|length| *length <= MEMORY_RANGE as u64));
    assert!(entries.attachments.iter().all(|path| path.is_absolute()));
    // A byte that is no UTF-8 becomes three.
    assert!(entries.log.iter().all(|line| line.text.len() <= 3 * LOG_LINE));
    let _ = read::heartbeat(&source);
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

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

    /// Words that a page's tables and log have a meaning for, in random places.
    #[test]
    fn any_page_is_read_without_harm() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let begins = [
            0,
            offset_of!(Page, memory),
            offset_of!(Page, annotations),
            offset_of!(Page, attachments),
            offset_of!(Page, threads),
            offset_of!(Page, log),
        ];
        let rounds = std::env::var("CRASH_MONITOR_TEST_PAGES").map_or(200, |rounds| rounds.parse().expect("a number"));
        for _ in 0..rounds {
            let mut changes = Vec::new();
            for _ in 0..random() % 2000 {
                let begin = begins[random() as usize % begins.len()] as u64 / 8;
                let place = if random() % 4 == 0 { random() } else { begin + random() % 600 };
                let word = match random() % 5 {
                    0 => random(),
                    1 => random() % 100,
                    2 => random() & 0xff_0000_00ff,
                    3 => u64::MAX - random() % 4,
                    _ => random() & random() & random(),
                };
                changes.extend((place as u32).to_le_bytes());
                changes.extend(word.to_ne_bytes());
            }
            reads_page(&changes);
        }
    }
}

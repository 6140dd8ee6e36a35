//! A table of keys and values that any number of writers change without waiting for each other.
//!
//! A writer fills a free buffer that no slot refers to, then puts its tag into a slot with one compare-and-swap. A crash in
//! the middle of a write therefore leaves the previous value, and a signal handler that interrupts a writer takes another
//! free buffer. Two writers of one key, during a removal, can leave it in two slots: then the higher generation counts.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::source::{Source, number};

/// `SLOTS` entries in `BUFFERS` buffers of `WORDS` 8-byte words each.
#[repr(C)]
pub(crate) struct Table<const SLOTS: usize, const BUFFERS: usize, const WORDS: usize> {
    generation: AtomicU32,
    reserved: AtomicU32,
    /// 0 for an empty slot, else a [`Tag`].
    slots: [AtomicU64; SLOTS],
    /// 1 for a buffer that a slot or a writer has.
    taken: [AtomicU32; BUFFERS],
    buffers: [Buffer<WORDS>; BUFFERS],
}

/// A key and, from the next whole word on, its value.
#[repr(C)]
struct Buffer<const WORDS: usize> {
    key_length: AtomicU32,
    value_length: AtomicU32,
    words: [AtomicU64; WORDS],
}

/// How often an entry that changes meanwhile is copied.
const COPY_ATTEMPTS: usize = 16;

/// What a slot holds: the buffer's index plus one in the low 16 bits, 16 bits of the key's hash, the generation.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tag(u64);

impl Tag {
    fn new(buffer: usize, hash: u16, generation: u32) -> Self {
        Self((buffer as u64 + 1) | u64::from(hash) << 16 | u64::from(generation) << 32)
    }

    /// None for an empty slot.
    fn buffer(self) -> Option<usize> {
        (self.0 as u16 as usize).checked_sub(1)
    }

    fn hash(self) -> u16 {
        (self.0 >> 16) as u16
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Why an entry was not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Every slot has another key.
    Full,
    /// Too many writers have been interrupted at once.
    Busy,
}

impl<const SLOTS: usize, const BUFFERS: usize, const WORDS: usize> Table<SLOTS, BUFFERS, WORDS> {
    /// Sets the value of a key. The caller has checked that the two fit into a buffer.
    pub(super) fn set(&self, key: [&[u8]; 2], value: [&[u8]; 2]) -> Result<(), Refused> {
        let index = self.take_buffer().ok_or(Refused::Busy)?;
        self.buffers[index].fill(key, value);
        let hash = hash(key);
        let tag = Tag::new(index, hash, self.generation.fetch_add(1, Ordering::Relaxed));
        loop {
            let (mut empty, mut replaced) = (None, None);
            for slot in &self.slots {
                let seen = Tag(slot.load(Ordering::Acquire));
                if seen.buffer().is_none() {
                    empty = empty.or(Some(slot));
                } else if self.has_key(slot, seen, hash, key) {
                    replaced = Some((slot, seen));
                    break;
                }
            }
            let swap = |slot: &AtomicU64, from: u64| {
                slot.compare_exchange(from, tag.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            };
            match (replaced, empty) {
                (Some((slot, seen)), _) if swap(slot, seen.0) => {
                    self.free(seen);
                    return Ok(());
                }
                (None, Some(slot)) if swap(slot, 0) => return Ok(()),
                (None, None) => {
                    self.free(tag);
                    return Err(Refused::Full);
                }
                // Another writer was faster: look again.
                _ => {}
            }
        }
    }

    /// Removes a key; false where it was not there.
    pub(super) fn remove(&self, key: [&[u8]; 2]) -> bool {
        let hash = hash(key);
        let mut removed = false;
        for slot in &self.slots {
            let seen = Tag(slot.load(Ordering::Acquire));
            removed |= self.has_key(slot, seen, hash, key) && self.empty(slot, seen);
        }
        removed
    }

    /// Removes every entry whose key begins with a prefix of four bytes that `is_stale` holds of; says whether there was one.
    pub(super) fn remove_stale(&self, is_stale: impl Fn([u8; 4]) -> bool) -> bool {
        let mut removed = false;
        for slot in &self.slots {
            let seen = Tag(slot.load(Ordering::Acquire));
            let Some(buffer) = seen.buffer().and_then(|index| self.buffers.get(index)) else { continue };
            let first = buffer.words[0].load(Ordering::Relaxed).to_ne_bytes();
            removed |= is_stale([first[0], first[1], first[2], first[3]]) && self.empty(slot, seen);
        }
        removed
    }

    fn empty(&self, slot: &AtomicU64, seen: Tag) -> bool {
        let emptied = slot.compare_exchange(seen.0, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if emptied {
            self.free(seen);
        }
        emptied
    }

    /// Whether a slot's buffer holds this key. The buffer may have been given to another key while it was compared: then
    /// the slot has changed too.
    fn has_key(&self, slot: &AtomicU64, seen: Tag, hash: u16, key: [&[u8]; 2]) -> bool {
        let Some(buffer) = seen.buffer().and_then(|index| self.buffers.get(index)) else { return false };
        seen.hash() == hash && buffer.key_is(key) && {
            // The buffer's words before the slot.
            fence(Ordering::Acquire);
            slot.load(Ordering::Relaxed) == seen.0
        }
    }

    fn take_buffer(&self) -> Option<usize> {
        self.taken.iter().position(|taken| {
            taken.load(Ordering::Relaxed) == 0
                && taken.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
        })
    }

    fn free(&self, tag: Tag) {
        if let Some(taken) = tag.buffer().and_then(|index| self.taken.get(index)) {
            taken.store(0, Ordering::Release);
        }
    }

    /// Copies the entries of another table, which may change meanwhile, into this one, which is empty and not in use yet.
    pub(super) fn copy_from(&self, other: &Self) {
        self.generation.store(other.generation.load(Ordering::Acquire), Ordering::Relaxed);
        for (slot, from) in self.slots.iter().zip(&other.slots) {
            // An entry that is replaced while it is copied is copied again, a few times.
            for _ in 0..COPY_ATTEMPTS {
                let tag = Tag(from.load(Ordering::Acquire));
                let Some(index) = tag.buffer().filter(|index| *index < BUFFERS) else { break };
                // Two slots may have named one buffer in turn while they were copied.
                if self.taken[index].load(Ordering::Relaxed) != 0 {
                    break;
                }
                self.buffers[index].copy_from(&other.buffers[index]);
                fence(Ordering::Acquire);
                if from.load(Ordering::Relaxed) == tag.0 {
                    self.taken[index].store(1, Ordering::Relaxed);
                    slot.store(tag.0, Ordering::Relaxed);
                    break;
                }
            }
        }
    }

    /// All entries of a table that lies at `offset` of an untrusted source, oldest first. The error says what could not be
    /// read.
    pub(super) fn read(source: &impl Source, offset: usize) -> std::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let slots_at = offset + offset_of!(Self, slots);
        let slots = source.read(slots_at, SLOTS * size_of::<u64>())?;
        let mut entries = Vec::new();
        for (slot, word) in slots.chunks_exact(size_of::<u64>()).enumerate() {
            let mut tag = Tag(number(word));
            // The process may be running: an entry that is replaced while it is read is read again, a few times.
            for _ in 0..COPY_ATTEMPTS {
                let Some(index) = tag.buffer().filter(|index| *index < BUFFERS) else { break };
                let buffer = offset + offset_of!(Self, buffers) + index * size_of::<Buffer<WORDS>>();
                let entry = Self::read_buffer(source, buffer)?;
                let now = Tag(number(&source.read(slots_at + slot * size_of::<u64>(), size_of::<u64>())?));
                if now == tag {
                    entries.extend(entry.map(|entry| (tag.generation(), entry)));
                    break;
                }
                tag = now;
            }
        }
        entries.sort_by_key(|(generation, _)| *generation);
        Ok(entries.into_iter().map(|(_, entry)| entry).collect())
    }

    /// Key and value; None where their lengths are impossible.
    fn read_buffer(source: &impl Source, buffer: usize) -> std::io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let lengths = source.read(buffer, 2 * size_of::<u32>())?;
        let [key, value] = [0, 4].map(|at| number::<4, u32>(&lengths[at..]) as usize);
        let value_at = key.next_multiple_of(size_of::<u64>());
        if key > WORDS * 8 || value > WORDS * 8 || value_at + value > WORDS * 8 {
            return Ok(None);
        }
        let bytes = source.read(buffer + offset_of!(Buffer<WORDS>, words), value_at + value)?;
        Ok(Some((bytes[..key].to_vec(), bytes[value_at..].to_vec())))
    }
}

impl<const WORDS: usize> Buffer<WORDS> {
    fn fill(&self, key: [&[u8]; 2], value: [&[u8]; 2]) {
        let length = |parts: [&[u8]; 2]| parts[0].len() + parts[1].len();
        // Who sees these words sees too that no slot has this buffer any more.
        fence(Ordering::Release);
        self.key_length.store(length(key) as u32, Ordering::Relaxed);
        self.value_length.store(length(value) as u32, Ordering::Relaxed);
        let (keys, values) = self.words.split_at(length(key).div_ceil(size_of::<u64>()));
        keys.iter().zip(Words(key)).for_each(|(word, bytes)| word.store(bytes, Ordering::Relaxed));
        values.iter().zip(Words(value)).for_each(|(word, bytes)| word.store(bytes, Ordering::Relaxed));
    }

    fn key_is(&self, key: [&[u8]; 2]) -> bool {
        self.key_length.load(Ordering::Relaxed) as usize == key[0].len() + key[1].len()
            && self.words.iter().zip(Words(key)).all(|(word, bytes)| word.load(Ordering::Relaxed) == bytes)
    }

    fn copy_from(&self, other: &Self) {
        let [key, value] = [&other.key_length, &other.value_length].map(|length| length.load(Ordering::Relaxed));
        self.key_length.store(key, Ordering::Relaxed);
        self.value_length.store(value, Ordering::Relaxed);
        let used = (key as usize).div_ceil(size_of::<u64>()) + (value as usize).div_ceil(size_of::<u64>());
        for (to, from) in self.words.iter().zip(&other.words).take(used) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// Two slices of bytes, one after the other, as native words; the last one is filled up with zeros. The first is empty or a
/// prefix of at most eight bytes.
struct Words<'a>([&'a [u8]; 2]);

impl Iterator for Words<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let [prefix, rest] = &mut self.0;
        if prefix.is_empty() && rest.is_empty() {
            return None;
        }
        let mut word = [0; size_of::<u64>()];
        if prefix.is_empty()
            && let Some((whole, after)) = rest.split_first_chunk()
        {
            word = *whole;
            *rest = after;
            return Some(u64::from_ne_bytes(word));
        }
        let (front, back) = word.split_at_mut(prefix.len());
        front.copy_from_slice(prefix);
        let taken = back.len().min(rest.len());
        back[..taken].copy_from_slice(&rest[..taken]);
        (*prefix, *rest) = (&[], &rest[taken..]);
        Some(u64::from_ne_bytes(word))
    }
}

/// FNV-1a, folded to 16 bits: enough to tell nearly all keys apart without looking at their buffers.
fn hash(key: [&[u8]; 2]) -> u16 {
    let bytes = key[0].iter().chain(key[1]);
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    (hash ^ hash >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::read::tests::Bytes;

    type Small = Table<4, 6, 8>;

    fn small() -> Box<Small> {
        // SAFETY: all-zero bytes are an empty table.
        unsafe { Box::new_zeroed().assume_init() }
    }

    fn entries(table: &Small) -> Vec<(String, String)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let read = Small::read(&Bytes::of(table), 0).unwrap();
        read.into_iter().map(|(key, value)| (text(key), text(value))).collect()
    }

    fn set(table: &Small, key: &str, value: &str) -> Result<(), Refused> {
        table.set([&[], key.as_bytes()], [&[], value.as_bytes()])
    }

    #[test]
    fn a_key_has_its_last_value_until_it_is_removed() {
        let table = small();
        for round in 0..100 {
            set(&table, "a key of some length", &round.to_string()).unwrap();
            set(&table, "b", "").unwrap();
        }
        let expected = [("a key of some length".to_owned(), "99".to_owned()), ("b".to_owned(), String::new())];
        assert_eq!(entries(&table), expected);
        assert!(table.remove([&[], b"b"]) && !table.remove([&[], b"b"]));
        assert_eq!(entries(&table), expected[..1]);
    }

    #[test]
    fn a_full_table_takes_known_keys_only() {
        let table = small();
        ["a", "b", "c", "d"].into_iter().for_each(|key| set(&table, key, "1").unwrap());
        assert_eq!(set(&table, "e", "1"), Err(Refused::Full));
        set(&table, "d", "2").unwrap();
        table.remove([&[], b"a"]);
        set(&table, "e", "1").unwrap();
        assert_eq!(entries(&table).len(), 4);
    }

    #[test]
    fn a_writer_that_was_interrupted_leaves_the_value_before() {
        let table = small();
        set(&table, "a", "before").unwrap();
        let interrupted = table.take_buffer().unwrap();
        table.buffers[interrupted].fill([&[], b"a"], [&[], b"half"]);
        assert_eq!(entries(&table), [("a".to_owned(), "before".to_owned())]);
        set(&table, "a", "by the handler").unwrap();
        assert_eq!(entries(&table), [("a".to_owned(), "by the handler".to_owned())]);
    }

    #[test]
    fn threads_that_write_at_once_lose_nothing() {
        let (table, all_there) = (small(), std::sync::Barrier::new(4));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (table, all_there) = (&table, &all_there);
                scope.spawn(move || {
                    for round in 0..20_000 {
                        let key = format!("key {}", (thread + round) % 3);
                        let _ = set(table, &key, &format!("{key} {round}"));
                        if round % 7 == 0 {
                            table.remove([&[], key.as_bytes()]);
                        }
                    }
                    all_there.wait();
                    set(table, &format!("key {}", thread % 3), "last").unwrap();
                });
            }
        });
        let entries: std::collections::BTreeMap<_, _> = entries(&table).into_iter().collect();
        assert_eq!(entries.values().collect::<Vec<_>>(), ["last"; 3]);
        let taken = table.taken.iter().filter(|taken| taken.load(Ordering::Relaxed) != 0).count();
        let slots = table.slots.iter().filter(|slot| slot.load(Ordering::Relaxed) != 0).count();
        assert_eq!(taken, slots, "no buffer is lost");
    }

    #[test]
    fn a_copy_has_the_same_entries_and_room_for_as_many() {
        let (table, copy) = (small(), small());
        set(&table, "a", "1").unwrap();
        let _interrupted = table.take_buffer();
        copy.copy_from(&table);
        set(&copy, "a", "2").unwrap();
        assert_eq!(entries(&table), [("a".to_owned(), "1".to_owned())]);
        assert_eq!(entries(&copy), [("a".to_owned(), "2".to_owned())]);
        assert_eq!(copy.taken.iter().filter(|taken| taken.load(Ordering::Relaxed) != 0).count(), 1);
    }
}

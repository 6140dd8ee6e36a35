//! Pages made by hand, with what no library would put there. The layout's numbers are written down once more: what host and
//! monitor share must not change with a constant.

/// The tables in the order of the page: slots, buffers, 8-byte words of a buffer.
const TABLES: [[usize; 3]; 4] = [[64, 80, 2], [64, 80, 2592], [16, 32, 512], [256, 272, 74]];
const HEADER: usize = 40;
const LOG: usize = 1024 * 1024;

/// Which table.
#[derive(Clone, Copy)]
pub enum Table {
    Memory,
    Annotations,
    Attachments,
    Threads,
}

/// A page in this process's own memory, which stays for the process's life.
pub struct Page {
    words: &'static mut [u64],
    generation: u64,
}

impl Page {
    pub fn new() -> Self {
        let bytes = (table_offset(TABLES.len()) + LOG).next_multiple_of(64 * 1024);
        let words = vec![0_u64; bytes / 8].leak();
        words[0] = u64::from_ne_bytes(*b"cm-page\0");
        words[1] = 1 | 512 << 32;
        Self { words, generation: 0 }
    }

    pub fn address(&self) -> u64 {
        self.words.as_ptr().addr() as u64
    }

    /// Puts an entry into a slot of the table, and into the buffer of the same index, where there is one.
    pub fn set(&mut self, table: Table, index: usize, key: &[u8], value: &[u8]) {
        let [slots, buffers, words] = TABLES[table as usize];
        let start = table_offset(table as usize);
        self.generation += 1;
        self.words[start / 8 + 1 + index % slots] = (index as u64 + 1) & 0xffff | self.generation << 32;
        if index >= buffers {
            return;
        }
        let buffer = (start + 8 + slots * 8 + (buffers * 4).next_multiple_of(8)) / 8 + index * (1 + words);
        self.words[buffer] = key.len() as u64 | (value.len() as u64) << 32;
        let key_words = key.len().div_ceil(8);
        for (at, bytes) in
            key.chunks(8).enumerate().chain(value.chunks(8).enumerate().map(|(at, b)| (at + key_words, b)))
        {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            if let Some(room) = self.words.get_mut(buffer + 1 + at) {
                *room = u64::from_ne_bytes(word);
            }
        }
    }

    /// Everything behind the header is this byte.
    pub fn fill(&mut self, byte: u8) {
        self.words[HEADER / 8..].fill(u64::from_ne_bytes([byte; 8]));
    }
}

fn table_offset(table: usize) -> usize {
    let size = |[slots, buffers, words]: &[usize; 3]| {
        8 + slots * 8 + (buffers * 4).next_multiple_of(8) + buffers * (8 + words * 8)
    };
    HEADER + TABLES[..table].iter().map(size).sum::<usize>()
}

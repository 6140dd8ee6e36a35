//! Overwriting what a stack holds besides its frames, see docs/privacy.md.

use std::ops::Range;

use super::maps::Maps;

/// What a word is overwritten with: "0defaced0defaced".
const DEFACED: u64 = 0x0def_aced_0def_aced;
/// Numbers up to this are kept: lengths, flags and indices.
const SMALL: u64 = 4096;
const WORD: usize = size_of::<u64>();

/// Overwrites each word of a stack's copy that is neither a small number nor points into code or into the same stack, and
/// clears what lies below the stack pointer. `start` is the address of the first byte.
pub(super) fn sanitize(stack: &mut [u8], start: u64, stack_pointer: u64, maps: &Maps) {
    let begin = stack_pointer.max(start).next_multiple_of(WORD as u64) - start;
    let (below, words) = stack.split_at_mut((begin as usize).min(stack.len()));
    below.fill(0);
    let own = maps.range_at(stack_pointer.max(start)).unwrap_or(start..start);
    let mut code: Range<u64> = 0..0;
    let mut words = words.chunks_exact_mut(WORD);
    for bytes in &mut words {
        let word = u64::from_ne_bytes(bytes.try_into().expect("a word's bytes"));
        if word <= SMALL || own.contains(&word) || code.contains(&word) {
            continue;
        }
        match maps.code_at(word) {
            Some(found) => code = found,
            None => bytes.copy_from_slice(&DEFACED.to_ne_bytes()),
        }
    }
    words.into_remainder().fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_numbers_code_and_the_stack_itself_are_kept() {
        let text = b"10000-20000 r-xp 00000000 00:00 0 \n20000-30000 r--p 00000000 00:00 0 \n\
            70000-80000 rw-p 00000000 00:00 0 \n";
        let maps = Maps::parse(Some(&text.to_vec()));
        let words = [7, 7, 0x10008, 0x20008, 0x70008, 4096, 4097, u64::MAX];
        let mut stack: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
        stack.push(9);
        sanitize(&mut stack, 0x70100, 0x70104, &maps);
        let after: Vec<u64> = stack.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect();
        assert_eq!(after, [0, 7, 0x10008, DEFACED, 0x70008, 4096, DEFACED, DEFACED]);
        assert_eq!(stack.last(), Some(&0));
    }
}

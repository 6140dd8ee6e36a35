//! The bytes of a page, read from another process, which is not trusted.

use std::io;

/// Where the page's bytes come from.
pub(crate) trait Source {
    /// Exactly `length` bytes from `offset` on.
    fn read(&self, offset: usize, length: usize) -> io::Result<Vec<u8>>;
}

impl<F: Fn(usize, usize) -> io::Result<Vec<u8>>> Source for F {
    fn read(&self, offset: usize, length: usize) -> io::Result<Vec<u8>> {
        let bytes = self(offset, length)?;
        if bytes.len() == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// A native number at the front of bytes that hold one.
pub(super) fn number<const BYTES: usize, N: FromNative<BYTES>>(bytes: &[u8]) -> N {
    N::from_native(*bytes.first_chunk().expect("the bytes of a number"))
}

pub(super) trait FromNative<const BYTES: usize> {
    fn from_native(bytes: [u8; BYTES]) -> Self;
}

impl FromNative<4> for u32 {
    fn from_native(bytes: [u8; 4]) -> Self {
        Self::from_ne_bytes(bytes)
    }
}

impl FromNative<8> for u64 {
    fn from_native(bytes: [u8; 8]) -> Self {
        Self::from_ne_bytes(bytes)
    }
}

//! Memory for packed weights: large anonymous chunks of huge pages, cut into matrices. Weights are
//! streamed whole for each token, and the same stream reads up to twice as fast from huge pages
//! as from small ones; one matrix alone may be smaller than such a page.
#![allow(unsafe_code)]

use bytes::{Bytes, BytesMut};

/// Untouched memory costs nothing, so chunks may be generous.
const CHUNK: usize = 64 << 20;
const HUGE_PAGE: usize = 2 << 20;
/// Matrices begin at cache lines.
const LINE: usize = 64;

/// Hands out zeroed memory, freed when the last matrix of its chunk is dropped.
#[derive(Debug, Default)]
pub(super) struct Arena {
    rest: BytesMut,
}

impl Arena {
    /// Fills `len` zeroed bytes and freezes them.
    pub(super) fn fill(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Bytes {
        let needed = len.next_multiple_of(LINE);
        if self.rest.len() < needed {
            self.rest = chunk(needed.max(CHUNK));
        }
        let mut bytes = self.rest.split_to(needed);
        bytes.truncate(len);
        fill(&mut bytes);
        bytes.freeze()
    }
}

/// At least `len` zeroed bytes that begin at a huge page.
fn chunk(len: usize) -> BytesMut {
    let len = len.next_multiple_of(HUGE_PAGE);
    let mut chunk = BytesMut::zeroed(len + HUGE_PAGE);
    let start = chunk.as_ptr().align_offset(HUGE_PAGE).min(HUGE_PAGE);
    let _ = chunk.split_to(start);
    chunk.truncate(len);
    #[cfg(target_os = "linux")]
    // SAFETY: the range is ours; the advice changes how its pages are backed and not what they
    // hold. Where the system refuses it, pages stay small.
    unsafe {
        libc::madvise(chunk.as_mut_ptr().cast(), len, libc::MADV_HUGEPAGE);
    }
    chunk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_share_chunks_and_begin_at_cache_lines() {
        let mut arena = Arena::default();
        let all: Vec<_> = [1, 64, 100, CHUNK - 256, 1, 2 * CHUNK, 5]
            .into_iter()
            .map(|len| {
                arena.fill(len, |bytes| {
                    assert!(bytes.iter().all(|b| *b == 0));
                    bytes[0] = 1;
                    bytes[len - 1] = 2;
                })
            })
            .collect();
        assert_eq!(all[0].as_ptr() as usize % HUGE_PAGE, 0);
        assert_eq!(all[1].as_ptr() as usize - all[0].as_ptr() as usize, 64);
        assert_eq!(all[5].as_ptr() as usize % HUGE_PAGE, 0);
        for bytes in &all {
            assert_eq!(bytes.as_ptr() as usize % LINE, 0);
            assert_eq!(bytes[bytes.len() - 1], 2);
        }
    }
}

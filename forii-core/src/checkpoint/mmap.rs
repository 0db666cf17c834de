//! A file's bytes: mapped read-only, or held in memory. The only unsafe code of this folder; its
//! callers see a byte slice.
#![allow(unsafe_code)]

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use memmap2::Mmap;

use crate::error::LoadError;

/// One file of a checkpoint.
pub(super) struct FileBytes {
    path: PathBuf,
    source: Source,
}

enum Source {
    Mapped(Mmap),
    Memory(Bytes),
}

impl FileBytes {
    /// Maps a file.
    pub(super) fn map(path: &Path) -> Result<Self, LoadError> {
        let failed = |source| LoadError::Io {
            path: path.to_path_buf(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            )));
        }
        // SAFETY: the mapping is read-only and private to this value. A program that truncates or
        // rewrites the model file while it is in use breaks any reader of it; as with every mapped
        // file, that is excluded by the documentation of `checkpoint::open`.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        Ok(Self {
            path: path.to_path_buf(),
            source: Source::Mapped(map),
        })
    }

    /// Bytes that are in memory already, under the name that errors will show.
    pub(super) fn memory(path: &Path, bytes: Bytes) -> Self {
        Self {
            path: path.to_path_buf(),
            source: Source::Memory(bytes),
        }
    }

    /// The file's name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole content.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.source {
            Source::Mapped(map) => map,
            Source::Memory(bytes) => bytes,
        }
    }

    /// Tells the system that a range is not needed for now. Only whole pages inside the range are
    /// given back, so that a neighbour that shares a page keeps it; reading the range again is
    /// right, only slower. Does nothing outside Linux and on bytes in memory.
    pub(super) fn release(&self, range: Range<usize>) {
        #[cfg(target_os = "linux")]
        if let Source::Mapped(map) = &self.source {
            let page = page_size();
            let start = range.start.next_multiple_of(page);
            let end = range.end.min(map.len()) / page * page;
            if start < end {
                // SAFETY: the mapping is shared, file-backed and never written, so pages given back
                // are filled with the same bytes when they are next read; slices into them stay valid.
                let advised = unsafe {
                    map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start)
                };
                if let Err(error) = advised {
                    tracing::debug!(path = %self.path.display(), %error, "pages could not be released");
                }
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = range;
    }
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBytes")
            .field("path", &self.path)
            .field("len", &self.bytes().len())
            .finish()
    }
}

/// The system's page size; mappings start on a page.
#[cfg(target_os = "linux")]
fn page_size() -> usize {
    // SAFETY: sysconf reads a constant and has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size)
        .ok()
        .filter(|size| size.is_power_of_two())
        .unwrap_or(4096)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn released_pages_read_the_same_again() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        file.write_all(&content).unwrap();
        let mapped = FileBytes::map(file.path()).unwrap();
        assert_eq!(mapped.bytes(), content);
        for range in [0..0, 0..1, 5000..9000, 100..100_000, 99_999..100_000, 0..100_000] {
            mapped.release(range);
            assert_eq!(mapped.bytes(), content);
        }
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = FileBytes::map(folder.path()).unwrap_err();
        assert!(matches!(error, LoadError::Io { .. }), "{error}");
    }
}

//! A file's place in the cache: its lock, its unfinished part, and the record that its hash was right.
//! A file carries its own name only when it is whole and verified.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Progress, fetch_error};
use crate::error::LoadError;

/// Kept free beyond what a download needs.
const SPARE_BYTES: u64 = 16 << 20;

/// The place of one file in the cache, with its companions beside it.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// The model's name, for messages.
    pub(super) reference: String,
    /// `folder/file`; the companions append to this name.
    stem: PathBuf,
}

/// What was verified: a file of this size and time has this hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    sha256: String,
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: u128,
}

impl Slot {
    /// The place of `file` in `folder`, which is created where it is missing.
    pub(super) fn open(reference: &str, folder: &Path, file: &str) -> Result<Self, LoadError> {
        fs::create_dir_all(folder).map_err(|e| write_error(reference, folder, &e))?;
        Ok(Self {
            reference: reference.to_owned(),
            stem: folder.join(file),
        })
    }

    /// The file itself.
    pub(super) fn path(&self) -> &Path {
        &self.stem
    }

    /// A companion of the file: the same name with a further ending.
    pub(super) fn companion(&self, ending: &str) -> PathBuf {
        let mut name = self.stem.clone().into_os_string();
        name.push(".");
        name.push(ending);
        name.into()
    }

    /// Waits until no other process or thread works on this file; until the result is dropped, none
    /// will.
    pub(super) fn lock(&self, progress: &mut dyn FnMut(Progress)) -> Result<File, LoadError> {
        let path = self.companion("lock");
        let failed = |e: io::Error| write_error(&self.reference, &path, &e);
        let file = File::create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => progress(Progress::Waiting {
                name: self.reference.clone(),
            }),
            Err(fs::TryLockError::Error(e)) => return Err(failed(e)),
        }
        file.lock().map_err(failed)?;
        Ok(file)
    }

    /// Whether `path` is the file with this hash. Its size and time are compared with the record of
    /// an earlier verification; only where there is none is the file read.
    pub(super) fn is_verified(&self, path: &Path, sha256: &str, progress: &mut dyn FnMut(Progress)) -> bool {
        let Some(found) = stamp(path, sha256) else {
            return false;
        };
        let recorded = fs::read(self.companion("json")).ok();
        let recorded = recorded.and_then(|json| serde_json::from_slice::<Record>(&json).ok());
        if recorded.as_ref() == Some(&found) {
            return true;
        }
        progress(Progress::Verifying);
        let is_right = sha256_of(path).is_ok_and(|actual| actual == sha256);
        if is_right {
            self.record(path, sha256);
        }
        is_right
    }

    /// Records that `path` has this hash. A record that cannot be written costs the next start a
    /// second look at the file and nothing else, so that a failure is no error.
    pub(super) fn record(&self, path: &Path, sha256: &str) {
        if let Some(json) = stamp(path, sha256).and_then(|record| serde_json::to_vec(&record).ok()) {
            write_whole(&self.companion("json"), &json).ok();
        }
    }
}

fn stamp(path: &Path, sha256: &str) -> Option<Record> {
    let metadata = fs::metadata(path).ok()?;
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Record {
        sha256: sha256.to_owned(),
        bytes: metadata.len(),
        modified: modified.as_nanos(),
    })
}

/// Writes a small file that appears whole or not at all.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".new");
    fs::write(&part, content)?;
    fs::rename(&part, path)
}

/// Passes bytes on to a file and hashes them on the way.
#[derive(Debug)]
pub(super) struct HashingWriter {
    file: File,
    hash: Sha256,
    /// Bytes hashed so far.
    pub(super) len: u64,
}

impl HashingWriter {
    /// Goes on with a file of which the first `len` bytes stay; what follows them is cut off.
    pub(super) fn resume(path: &Path, len: u64) -> io::Result<Self> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.set_len(len)?;
        let mut hash = Sha256::new();
        io::copy(&mut (&mut file).take(len), &mut hash)?;
        Ok(Self { file, hash, len })
    }

    /// Waits until the bytes so far are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The hash of all bytes.
    pub(super) fn sha256(self) -> String {
        hex(&self.hash.finalize())
    }
}

impl Write for HashingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The SHA-256 of a file in lower-case hexadecimal.
pub(super) fn sha256_of(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses to begin what the disk cannot hold.
pub(super) fn check_space(reference: &str, folder: &Path, needed: u64) -> Result<(), LoadError> {
    // Where the system does not say how much is free, the write itself will.
    let Ok(available) = fs4::available_space(folder) else {
        return Ok(());
    };
    match missing_space(available, needed) {
        None => Ok(()),
        Some(missing) => Err(fetch_error(
            reference,
            format!(
                "{} needs {} MB more space than the {} MB that are free; make room, or name another folder \
                 with FORII_CACHE (for the hub: HF_HOME)",
                folder.display(),
                missing.div_ceil(1_000_000),
                available / 1_000_000
            ),
        )),
    }
}

/// How many bytes are missing, if any.
pub(super) fn missing_space(available: u64, needed: u64) -> Option<u64> {
    needed
        .saturating_add(SPARE_BYTES)
        .checked_sub(available)
        .filter(|missing| *missing > 0)
}

/// The error of a hash that is not the expected one.
pub(super) fn wrong_hash(reference: &str, expected: &str, found: &str) -> LoadError {
    fetch_error(
        reference,
        format!("what arrived has the SHA-256 {found}, expected {expected}; it was removed"),
    )
}

/// The error of a file or folder that cannot be written.
pub(super) fn write_error(reference: &str, path: &Path, error: &io::Error) -> LoadError {
    let hint = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; name another folder with FORII_CACHE (for the hub: HF_HOME)"
        }
        _ => "",
    };
    fetch_error(
        reference,
        format!("cannot write {}: {error}{hint}", path.display()),
    )
}

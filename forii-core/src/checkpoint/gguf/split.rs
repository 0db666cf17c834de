//! A model split over files named `NAME-00001-of-0000N.gguf`.

use std::path::{Path, PathBuf};

use super::GgufFile;
use crate::checkpoint::malformed;
use crate::error::LoadError;

/// The naming scheme has five digits.
const MAX_SPLITS: usize = 99_999;

/// Opens the rest of a split set whose first file is `first`; alone where it is not split.
pub(super) fn open_siblings(
    first: GgufFile,
    open: impl Fn(&Path) -> Result<GgufFile, LoadError>,
) -> Result<Vec<GgufFile>, LoadError> {
    let path = first.bytes.path().to_path_buf();
    let count = first.metadata().usize("split.count")?.unwrap_or(1);
    if count <= 1 {
        return Ok(vec![first]);
    }
    let meta = first.metadata();
    match meta.usize("split.no")? {
        Some(0) => {}
        Some(number) => {
            let problem = format!("this is file {} of {count}; open the first", number + 1);
            return Err(meta.broken("split.no", problem));
        }
        None => return Err(meta.missing("split.no")),
    }
    if count > MAX_SPLITS {
        return Err(meta.broken(
            "split.count",
            format!("{count} files; at most {MAX_SPLITS} can be named"),
        ));
    }
    let expected_tensors = meta.usize("split.tensors.count")?;
    let mut files = vec![first];
    for number in 1..count {
        let sibling = open(&sibling_path(&path, number, count)?)?;
        let meta = sibling.metadata();
        if meta.usize("split.no")? != Some(number) || meta.usize("split.count")? != Some(count) {
            let problem = format!("this is not file {} of {count}", number + 1);
            return Err(meta.broken("split.no", problem));
        }
        files.push(sibling);
    }
    let num_tensors: usize = files.iter().map(|file| file.header.tensors.len()).sum();
    if let Some(expected) = expected_tensors.filter(|expected| *expected != num_tensors) {
        let problem = format!("{expected} tensors promised, {num_tensors} found in {count} files");
        return Err(malformed(&path, "the key 'split.tensors.count'", problem));
    }
    Ok(files)
}

/// Whether a file's name says that it is a later part of a split set.
pub(in crate::checkpoint) fn is_later_part(path: &Path) -> bool {
    parts(path).is_some_and(|(_, number, _)| number != 1)
}

/// `NAME-00001-of-00003.gguf` → (`NAME`, 1, 3).
fn parts(path: &Path) -> Option<(&str, usize, usize)> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (name, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(number) || !digits(count) {
        return None;
    }
    Some((name, number.parse().ok()?, count.parse().ok()?))
}

fn sibling_path(first: &Path, number: usize, count: usize) -> Result<PathBuf, LoadError> {
    match parts(first) {
        Some((name, 1, named)) if named == count => {
            Ok(first.with_file_name(format!("{name}-{:05}-of-{count:05}.gguf", number + 1)))
        }
        _ => {
            let problem = format!("{count} files, so the name must end in -00001-of-{count:05}.gguf");
            Err(malformed(first, "the key 'split.count'", problem))
        }
    }
}

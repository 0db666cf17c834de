//! What a GGUF file declares before its weights, as ranges into it. What is accepted here, the rest
//! of the folder may slice without further checks.

use std::ops::Range;
use std::path::Path;

use super::reader::Reader;
use super::value::{Array, Shown, Value, ValueType};
use crate::checkpoint::malformed;
use crate::error::LoadError;
use crate::quant::QuantFormat;

pub(super) const MAX_DIMS: usize = 4;
const DEFAULT_ALIGNMENT: usize = 32;

/// What a file declares, as ranges into it.
#[derive(Debug)]
pub(super) struct Header {
    /// Metadata, sorted by key.
    pub(super) entries: Vec<Entry>,
    /// Tensors, sorted by name.
    pub(super) tensors: Vec<TensorInfo>,
}

/// Where a key and its value lie.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Range<usize>,
    pub(super) ty: ValueType,
    pub(super) value: usize,
}

/// A row of the tensor table, checked against the file.
#[derive(Debug, Clone)]
pub(super) struct TensorInfo {
    pub(super) name: Range<usize>,
    pub(super) num_dims: u8,
    pub(super) dims: [usize; MAX_DIMS],
    /// How the numbers are stored.
    pub(super) format: QuantFormat,
    /// Where the blocks lie in the file.
    pub(super) data: Range<usize>,
}

impl TensorInfo {
    /// The name in the file.
    pub(super) fn name<'a>(&self, bytes: &'a [u8]) -> &'a str {
        // The header was refused if this is not UTF-8.
        std::str::from_utf8(&bytes[self.name.clone()]).unwrap_or_default()
    }

    /// The name for an error.
    pub(super) fn shown<'a>(&self, bytes: &'a [u8]) -> Shown<'a> {
        Shown(&bytes[self.name.clone()])
    }

    /// Rows first: ggml counts dimensions from the innermost.
    pub(super) fn shape(&self) -> Vec<usize> {
        self.dims[..usize::from(self.num_dims)]
            .iter()
            .rev()
            .copied()
            .collect()
    }
}

impl Header {
    /// Reads and checks everything before the weights, and where they lie.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self, LoadError> {
        let mut reader = Reader::new(path, bytes);
        let (num_tensors, num_entries) = reader.preamble()?;
        let mut header = Self {
            entries: reader.entries(num_entries)?,
            tensors: Vec::new(),
        };
        let alignment = header.alignment(path, bytes)?;
        header.tensors = reader.tensors(num_tensors)?;
        place(path, bytes, &mut header.tensors, reader.position(), alignment)?;
        Ok(header)
    }

    /// The value of a key.
    pub(super) fn get<'a>(&self, bytes: &'a [u8], key: &str) -> Option<Value<'a>> {
        let found = self
            .entries
            .binary_search_by(|entry| bytes[entry.key.clone()].cmp(key.as_bytes()))
            .ok()?;
        let entry = &self.entries[found];
        let rest = &bytes[entry.value..];
        match (entry.ty, entry.ty.size()) {
            (ty, Some(size)) => Value::scalar(ty, rest.get(..size)?),
            (ValueType::String, _) => {
                let (len, text) = rest.split_first_chunk::<8>()?;
                text.get(..usize::try_from(u64::from_le_bytes(*len)).ok()?)
                    .map(Value::String)
            }
            _ => {
                let (ty, rest) = rest.split_first_chunk::<4>()?;
                let (len, data) = rest.split_first_chunk::<8>()?;
                Some(Value::Array(Array {
                    element: ValueType::from_id(u32::from_le_bytes(*ty))?,
                    len: usize::try_from(u64::from_le_bytes(*len)).ok()?,
                    data,
                }))
            }
        }
    }

    fn alignment(&self, path: &Path, bytes: &[u8]) -> Result<usize, LoadError> {
        const KEY: &str = "general.alignment";
        match self.get(bytes, KEY) {
            None => Ok(DEFAULT_ALIGNMENT),
            Some(value) => value
                .as_u64()
                .and_then(|value| usize::try_from(value).ok())
                .filter(|value| value.is_power_of_two() && *value <= 1 << 30)
                .ok_or_else(|| {
                    malformed(
                        path,
                        KEY,
                        "the alignment must be a power of two below 2^30".to_string(),
                    )
                }),
        }
    }
}

/// Checks offsets and sizes against the file, each tensor against its neighbours, and the names
/// against each other. Leaves the table sorted by name.
fn place(
    path: &Path,
    bytes: &[u8],
    tensors: &mut [TensorInfo],
    table_end: usize,
    alignment: usize,
) -> Result<(), LoadError> {
    let Some(data_start) = table_end.checked_next_multiple_of(alignment) else {
        return Err(malformed(
            path,
            "general.alignment",
            "larger than the file".to_string(),
        ));
    };
    for tensor in tensors.iter_mut() {
        let item = || format!("tensor '{}'", tensor.shown(bytes));
        if !tensor.data.start.is_multiple_of(alignment) {
            let problem = format!("its offset {} is not aligned to {alignment}", tensor.data.start);
            return Err(malformed(path, item(), problem));
        }
        // Before this loop `data` counts from the start of the weights.
        let placed = |offset: usize| data_start.checked_add(offset).filter(|end| *end <= bytes.len());
        let (Some(start), Some(end)) = (placed(tensor.data.start), placed(tensor.data.end)) else {
            let problem = format!(
                "it needs {} bytes at offset {} of the weights, but the file ends at byte {}",
                tensor.data.len(),
                tensor.data.start,
                bytes.len()
            );
            return Err(malformed(path, item(), problem));
        };
        tensor.data = start..end;
    }
    tensors.sort_unstable_by_key(|tensor| tensor.data.start);
    for pair in tensors.windows(2) {
        if pair[0].data.end > pair[1].data.start {
            let problem = format!("it overlaps the tensor '{}'", pair[0].shown(bytes));
            return Err(malformed(
                path,
                format!("tensor '{}'", pair[1].shown(bytes)),
                problem,
            ));
        }
    }
    tensors.sort_unstable_by(|a, b| a.name(bytes).cmp(b.name(bytes)));
    for pair in tensors.windows(2) {
        if pair[0].name(bytes) == pair[1].name(bytes) {
            let item = format!("tensor '{}'", pair[0].shown(bytes));
            return Err(malformed(path, item, "it appears twice".to_string()));
        }
    }
    Ok(())
}

//! Walks the sections before a GGUF file's weights: magic, counts, metadata, tensor table. Every
//! length and count is held against the bytes that are left before it is used or allocated for.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use super::header::{Entry, MAX_DIMS, TensorInfo};
use super::types::format_of;
use super::value::{Shown, ValueType};
use crate::checkpoint::{malformed, unsupported};
use crate::error::LoadError;

/// The smallest metadata entry: a key of one byte with a value of one byte.
const MIN_ENTRY_LEN: usize = 8 + 1 + 4 + 1;
/// The smallest row of the tensor table: a name of one byte and one dimension.
const MIN_TENSOR_LEN: usize = 8 + 1 + 4 + 8 + 4 + 8;
/// Longest key that the format allows.
const MAX_KEY_LEN: usize = 65_535;

/// A cursor over the bytes that names what it was reading when the bytes ran out.
pub(super) struct Reader<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(path: &'a Path, bytes: &'a [u8]) -> Self {
        Self { path, bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Checks magic and version, returns the numbers of tensors and of metadata entries.
    pub(super) fn preamble(&mut self) -> Result<(u64, u64), LoadError> {
        match self.array::<4>(&"magic")? {
            b"GGUF" => {}
            b"FUGG" => return Err(self.big_endian()),
            other => {
                let problem = format!("'{}' is not 'GGUF': this is no GGUF file", other.escape_ascii());
                return Err(malformed(self.path, "magic", problem));
            }
        }
        let version = self.u32(&"version")?;
        match version {
            2 | 3 => {}
            // Version 3 in the other byte order.
            _ if version & 0xFFFF == 0 && version != 0 => return Err(self.big_endian()),
            _ => {
                let problem = format!("{version}; versions 2 and 3 are");
                return Err(unsupported(self.path, "the GGUF version", problem));
            }
        }
        Ok((self.u64(&"tensor count")?, self.u64(&"metadata count")?))
    }

    fn big_endian(&self) -> LoadError {
        unsupported(
            self.path,
            "a big-endian GGUF file",
            "convert the model for little-endian machines",
        )
    }

    /// The metadata, sorted by key.
    pub(super) fn entries(&mut self, count: u64) -> Result<Vec<Entry>, LoadError> {
        let mut entries = Vec::with_capacity(self.bounded(count, MIN_ENTRY_LEN, &"metadata count")?);
        for index in 0..count {
            let item = format_args!("metadata entry {} of {count}", index + 1);
            let key = self.key(&item)?;
            let name = &self.bytes[key.clone()];
            let item = format_args!("the key '{}'", Shown(name));
            let id = self.u32(&item)?;
            let ty = self.value_type(id, &item)?;
            let value = self.at;
            self.skip_value(ty, &item)?;
            entries.push(Entry { key, ty, value });
        }
        let bytes = self.bytes;
        entries.sort_unstable_by(|a, b| bytes[a.key.clone()].cmp(&bytes[b.key.clone()]));
        for pair in entries.windows(2) {
            let key = &bytes[pair[0].key.clone()];
            if key == &bytes[pair[1].key.clone()] {
                let item = format!("the key '{}'", Shown(key));
                return Err(malformed(self.path, item, "it appears twice".to_string()));
            }
        }
        Ok(entries)
    }

    fn skip_value(&mut self, ty: ValueType, item: &dyn fmt::Display) -> Result<(), LoadError> {
        match (ty, ty.size()) {
            (ValueType::Bool, _) => self.bools(1, item),
            (_, Some(size)) => self.take(size as u64, item).map(|_| ()),
            (ValueType::String, _) => self.string(item).map(|_| ()),
            _ => self.skip_array(item),
        }
    }

    fn skip_array(&mut self, item: &dyn fmt::Display) -> Result<(), LoadError> {
        let id = self.u32(item)?;
        let ty = self.value_type(id, item)?;
        let count = self.u64(item)?;
        match (ty, ty.size()) {
            (ValueType::Bool, _) => self.bools(count, item),
            (_, Some(size)) => {
                let len = self.bounded(count, size, item)? * size;
                self.take(len as u64, item).map(|_| ())
            }
            (ValueType::String, _) => {
                for _ in 0..self.bounded(count, 8, item)? {
                    self.string(item)?;
                }
                Ok(())
            }
            _ => Err(unsupported(self.path, item.to_string(), "an array of arrays")),
        }
    }

    fn bools(&mut self, count: u64, item: &dyn fmt::Display) -> Result<(), LoadError> {
        match self.take(count, item)?.iter().find(|value| **value > 1) {
            None => Ok(()),
            Some(value) => Err(malformed(
                self.path,
                item.to_string(),
                format!("{value} is no bool (0 or 1)"),
            )),
        }
    }

    /// The tensor table in the file's order.
    pub(super) fn tensors(&mut self, count: u64) -> Result<Vec<TensorInfo>, LoadError> {
        let mut tensors = Vec::with_capacity(self.bounded(count, MIN_TENSOR_LEN, &"tensor count")?);
        for index in 0..count {
            let name = self.key(&format_args!(
                "entry {} of {count} in the tensor table",
                index + 1
            ))?;
            tensors.push(self.tensor(name)?);
        }
        Ok(tensors)
    }

    /// The rest of a row of the tensor table. `data` counts from the start of the weights.
    fn tensor(&mut self, name: Range<usize>) -> Result<TensorInfo, LoadError> {
        let item = format_args!("tensor '{}'", Shown(&self.bytes[name.clone()]));
        let broken = |problem: String| malformed(self.path, item.to_string(), problem);
        let path = self.path;
        let num_dims = self.u32(&item)?;
        if num_dims == 0 || num_dims as usize > MAX_DIMS {
            return Err(broken(format!(
                "it has {num_dims} dimensions, not 1 to {MAX_DIMS}"
            )));
        }
        let mut dims = [1; MAX_DIMS];
        let mut num_weights = 1_usize;
        for dim in &mut dims[..num_dims as usize] {
            let value = self.u64(&item)?;
            if value == 0 {
                return Err(broken("a dimension is zero".to_string()));
            }
            // isize::MAX bytes is the largest object there can be; no weight takes 16 bytes.
            *dim = usize::try_from(value).unwrap_or(usize::MAX);
            num_weights = num_weights
                .checked_mul(*dim)
                .filter(|product| *product <= isize::MAX as usize / 16)
                .ok_or_else(|| broken("its dimensions multiply to more than any file holds".to_string()))?;
        }
        let type_id = self.u32(&item)?;
        let format = format_of(type_id).map_err(|name| unsupported(path, item.to_string(), name))?;
        let offset = self.u64(&item)?;
        if !dims[0].is_multiple_of(format.block_len()) {
            let problem = format!(
                "its rows of {} weights are no whole number of {} blocks of {}",
                dims[0],
                format.name(),
                format.block_len()
            );
            return Err(broken(problem));
        }
        let len = num_weights / format.block_len() * format.block_bytes();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(end) = start.checked_add(len) else {
            return Err(broken(format!("its offset {offset} lies outside any file")));
        };
        Ok(TensorInfo {
            name,
            num_dims: num_dims as u8,
            dims,
            format,
            data: start..end,
        })
    }

    /// A key or a name: UTF-8, not empty, not endless.
    fn key(&mut self, item: &dyn fmt::Display) -> Result<Range<usize>, LoadError> {
        let text = self.string(item)?;
        let problem = if text.is_empty() {
            "its name is empty"
        } else if text.len() > MAX_KEY_LEN {
            "its name is longer than 65,535 bytes"
        } else if std::str::from_utf8(text).is_err() {
            "its name is not valid UTF-8"
        } else {
            return Ok(self.at - text.len()..self.at);
        };
        Err(malformed(self.path, item.to_string(), problem))
    }

    fn value_type(&self, id: u32, item: &dyn fmt::Display) -> Result<ValueType, LoadError> {
        ValueType::from_id(id)
            .ok_or_else(|| malformed(self.path, item.to_string(), format!("{id} is no type of value")))
    }

    fn string(&mut self, item: &dyn fmt::Display) -> Result<&'a [u8], LoadError> {
        let len = self.u64(item)?;
        self.take(len, item)
    }

    fn u32(&mut self, item: &dyn fmt::Display) -> Result<u32, LoadError> {
        self.array(item).map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn u64(&mut self, item: &dyn fmt::Display) -> Result<u64, LoadError> {
        self.array(item).map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// A count of things that take at least `min_len` bytes each, so that it cannot exceed the file.
    fn bounded(&self, count: u64, min_len: usize, item: &dyn fmt::Display) -> Result<usize, LoadError> {
        let left = self.bytes.len() - self.at;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= left / min_len)
            .ok_or_else(|| {
                let problem = format!("{count} cannot fit into the {left} bytes that are left of the file");
                malformed(self.path, item.to_string(), problem)
            })
    }

    fn array<const N: usize>(&mut self, item: &dyn fmt::Display) -> Result<&'a [u8; N], LoadError> {
        match self.bytes[self.at..].first_chunk::<N>() {
            Some(chunk) => {
                self.at += N;
                Ok(chunk)
            }
            None => Err(self.truncated(N as u64, item)),
        }
    }

    fn take(&mut self, len: u64, item: &dyn fmt::Display) -> Result<&'a [u8], LoadError> {
        let taken = usize::try_from(len)
            .ok()
            .and_then(|len| self.bytes[self.at..].get(..len));
        match taken {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => Err(self.truncated(len, item)),
        }
    }

    fn truncated(&self, len: u64, item: &dyn fmt::Display) -> LoadError {
        let problem = format!(
            "{len} bytes are needed at byte {}, but the file ends at byte {}",
            self.at,
            self.bytes.len()
        );
        malformed(self.path, item.to_string(), problem)
    }
}

//! The sections before a GGUF file's weights: magic, counts, metadata keys, tensor table. Every
//! length and count is held against the bytes that are left before it is used or allocated for;
//! what this file accepts, the rest of the folder may slice without further checks.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use super::value::{Array, Value, ValueType};
use crate::checkpoint::{malformed, unsupported};
use crate::error::LoadError;
use crate::quant::QuantFormat;

/// The smallest metadata entry: a key of one byte with a value of one byte.
const MIN_ENTRY_LEN: usize = 8 + 1 + 4 + 1;
/// The smallest row of the tensor table: a name of one byte and one dimension.
const MIN_TENSOR_LEN: usize = 8 + 1 + 4 + 8 + 4 + 8;
/// Longest key that the format allows.
const MAX_KEY_LEN: usize = 65_535;
const MAX_DIMS: usize = 4;
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
    key: Range<usize>,
    ty: ValueType,
    value: usize,
}

/// A row of the tensor table, checked against the file.
#[derive(Debug, Clone)]
pub(super) struct TensorInfo {
    name: Range<usize>,
    num_dims: u8,
    dims: [usize; MAX_DIMS],
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
        let mut reader = Reader { path, bytes, at: 0 };
        let (num_tensors, num_entries) = reader.preamble()?;
        let mut header = Self {
            entries: reader.entries(num_entries)?,
            tensors: Vec::new(),
        };
        let alignment = header.alignment(path, bytes)?;
        header.tensors = reader.tensors(num_tensors)?;
        place(path, bytes, &mut header.tensors, reader.at, alignment)?;
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
        let item = || format!("tensor '{}'", tensor.name(bytes));
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
            let problem = format!("it overlaps the tensor '{}'", pair[0].name(bytes));
            return Err(malformed(
                path,
                format!("tensor '{}'", pair[1].name(bytes)),
                problem,
            ));
        }
    }
    tensors.sort_unstable_by(|a, b| a.name(bytes).cmp(b.name(bytes)));
    for pair in tensors.windows(2) {
        if pair[0].name(bytes) == pair[1].name(bytes) {
            let item = format!("tensor '{}'", pair[0].name(bytes));
            return Err(malformed(path, item, "it appears twice".to_string()));
        }
    }
    Ok(())
}

/// A cursor over the header that names what it was reading when the bytes ran out.
struct Reader<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn preamble(&mut self) -> Result<(u64, u64), LoadError> {
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

    fn entries(&mut self, count: u64) -> Result<Vec<Entry>, LoadError> {
        let mut entries = Vec::with_capacity(self.bounded(count, MIN_ENTRY_LEN, &"metadata count")?);
        for index in 0..count {
            let item = format_args!("metadata entry {} of {count}", index + 1);
            let key = self.key(&item)?;
            let name = &self.bytes[key.clone()];
            let item = format_args!("the key '{}'", name.escape_ascii());
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
                let item = format!("the key '{}'", key.escape_ascii());
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

    fn tensors(&mut self, count: u64) -> Result<Vec<TensorInfo>, LoadError> {
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
        let item = format_args!("tensor '{}'", self.bytes[name.clone()].escape_ascii());
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

/// ggml's types by number, those that forii does not read included, so that errors can name them.
const GGML_TYPES: [(u32, Result<QuantFormat, &str>); 36] = [
    (0, Ok(QuantFormat::F32)),
    (1, Ok(QuantFormat::F16)),
    (2, Ok(QuantFormat::Q4_0)),
    (3, Ok(QuantFormat::Q4_1)),
    (6, Ok(QuantFormat::Q5_0)),
    (7, Ok(QuantFormat::Q5_1)),
    (8, Ok(QuantFormat::Q8_0)),
    (9, Err("Q8_1")),
    (10, Ok(QuantFormat::Q2_K)),
    (11, Ok(QuantFormat::Q3_K)),
    (12, Ok(QuantFormat::Q4_K)),
    (13, Ok(QuantFormat::Q5_K)),
    (14, Ok(QuantFormat::Q6_K)),
    (15, Err("Q8_K")),
    (16, Err("IQ2_XXS")),
    (17, Err("IQ2_XS")),
    (18, Err("IQ3_XXS")),
    (19, Err("IQ1_S")),
    (20, Ok(QuantFormat::IQ4_NL)),
    (21, Err("IQ3_S")),
    (22, Err("IQ2_S")),
    (23, Err("IQ4_XS")),
    (24, Err("I8")),
    (25, Err("I16")),
    (26, Err("I32")),
    (27, Err("I64")),
    (28, Err("F64")),
    (29, Err("IQ1_M")),
    (30, Ok(QuantFormat::BF16)),
    (31, Err("Q4_0_4_4")),
    (32, Err("Q4_0_4_8")),
    (33, Err("Q4_0_8_8")),
    (34, Err("TQ1_0")),
    (35, Err("TQ2_0")),
    (39, Err("MXFP4")),
    (40, Err("NVFP4")),
];

/// The format with this number, or what to say about a number that is none.
fn format_of(id: u32) -> Result<QuantFormat, String> {
    let known = GGML_TYPES.iter().find(|entry| entry.0 == id);
    let name = match known {
        Some((_, Ok(format))) => return Ok(*format),
        Some((_, Err(name))) => format!("ggml type {name}"),
        None => format!("ggml type {id}"),
    };
    let supported = QuantFormat::ALL.map(QuantFormat::name).join(", ");
    Err(format!("{name}; the supported types are {supported}"))
}

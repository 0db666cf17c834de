//! Tensors of a Hugging Face folder: model.safetensors, or the shards that an index names, mapped.
//! The safetensors crate reads the headers; names and places are checked here.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use ::safetensors::{Dtype, SafeTensors};

use super::mmap::FileBytes;
use super::names::Family;
use super::{malformed, unsupported};
use crate::error::LoadError;
use crate::quant::QuantFormat;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Bytes of the length before a file's header.
const LEN_BYTES: usize = 8;

/// All tensors of a folder by their canonical names.
#[derive(Debug)]
pub(super) struct TensorFiles {
    files: Vec<FileBytes>,
    tensors: HashMap<String, Located>,
}

/// Where a tensor lies.
#[derive(Debug)]
pub(super) struct Located {
    file: usize,
    pub(super) format: QuantFormat,
    pub(super) shape: Vec<usize>,
    range: Range<usize>,
}

/// Whether a folder holds weights of this kind.
pub(super) fn exist_in(folder: &Path) -> bool {
    folder.join(SINGLE).is_file() || folder.join(INDEX).is_file()
}

impl TensorFiles {
    /// Maps the weights of a folder.
    pub(super) fn open(folder: &Path, family: &Family, num_layers: usize) -> Result<Self, LoadError> {
        let mut opened = Self {
            files: Vec::new(),
            tensors: HashMap::new(),
        };
        let single = folder.join(SINGLE);
        if single.is_file() {
            opened.add(&single, None, family, num_layers)?;
            return Ok(opened);
        }
        let index_path = folder.join(INDEX);
        if !index_path.is_file() {
            return Err(LoadError::NotFound {
                reference: folder.display().to_string(),
                reason: format!("the folder has neither {SINGLE} nor {INDEX}"),
            });
        }
        for (shard, names) in read_index(&index_path)? {
            let path = folder.join(&shard);
            opened.add(&path, Some((&index_path, names)), family, num_layers)?;
        }
        Ok(opened)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Located> {
        self.tensors.get(name)
    }

    pub(super) fn data(&self, located: &Located) -> &[u8] {
        &self.files[located.file].bytes()[located.range.clone()]
    }

    pub(super) fn release(&self, located: &Located) {
        self.files[located.file].release(located.range.clone());
    }

    /// Adds one file's tensors: all of them, or those that the index promises.
    fn add(
        &mut self,
        path: &Path,
        promised: Option<(&Path, Vec<String>)>,
        family: &Family,
        num_layers: usize,
    ) -> Result<(), LoadError> {
        let file = FileBytes::map(path)?;
        let (header_len, metadata) = SafeTensors::read_metadata(file.bytes())
            .map_err(|error| malformed(path, "the header", error.to_string()))?;
        let data_start = LEN_BYTES + header_len;
        let names = match promised {
            None => metadata.offset_keys(),
            Some((index, names)) => {
                if let Some(name) = names.iter().find(|name| metadata.info(name).is_none()) {
                    let problem = format!("it is not in {}, as the index says", path.display());
                    return Err(malformed(index, format!("tensor '{name}'"), problem));
                }
                names
            }
        };
        for stored in names {
            let Some(info) = metadata.info(&stored) else {
                continue;
            };
            let Some(name) = canonical(&stored) else { continue };
            let item = || format!("tensor '{stored}'");
            if !family.knows_hf(&name, num_layers) {
                let problem = format!(
                    "{} has no place for it in {num_layers} layers",
                    family.architecture
                );
                return Err(unsupported(path, item(), problem));
            }
            let format = match info.dtype {
                Dtype::F32 => QuantFormat::F32,
                Dtype::F16 => QuantFormat::F16,
                Dtype::BF16 => QuantFormat::BF16,
                other => {
                    let problem = format!("{other:?}; the supported types are F32, F16, BF16");
                    return Err(unsupported(path, item(), problem));
                }
            };
            if info.shape.is_empty() || info.shape.contains(&0) {
                return Err(malformed(path, item(), format!("its shape is {:?}", info.shape)));
            }
            let (start, end) = info.data_offsets;
            let located = Located {
                file: self.files.len(),
                format,
                shape: info.shape.clone(),
                range: data_start + start..data_start + end,
            };
            if self.tensors.insert(name.into_owned(), located).is_some() {
                return Err(malformed(path, item(), "it appears twice"));
            }
        }
        self.files.push(file);
        Ok(())
    }
}

/// The name of a text model's tensor wherever a model that sees images put it; `None` for tensors
/// that no text model reads.
fn canonical(stored: &str) -> Option<Cow<'_, str>> {
    const NOT_TEXT: [&str; 4] = [
        "vision_tower.",
        "multi_modal_projector.",
        "model.vision_tower.",
        "model.multi_modal_projector.",
    ];
    if NOT_TEXT.iter().any(|prefix| stored.starts_with(prefix)) {
        return None;
    }
    // Frequencies that old checkpoints stored and that follow from the configuration.
    if stored.ends_with(".rotary_emb.inv_freq") {
        return None;
    }
    if let Some(rest) = stored.strip_prefix("model.language_model.") {
        return Some(Cow::Owned(format!("model.{rest}")));
    }
    Some(Cow::Borrowed(
        stored.strip_prefix("language_model.").unwrap_or(stored),
    ))
}

/// The index's shards in order, each with the tensors that it promises.
fn read_index(path: &Path) -> Result<Vec<(PathBuf, Vec<String>)>, LoadError> {
    let text = fs::read(path).map_err(|source| LoadError::Io {
        path: path.to_path_buf(),
        source,
    })?;
    let index: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| malformed(path, "the file", format!("it is no JSON: {error}")))?;
    let Some(map) = index.get("weight_map").and_then(serde_json::Value::as_object) else {
        return Err(LoadError::MissingKey {
            path: path.to_path_buf(),
            key: "weight_map".to_string(),
        });
    };
    let mut shards: HashMap<&str, Vec<String>> = HashMap::new();
    for (tensor, shard) in map {
        let item = || format!("the entry of tensor '{tensor}'");
        let shard = shard
            .as_str()
            .ok_or_else(|| malformed(path, item(), "its file is no string"))?;
        let mut parts = Path::new(shard).components();
        let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        if !plain || shard.contains(['/', '\\']) {
            let problem = format!("'{shard}' is no plain file name in the index's own folder");
            return Err(malformed(path, item(), problem));
        }
        shards.entry(shard).or_default().push(tensor.clone());
    }
    let mut shards: Vec<_> = shards
        .into_iter()
        .map(|(shard, names)| (PathBuf::from(shard), names))
        .collect();
    shards.sort();
    Ok(shards)
}

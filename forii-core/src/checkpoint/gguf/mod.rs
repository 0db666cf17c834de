//! GGUF versions 2 and 3, little-endian: one file or a split set, mapped. Metadata and weights stay
//! in the file; what is built here is a table of where things lie.

mod config;
mod header;
mod metadata;
mod reader;
mod split;
mod types;
mod value;

use std::borrow::Cow;
use std::path::Path;

use bytes::Bytes;

use super::config::ModelConfig;
use super::fixup;
use super::mmap::FileBytes;
use super::names::Family;
use super::{Checkpoint, TensorView, malformed, unsupported};
use crate::error::LoadError;
use crate::tokenizer::{GgufVocab, Tokenizer};
use header::{Header, TensorInfo};
use metadata::Metadata;
pub(super) use split::is_later_part;

/// A model in GGUF.
#[derive(Debug)]
pub struct GgufCheckpoint {
    files: GgufFiles,
    family: &'static Family,
    config: ModelConfig,
    chat_template: Option<String>,
}

/// The files of one model; never empty. The first carries the metadata.
#[derive(Debug)]
struct GgufFiles(Vec<GgufFile>);

#[derive(Debug)]
struct GgufFile {
    bytes: FileBytes,
    header: Header,
}

impl GgufCheckpoint {
    /// Maps a file, and its siblings where it is the first of a split set.
    ///
    /// # Errors
    /// [`LoadError`] where a file cannot be read, breaks the format, or holds what forii does not do.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let first = GgufFile::new(FileBytes::map(path)?)?;
        Self::new(split::open_siblings(first, |path| {
            GgufFile::new(FileBytes::map(path)?)
        })?)
    }

    /// Reads a file that is in memory. `path` is what errors call it.
    ///
    /// # Errors
    /// As [`GgufCheckpoint::open`]; a split set is refused.
    pub fn from_bytes(path: &Path, bytes: Bytes) -> Result<Self, LoadError> {
        let first = GgufFile::new(FileBytes::memory(path, bytes))?;
        let refuse = |_: &Path| Err(unsupported(path, "a split file in memory", "open it by its path"));
        Self::new(split::open_siblings(first, refuse)?)
    }

    fn new(files: Vec<GgufFile>) -> Result<Self, LoadError> {
        let files = GgufFiles(files);
        let meta = files.metadata();
        let family = config::family(&meta)?;
        let config = config::read(&meta, family, &files)?;
        files.check_names(family, config.num_hidden_layers)?;
        let chat_template = meta.str("tokenizer.chat_template")?.map(str::to_string);
        Ok(Self {
            family,
            config,
            chat_template,
            files,
        })
    }

    /// The vocabulary as the metadata holds it.
    ///
    /// # Errors
    /// [`LoadError`] where a `tokenizer.ggml` key is absent or of a wrong type.
    pub fn vocab(&self) -> Result<GgufVocab, LoadError> {
        let meta = self.files.metadata();
        let tokens_key = "tokenizer.ggml.tokens";
        let tokens = meta
            .strings(tokens_key)?
            .ok_or_else(|| meta.missing(tokens_key))?;
        let mut token_bytes = Vec::with_capacity(tokens.len);
        token_bytes.extend(strings(tokens).map(<[u8]>::to_vec));
        Ok(GgufVocab {
            model: meta
                .str("tokenizer.ggml.model")?
                .ok_or_else(|| meta.missing("tokenizer.ggml.model"))?
                .to_string(),
            pre: meta.str("tokenizer.ggml.pre")?.map(str::to_string),
            tokens: token_bytes,
            token_types: meta.numbers("tokenizer.ggml.token_type", |value| {
                i32::try_from(value.as_u64()?).ok()
            })?,
            scores: meta.numbers("tokenizer.ggml.scores", |value| Some(value.as_f64()? as f32))?,
            merges: merges(&meta)?,
            bos_token_id: meta.u32("tokenizer.ggml.bos_token_id")?,
            eos_token_id: meta.u32("tokenizer.ggml.eos_token_id")?,
            eot_token_id: meta.u32("tokenizer.ggml.eot_token_id")?,
            unknown_token_id: meta.u32("tokenizer.ggml.unknown_token_id")?,
            padding_token_id: meta.u32("tokenizer.ggml.padding_token_id")?,
            add_bos_token: meta.bool("tokenizer.ggml.add_bos_token")?,
            add_eos_token: meta.bool("tokenizer.ggml.add_eos_token")?,
            add_space_prefix: meta.bool("tokenizer.ggml.add_space_prefix")?,
        })
    }

    fn locate(&self, hf_name: &str) -> Option<(&GgufFile, &TensorInfo)> {
        self.files.find(&self.family.gguf_name(hf_name)?)
    }
}

impl Checkpoint for GgufCheckpoint {
    fn path(&self) -> &Path {
        self.files.metadata().path
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn tokenizer(&self) -> Result<Tokenizer, LoadError> {
        Tokenizer::from_gguf(self.path(), self.vocab()?)
    }

    fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    fn has_tensor(&self, hf_name: &str) -> bool {
        self.locate(hf_name).is_some()
    }

    fn tensor(&self, hf_name: &str) -> Result<TensorView<'_>, LoadError> {
        let Some((file, info)) = self.locate(hf_name) else {
            return Err(LoadError::MissingTensor {
                path: self.path().to_path_buf(),
                tensor: hf_name.to_string(),
            });
        };
        let shape = info.shape();
        let mut data = Cow::Borrowed(&file.bytes.bytes()[info.data.clone()]);
        let permuted = self.family.gguf_permutes_qk
            && [".q_proj.weight", ".q_proj.bias", ".k_proj.weight", ".k_proj.bias"]
                .iter()
                .any(|suffix| hf_name.ends_with(suffix));
        if permuted {
            let head_dim = self.config.head_dim;
            // A row must be whole blocks: one number of a bias in blocks of 32 is not.
            if !shape[0].is_multiple_of(head_dim) || (shape.len() == 1 && info.format.block_len() != 1) {
                let problem = format!(
                    "its shape {shape:?} in {} does not divide into heads of {head_dim}",
                    info.format.name()
                );
                return Err(malformed(
                    file.bytes.path(),
                    format!("tensor '{hf_name}'"),
                    problem,
                ));
            }
            data = Cow::Owned(fixup::unpermute_rows(&data, shape[0], head_dim));
        }
        Ok(TensorView {
            name: hf_name.to_string(),
            format: info.format,
            shape,
            data,
        })
    }

    fn release(&self, hf_name: &str) {
        if let Some((file, info)) = self.locate(hf_name) {
            file.bytes.release(info.data.clone());
        }
    }
}

impl GgufFile {
    fn new(bytes: FileBytes) -> Result<Self, LoadError> {
        let header = Header::read(bytes.path(), bytes.bytes())?;
        Ok(Self { bytes, header })
    }

    fn metadata(&self) -> Metadata<'_> {
        Metadata {
            path: self.bytes.path(),
            bytes: self.bytes.bytes(),
            header: &self.header,
        }
    }

    fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.header
            .tensors
            .iter()
            .map(|info| info.name(self.bytes.bytes()))
    }

    fn find(&self, name: &str) -> Option<&TensorInfo> {
        let (tensors, bytes) = (&self.header.tensors, self.bytes.bytes());
        tensors
            .binary_search_by(|info| info.name(bytes).cmp(name))
            .ok()
            .map(|found| &tensors[found])
    }
}

impl GgufFiles {
    fn metadata(&self) -> Metadata<'_> {
        self.0[0].metadata()
    }

    fn num_tensors(&self) -> usize {
        self.0.iter().map(|file| file.header.tensors.len()).sum()
    }

    fn find(&self, name: &str) -> Option<(&GgufFile, &TensorInfo)> {
        self.0.iter().find_map(|file| Some((file, file.find(name)?)))
    }

    /// Each tensor has a place in the model, and one file.
    fn check_names(&self, family: &Family, num_layers: usize) -> Result<(), LoadError> {
        for (index, file) in self.0.iter().enumerate() {
            for name in file.tensor_names() {
                let item = || format!("tensor '{}'", value::Shown(name.as_bytes()));
                if !family.knows_gguf(name, num_layers) {
                    let problem = format!("{} has no place for it in {num_layers} layers", family.gguf);
                    return Err(unsupported(file.bytes.path(), item(), problem));
                }
                if let Some(twin) = self.0[..index].iter().find(|twin| twin.find(name).is_some()) {
                    let problem = format!("it is in {} already", twin.bytes.path().display());
                    return Err(malformed(file.bytes.path(), item(), problem));
                }
            }
        }
        Ok(())
    }
}

fn strings(array: value::Array<'_>) -> impl Iterator<Item = &[u8]> {
    array.iter().filter_map(|value| match value {
        value::Value::String(bytes) => Some(bytes),
        _ => None,
    })
}

fn merges(meta: &Metadata<'_>) -> Result<Vec<String>, LoadError> {
    const KEY: &str = "tokenizer.ggml.merges";
    let Some(array) = meta.strings(KEY)? else {
        return Ok(Vec::new());
    };
    let mut merges = Vec::with_capacity(array.len);
    for (index, bytes) in strings(array).enumerate() {
        let Ok(merge) = std::str::from_utf8(bytes) else {
            return Err(meta.broken(KEY, format!("entry {index} is not valid UTF-8")));
        };
        merges.push(merge.to_string());
    }
    Ok(merges)
}

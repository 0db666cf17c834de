//! Bytes on disk → named tensors. Everything a file does oddly (tensor names, permuted q/k rows,
//! norm weights stored minus one) is undone here: models see Hugging Face names and one layout.

pub mod config;
mod config_json;
mod fixup;
mod folder;
pub mod gguf;
mod json;
mod mmap;
mod names;
mod safetensors;
#[cfg(test)]
mod tests;
mod validate;
mod weights;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::LoadError;
use crate::quant::QuantFormat;
pub use config::ModelConfig;
pub use folder::FolderCheckpoint;
pub use gguf::GgufCheckpoint;
pub use weights::Weights;

/// A model on disk, opened and checked, its tensors still in the file.
pub trait Checkpoint: Send + Sync + fmt::Debug {
    /// The file or folder, for errors.
    fn path(&self) -> &Path;

    /// The model's shape and constants under Hugging Face's names.
    fn config(&self) -> &ModelConfig;

    /// Builds the tokenizer that the checkpoint carries.
    ///
    /// # Errors
    /// [`LoadError::Tokenizer`] where it is absent or broken.
    fn tokenizer(&self) -> Result<crate::tokenizer::Tokenizer, LoadError>;

    /// The Jinja source of the chat template, if the checkpoint has one.
    fn chat_template(&self) -> Option<&str>;

    /// Whether a tensor with this Hugging Face name exists.
    fn has_tensor(&self, hf_name: &str) -> bool;

    /// A tensor by its Hugging Face name, oddities undone.
    ///
    /// # Errors
    /// [`LoadError::MissingTensor`] where there is none.
    fn tensor(&self, hf_name: &str) -> Result<TensorView<'_>, LoadError>;

    /// Tells the operating system that this tensor's pages of the mapped file are not needed for
    /// now. Called once a tensor has been copied or packed, so that no second copy stays resident.
    fn release(&self, hf_name: &str);
}

/// One tensor of a checkpoint: its blocks as they lie in the file, row-major.
#[derive(Debug, Clone)]
pub struct TensorView<'a> {
    /// The Hugging Face name.
    pub name: String,
    /// How the numbers are stored.
    pub format: QuantFormat,
    /// Rows first, as in PyTorch: a linear weight is `[out, in]`. Blocks run along the last axis.
    pub shape: Vec<usize>,
    /// The blocks; borrowed from the mapped file unless an oddity had to be undone. Not aligned to
    /// more than a byte.
    pub data: Cow<'a, [u8]>,
}

/// Opens a GGUF file (the first of a split set), a Hugging Face folder, or a folder that holds one
/// GGUF model. Files are mapped, not read: they must not change while the checkpoint lives.
///
/// # Errors
/// [`LoadError`] where nothing is found, a file breaks its format, or asks for what forii does not do.
pub fn open(path: &Path) -> Result<Box<dyn Checkpoint>, LoadError> {
    let not_found = |reason: String| LoadError::NotFound {
        reference: path.display().to_string(),
        reason,
    };
    if !path.exists() {
        return Err(not_found("no such file or folder".to_string()));
    }
    if !path.is_dir() {
        if path
            .extension()
            .is_some_and(|extension| extension == "safetensors" || extension == "json")
        {
            return Err(not_found(
                "give the folder that holds this file and config.json".to_string(),
            ));
        }
        return Ok(Box::new(GgufCheckpoint::open(path)?));
    }
    // A folder of GGUF files may carry the config.json of the original.
    let has_config = path.join("config.json").is_file();
    if has_config && safetensors::exist_in(path) {
        return Ok(Box::new(FolderCheckpoint::open(path)?));
    }
    let models = gguf_models(path)?;
    match models.as_slice() {
        [model] => Ok(Box::new(GgufCheckpoint::open(model)?)),
        [] if has_config => Ok(Box::new(FolderCheckpoint::open(path)?)),
        [] => Err(not_found(
            "the folder holds neither config.json nor a .gguf file".to_string(),
        )),
        many => {
            let names: Vec<_> = many
                .iter()
                .filter_map(|model| model.file_name()?.to_str())
                .collect();
            Err(not_found(format!(
                "the folder holds several models, name one of: {}",
                names.join(", ")
            )))
        }
    }
}

/// The GGUF files of a folder, of a split set the first alone, in order.
fn gguf_models(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |source| LoadError::Io {
        path: folder.to_path_buf(),
        source,
    };
    let mut models = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "gguf") && !gguf::is_later_part(&path) {
            models.push(path);
        }
    }
    models.sort();
    Ok(models)
}

fn malformed(path: &Path, item: impl Into<String>, problem: impl Into<String>) -> LoadError {
    LoadError::Malformed {
        path: path.to_path_buf(),
        item: item.into(),
        problem: problem.into(),
    }
}

fn unsupported(path: &Path, item: impl Into<String>, problem: impl Into<String>) -> LoadError {
    LoadError::Unsupported {
        path: path.to_path_buf(),
        item: item.into(),
        problem: problem.into(),
    }
}

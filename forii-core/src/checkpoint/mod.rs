//! Bytes on disk → named tensors. Everything a file does oddly (tensor names, permuted q/k rows,
//! norm weights stored minus one) is undone here: models see Hugging Face names and one layout.

pub mod config;

use std::borrow::Cow;
use std::fmt;

use crate::error::LoadError;
use crate::quant::QuantFormat;
pub use config::ModelConfig;

/// A model on disk, opened and checked, its tensors still in the file.
pub trait Checkpoint: Send + Sync + fmt::Debug {
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
    /// The blocks; borrowed from the mapped file unless an oddity had to be undone.
    pub data: Cow<'a, [u8]>,
}

//! A cursor over a checkpoint's tensors that a model's parts hand down, each with its own prefix.
//! It checks every shape, so that a model file states the shapes it needs and nothing else.

use super::{Checkpoint, ModelConfig, TensorView, fixup, unsupported};
use crate::error::LoadError;

/// The tensors below one prefix. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Weights<'a> {
    checkpoint: &'a dyn Checkpoint,
    /// Empty, or ends with a dot.
    prefix: String,
}

impl<'a> Weights<'a> {
    /// All tensors of a checkpoint.
    pub fn new(checkpoint: &'a dyn Checkpoint) -> Self {
        Self {
            checkpoint,
            prefix: String::new(),
        }
    }

    /// The tensors below `prefix`, a name without its last dot: `at("model.layers.3")`.
    pub fn at(&self, prefix: &str) -> Self {
        Self {
            checkpoint: self.checkpoint,
            prefix: format!("{}{prefix}.", self.prefix),
        }
    }

    /// The model's configuration.
    pub fn config(&self) -> &'a ModelConfig {
        self.checkpoint.config()
    }

    /// Whether the tensor exists.
    pub fn has(&self, name: &str) -> bool {
        self.checkpoint.has_tensor(&self.full(name))
    }

    /// A tensor of exactly this shape, rows first.
    ///
    /// # Errors
    /// [`LoadError::MissingTensor`], or [`LoadError::TensorShape`] where it has another shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<TensorView<'a>, LoadError> {
        let view = self.checkpoint.tensor(&self.full(name))?;
        if view.shape == shape {
            return Ok(view);
        }
        Err(LoadError::TensorShape {
            path: self.checkpoint.path().to_path_buf(),
            tensor: view.name,
            expected: shape.to_vec(),
            found: view.shape,
        })
    }

    /// A tensor of one dimension as floats: a norm's weights or a bias.
    ///
    /// # Errors
    /// As [`Weights::tensor`], and [`LoadError::Unsupported`] where it is quantized.
    pub fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, LoadError> {
        let view = self.tensor(name, &[len])?;
        fixup::dense_floats(&view).ok_or_else(|| {
            let problem = format!("a vector in {}; vectors are F32, F16 or BF16", view.format.name());
            unsupported(self.checkpoint.path(), format!("tensor '{}'", view.name), problem)
        })
    }

    /// Gives the tensor's pages back once it has been copied; see [`Checkpoint::release`].
    pub fn release(&self, name: &str) {
        self.checkpoint.release(&self.full(name));
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

//! Model families, one file each: a model turns a packed batch into scores. What lies in the
//! cache per token is the model's choice ([`KvShape`]); where it lies is the engine's.

mod decoder;
mod gemma3;
mod llama;
mod qwen2;
mod qwen3;
#[cfg(test)]
mod tests;

use std::fmt;

use burn::tensor::{Int, Tensor, TensorData};

use crate::checkpoint::{Checkpoint, Weights};
use crate::error::LoadError;
use crate::kernels::{Batch, Compute, KvCache, KvShape};

/// A loaded model.
pub trait Model: Send + fmt::Debug {
    /// What its cache keeps.
    fn kv_shape(&self) -> KvShape;

    /// The last hidden states, normalised, of the rows that `batch.outputs` names, at least one:
    /// `[outputs, hidden_size]`. Writes the batch's keys and values to the cache.
    fn hidden(&self, batch: &Batch, cache: &mut KvCache) -> Tensor<2>;

    /// Scores over the vocabulary for hidden states: `[outputs, hidden_size] → [outputs, vocab_size]`.
    fn scores(&self, hidden: Tensor<2>) -> Tensor<2>;

    /// Scores of the rows that `batch.outputs` names: `[outputs, vocab_size]`.
    fn forward(&self, batch: &Batch, cache: &mut KvCache) -> Tensor<2> {
        let hidden = self.hidden(batch, cache);
        self.scores(hidden)
    }
}

/// Builds a model from its weights.
pub type Load = fn(&Weights<'_>, &Compute) -> Result<Box<dyn Model>, LoadError>;

/// A model family.
#[derive(Debug, Clone, Copy)]
pub struct Architecture {
    /// The `model_type`s of config.json that it loads.
    pub names: &'static [&'static str],
    /// Builds the model.
    pub load: Load,
}

/// Every family, in one place.
pub static ARCHITECTURES: &[Architecture] = &[
    llama::ARCHITECTURE,
    qwen2::ARCHITECTURE,
    qwen3::ARCHITECTURE,
    gemma3::ARCHITECTURE,
];

/// Loads the model of a checkpoint onto a device.
///
/// # Errors
/// [`LoadError`] where the architecture is unknown, or a tensor absent or of another shape.
pub fn load(checkpoint: &dyn Checkpoint, compute: &Compute) -> Result<Box<dyn Model>, LoadError> {
    let weights = Weights::new(checkpoint);
    let name = weights.config().architecture.as_str();
    let Some(architecture) = ARCHITECTURES
        .iter()
        .find(|architecture| architecture.names.contains(&name))
    else {
        let known: Vec<&str> = ARCHITECTURES
            .iter()
            .flat_map(|architecture| architecture.names)
            .copied()
            .collect();
        return Err(LoadError::Unsupported {
            path: checkpoint.path().to_path_buf(),
            item: format!("the architecture '{name}'"),
            problem: format!("known are {}", known.join(", ")),
        });
    };
    (architecture.load)(&weights, compute)
}

/// The wanted rows of `x`, `[n, d] → [rows, d]`.
fn select_rows(x: Tensor<2>, rows: &[u32]) -> Tensor<2> {
    let [n, _] = x.dims();
    // Ascending indices, as many as there are rows: all of them.
    if rows.len() == n {
        return x;
    }
    let indices: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
    let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [rows.len()]), &x.device());
    x.select(0, indices)
}

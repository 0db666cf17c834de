//! The token embedding table.

use burn::tensor::Tensor;

use crate::checkpoint::Weights;
use crate::error::LoadError;
use crate::kernels::{self, Compute, Matrix};

use super::Linear;

/// A table with a row for each token.
#[derive(Debug, Clone)]
pub struct Embedding {
    compute: Compute,
    weight: Matrix,
}

impl Embedding {
    /// Reads `{name}.weight` `[num_embeddings, embedding_dim]`.
    ///
    /// # Errors
    /// [`LoadError`] where the tensor is absent or has another shape.
    pub fn load(
        compute: &Compute,
        weights: &Weights<'_>,
        name: &str,
        shape: [usize; 2],
    ) -> Result<Self, LoadError> {
        let name = format!("{name}.weight");
        let weight = Matrix::load(compute, &[weights.tensor(&name, &shape)?])?;
        weights.release(&name);
        Ok(Self {
            compute: compute.clone(),
            weight,
        })
    }

    /// Ids `[n]`, each below the number of rows → `[n, embedding_dim]`.
    pub fn forward(&self, ids: &[u32]) -> Tensor<2> {
        kernels::embedding(&self.compute, &self.weight, ids)
    }

    /// The same table as an output layer, sharing its weights.
    pub fn as_linear(&self) -> Linear {
        Linear::from_matrix(&self.compute, self.weight.clone())
    }
}

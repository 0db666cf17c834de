//! RMS normalisation (arXiv 1910.07467).

use burn::tensor::Tensor;

use crate::checkpoint::Weights;
use crate::error::LoadError;
use crate::kernels::{self, Compute};

use super::linear::vector;

/// `x / sqrt(mean(x²) + eps) · weight`.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    compute: Compute,
    /// The multipliers, `[dim]`.
    pub weight: Tensor<1>,
    /// Added to the mean square.
    pub eps: f32,
}

impl RmsNorm {
    /// Reads `{name}.weight` `[dim]`.
    ///
    /// # Errors
    /// [`LoadError`] where the tensor is absent or has another shape.
    pub fn load(
        compute: &Compute,
        weights: &Weights<'_>,
        name: &str,
        dim: usize,
        eps: f32,
    ) -> Result<Self, LoadError> {
        let name = format!("{name}.weight");
        let weight = vector(compute, weights.vector(&name, dim)?);
        weights.release(&name);
        Ok(Self {
            compute: compute.clone(),
            weight,
            eps,
        })
    }

    /// `[n, dim] → [n, dim]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        kernels::rms_norm(&self.compute, x, &self.weight, self.eps)
    }
}

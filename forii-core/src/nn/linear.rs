//! A linear layer: one packed weight, or several that read the same input stacked into one, and
//! an optional bias.

use burn::tensor::{Tensor, TensorData};

use crate::checkpoint::Weights;
use crate::error::LoadError;
use crate::kernels::{self, Compute, Matrix};

/// `x · weightᵀ + bias`.
#[derive(Debug, Clone)]
pub struct Linear {
    compute: Compute,
    weight: Matrix,
    bias: Option<Tensor<1>>,
}

impl Linear {
    /// Reads `{name}.weight` `[out_features, in_features]`, and `{name}.bias` where `bias` is set.
    ///
    /// # Errors
    /// [`LoadError`] where a tensor is absent or has another shape.
    pub fn load(
        compute: &Compute,
        weights: &Weights<'_>,
        name: &str,
        [out_features, in_features]: [usize; 2],
        bias: bool,
    ) -> Result<Self, LoadError> {
        Self::load_stacked(compute, weights, &[(name, out_features)], in_features, bias)
    }

    /// Reads several layers `(name, out_features)` over the same input as one; their outputs lie
    /// side by side.
    ///
    /// # Errors
    /// [`LoadError`] where a tensor is absent or has another shape.
    pub fn load_stacked(
        compute: &Compute,
        weights: &Weights<'_>,
        parts: &[(&str, usize)],
        in_features: usize,
        bias: bool,
    ) -> Result<Self, LoadError> {
        let names: Vec<String> = parts.iter().map(|(name, _)| format!("{name}.weight")).collect();
        let mut views = Vec::with_capacity(parts.len());
        for (name, &(_, out_features)) in names.iter().zip(parts) {
            views.push(weights.tensor(name, &[out_features, in_features])?);
        }
        let weight = Matrix::load(compute, &views)?;
        names.iter().for_each(|name| weights.release(name));

        let mut values = Vec::new();
        if bias {
            for (name, out_features) in parts {
                let name = format!("{name}.bias");
                values.extend(weights.vector(&name, *out_features)?);
                weights.release(&name);
            }
        }
        let bias = bias.then(|| vector(compute, values));
        Ok(Self {
            compute: compute.clone(),
            weight,
            bias,
        })
    }

    /// A layer without bias over weights that are packed already (tied embeddings).
    pub fn from_matrix(compute: &Compute, weight: Matrix) -> Self {
        Self {
            compute: compute.clone(),
            weight,
            bias: None,
        }
    }

    /// `[n, in_features] → [n, out_features]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        kernels::linear(&self.compute, x, &self.weight, self.bias.as_ref())
    }

    /// `residual + forward(x)`: `[n, in_features], [n, out_features] → [n, out_features]`.
    pub fn forward_add(&self, x: Tensor<2>, residual: Tensor<2>) -> Tensor<2> {
        match &self.bias {
            None => kernels::linear_add(&self.compute, x, &self.weight, residual),
            Some(_) => residual + self.forward(x),
        }
    }
}

/// Host floats as a tensor on the device of `compute`.
pub(super) fn vector(compute: &Compute, values: Vec<f32>) -> Tensor<1> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), compute.device())
}

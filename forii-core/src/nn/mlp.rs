//! The gated feed-forward block.

use burn::tensor::Tensor;

use crate::checkpoint::Weights;
use crate::checkpoint::config::{Activation, ModelConfig};
use crate::error::LoadError;
use crate::kernels::{self, Compute};

use super::Linear;

/// `down_proj(act(gate_proj(x)) · up_proj(x))`.
#[derive(Debug, Clone)]
pub struct Mlp {
    compute: Compute,
    gate_up_proj: Linear,
    down_proj: Linear,
    act: Activation,
}

impl Mlp {
    /// Reads `gate_proj`, `up_proj` and `down_proj`.
    ///
    /// # Errors
    /// [`LoadError`] where a tensor is absent or has another shape.
    pub fn load(compute: &Compute, weights: &Weights<'_>, config: &ModelConfig) -> Result<Self, LoadError> {
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let gate_up = [("gate_proj", intermediate), ("up_proj", intermediate)];
        Ok(Self {
            compute: compute.clone(),
            gate_up_proj: Linear::load_stacked(compute, weights, &gate_up, hidden, false)?,
            down_proj: Linear::load(compute, weights, "down_proj", [hidden, intermediate], false)?,
            act: config.hidden_act,
        })
    }

    /// `[n, hidden_size] → [n, hidden_size]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.down_proj.forward(self.gated(x))
    }

    /// `residual + forward(x)`.
    pub fn forward_add(&self, x: Tensor<2>, residual: Tensor<2>) -> Tensor<2> {
        self.down_proj.forward_add(self.gated(x), residual)
    }

    /// `[n, hidden_size] → [n, intermediate_size]`.
    fn gated(&self, x: Tensor<2>) -> Tensor<2> {
        kernels::gated(&self.compute, self.gate_up_proj.forward(x), self.act)
    }
}

//! The door from burn's tensors to the CPU kernels besides matrix products: one operation each, its
//! tensors passed through burn's dispatch to the Flex backend.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType, backend_extension};

use super::cpu::{self, Cpu};
use super::{Activation, AttentionParams, Batch};

/// The weights of the norms on queries and keys, where a layer has them.
#[derive(Debug, Clone, ExtensionType)]
pub(crate) enum HeadNormWeights<B: Backend> {
    /// No norms.
    None,
    /// For each query head and for each key head, `[head_dim]`.
    PerHead(FloatTensor<B>, FloatTensor<B>),
}

/// See the functions of the same names in [`super`].
#[backend_extension(Flex: cfg(feature = "cpu"))]
pub(crate) trait AttentionOps: Backend {
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32, cpu: &Cpu) -> FloatTensor<Self>;

    fn gated(gate_up: FloatTensor<Self>, act: Activation, cpu: &Cpu) -> FloatTensor<Self>;

    /// Returns the result and the two halves of the cache, which must have no other owner.
    #[allow(clippy::too_many_arguments)]
    fn attention(
        qkv: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        #[extension_type] norms: HeadNormWeights<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        eps: f32,
        params: &AttentionParams,
        batch: &Batch,
        cpu: &Cpu,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl AttentionOps for Flex {
    fn rms_norm(x: FlexTensor, weight: FlexTensor, eps: f32, cpu: &Cpu) -> FlexTensor {
        cpu::rms_norm_flex(x, weight, eps, cpu)
    }

    fn gated(gate_up: FlexTensor, act: Activation, cpu: &Cpu) -> FlexTensor {
        cpu::gated_flex(gate_up, act, cpu)
    }

    fn attention(
        qkv: FlexTensor,
        cos: FlexTensor,
        sin: FlexTensor,
        norms: HeadNormWeights<Self>,
        k: FlexTensor,
        v: FlexTensor,
        eps: f32,
        params: &AttentionParams,
        batch: &Batch,
        cpu: &Cpu,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        cpu::attention_flex([qkv, cos, sin], norms, [k, v], eps, params, batch, cpu)
    }
}

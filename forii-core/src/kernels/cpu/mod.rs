//! To be written.
#![allow(unused_variables)]

mod pool;

use burn::tensor::Tensor;

pub(in crate::kernels) use pool::Pool;

use super::{Activation, AttentionParams, Batch, Compute, HeadNorms, KvLayer, Matrix, Rotation};

pub(in crate::kernels) fn linear(
    compute: &Compute,
    x: Tensor<2>,
    weight: &Matrix,
    bias: Option<&Tensor<1>>,
    residual: Option<Tensor<2>>,
) -> Tensor<2> {
    todo!()
}
pub(in crate::kernels) fn embedding(compute: &Compute, table: &Matrix, ids: &[u32]) -> Tensor<2> {
    todo!()
}
pub(in crate::kernels) fn rms_norm(
    compute: &Compute,
    x: Tensor<2>,
    weight: &Tensor<1>,
    eps: f32,
) -> Tensor<2> {
    todo!()
}
pub(in crate::kernels) fn gated(compute: &Compute, gate_up: Tensor<2>, act: Activation) -> Tensor<2> {
    todo!()
}
pub(in crate::kernels) fn attention(
    compute: &Compute,
    qkv: Tensor<2>,
    rotation: &Rotation,
    norms: Option<HeadNorms<'_>>,
    params: &AttentionParams,
    layer: &mut KvLayer,
    batch: &Batch,
) -> Tensor<2> {
    todo!()
}

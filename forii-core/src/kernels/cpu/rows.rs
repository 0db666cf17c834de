//! RMS norm and gated activation on the CPU: from burn's tensors to rows.

use burn::backend::Dispatch;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::Cpu;
use super::simd::rows::{Gated, RmsNorm, for_each_row};
use super::tensor::{contiguous, floats, from_floats};
use crate::checkpoint::config::Activation;
use crate::kernels::Compute;
use crate::kernels::ops_attention::AttentionOps;

pub(in crate::kernels) fn rms_norm(
    compute: &Compute,
    x: Tensor<2>,
    weight: &Tensor<1>,
    eps: f32,
) -> Tensor<2> {
    let weight = weight.clone().into_dispatch();
    Tensor::from_dispatch(<Dispatch as AttentionOps>::rms_norm(
        x.into_dispatch(),
        weight,
        eps,
        compute.cpu(),
    ))
}

pub(in crate::kernels) fn gated(compute: &Compute, gate_up: Tensor<2>, act: Activation) -> Tensor<2> {
    let cpu = compute.cpu();
    Tensor::from_dispatch(<Dispatch as AttentionOps>::gated(
        gate_up.into_dispatch(),
        act,
        cpu,
    ))
}

pub(in crate::kernels) fn rms_norm_flex(
    x: FlexTensor,
    weight: FlexTensor,
    eps: f32,
    cpu: &Cpu,
) -> FlexTensor {
    let (x, weight) = (contiguous(x), contiguous(weight));
    let [rows, len] = x.layout().shape().dims();
    let weight = floats(&weight);
    assert_eq!(weight.len(), len, "a weight for each column");
    let mut out = vec![0.0; rows * len];
    for_each_row(cpu, RmsNorm { weight, eps }, (floats(&x), len), (&mut out, len));
    from_floats(out, [rows, len])
}

pub(in crate::kernels) fn gated_flex(gate_up: FlexTensor, act: Activation, cpu: &Cpu) -> FlexTensor {
    let gate_up = contiguous(gate_up);
    let [rows, len] = gate_up.layout().shape().dims();
    assert_eq!(len % 2, 0, "gates and their factors side by side");
    let mut out = vec![0.0; rows * (len / 2)];
    for_each_row(cpu, Gated(act), (floats(&gate_up), len), (&mut out, len / 2));
    from_floats(out, [rows, len / 2])
}

#[cfg(test)]
mod tests;

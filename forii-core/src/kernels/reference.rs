//! The plain reference: every function of [`super`] from tensor operations that any burn device
//! has. Slow and right: the fast paths are tested against it, and devices without kernels of their
//! own compute through it. Weights are dense here; the integers of a batch become index tensors.

use std::ops::Range;

use burn::tensor::activation::{gelu_approximate, sigmoid, softmax};
use burn::tensor::{Bool, Device, IndexingUpdateOp, Int, Tensor, TensorData};

use super::{Activation, AttentionParams, Batch, Compute, HeadNorms, KvLayer, Matrix, Rotation, Span};

/// Stands for minus infinity in masked scores; shading languages know no infinity.
const MASKED: f32 = -1e30;

pub(super) fn linear(
    x: Tensor<2>,
    weight: &Matrix,
    bias: Option<&Tensor<1>>,
    residual: Option<Tensor<2>>,
) -> Tensor<2> {
    let mut y = x.matmul(weight.dense().clone().transpose());
    if let Some(bias) = bias {
        y = y + bias.clone().unsqueeze();
    }
    match residual {
        Some(residual) => residual + y,
        None => y,
    }
}

pub(super) fn embedding(compute: &Compute, table: &Matrix, ids: &[u32]) -> Tensor<2> {
    table
        .dense()
        .clone()
        .select(0, indices(ids.iter().map(|&id| id as usize), compute.device()))
}

pub(super) fn rms_norm<const D: usize>(x: Tensor<D>, weight: &Tensor<1>, eps: f32) -> Tensor<D> {
    let mean_square = x.clone().square().mean_dim(D - 1);
    x * mean_square.add_scalar(eps).sqrt().recip() * weight.clone().unsqueeze()
}

pub(super) fn gated(gate_up: Tensor<2>, act: Activation) -> Tensor<2> {
    let [_, width] = gate_up.dims();
    let gate = gate_up.clone().narrow(1, 0, width / 2);
    let up = gate_up.narrow(1, width / 2, width / 2);
    let gate = match act {
        Activation::Silu => gate.clone() * sigmoid(gate),
        Activation::GeluTanh => gelu_approximate(gate),
    };
    gate * up
}

pub(super) fn attention(
    qkv: Tensor<2>,
    rotation: &Rotation,
    norms: Option<HeadNorms<'_>>,
    params: &AttentionParams,
    layer: &mut KvLayer,
    batch: &Batch,
) -> Tensor<2> {
    let [n, _] = qkv.dims();
    let (num_heads, num_kv_heads, head_dim) = (params.num_heads, params.num_kv_heads, params.head_dim);
    let device = qkv.device();
    let heads = |first: usize, count: usize| {
        qkv.clone()
            .narrow(1, first * head_dim, count * head_dim)
            .reshape([n, count, head_dim])
    };
    let mut q = heads(0, num_heads);
    let mut k = heads(num_heads, num_kv_heads);
    let v = heads(num_heads + num_kv_heads, num_kv_heads);
    if let Some(norms) = norms {
        q = rms_norm(q, norms.q, norms.eps);
        k = rms_norm(k, norms.k, norms.eps);
    }
    let q = rotate(q, rotation);
    let k = rotate(k, rotation);

    let width = num_kv_heads * head_dim;
    let slots = batch
        .spans
        .iter()
        .flat_map(|span| (span.context..span.len_after()).map(move |position| batch.slot(span, position)));
    let slots = indices(slots, &device);
    let keys = write(layer.k.take(), slots.clone(), k.reshape([n, width]));
    let values = write(layer.v.take(), slots, v.reshape([n, width]));

    let spans = batch.spans.iter().map(|span| {
        let q = q.clone().slice([span.tokens.clone()]);
        attend(q, &keys, &values, params, span, batch)
    });
    let out = Tensor::cat(spans.collect(), 0);
    layer.k = Some(keys.flatten(0, 1));
    layer.v = Some(values.flatten(0, 1));
    out
}

/// Rotary position embedding of every head, `[n, heads, head_dim]`.
fn rotate(x: Tensor<3>, rotation: &Rotation) -> Tensor<3> {
    let [_, _, head_dim] = x.dims();
    let half = head_dim / 2;
    let cos = rotation.cos.clone().unsqueeze_dim::<3>(1);
    let sin = rotation.sin.clone().unsqueeze_dim::<3>(1);
    let (x1, x2) = (x.clone().narrow(2, 0, half), x.narrow(2, half, half));
    let first = x1.clone() * cos.clone() - x2.clone() * sin.clone();
    let second = x2 * cos + x1 * sin;
    Tensor::cat(vec![first, second], 2)
}

/// Replaces the rows `slots` of a layer's pool, in place where nobody else holds it; hands back
/// the whole pool as `[slots of the pool, width]`.
fn write(pool: Option<Tensor<1>>, slots: Tensor<1, Int>, rows: Tensor<2>) -> Tensor<2> {
    let [_, width] = rows.dims();
    let pool = pool.expect("a layer's tensors are put back after each step");
    let num_slots = pool.dims()[0] / width;
    pool.reshape([num_slots, width])
        .select_assign(0, slots, rows, IndexingUpdateOp::Assign)
}

/// One sequence: `q [t, num_heads, head_dim] → [t, num_heads · head_dim]`.
fn attend(
    q: Tensor<3>,
    keys: &Tensor<2>,
    values: &Tensor<2>,
    params: &AttentionParams,
    span: &Span,
    batch: &Batch,
) -> Tensor<2> {
    let [len, num_heads, head_dim] = q.dims();
    let num_kv_heads = params.num_kv_heads;
    let group = num_heads / num_kv_heads;
    let device = q.device();

    // Query heads that share a key head become further rows of it: [num_kv_heads, len · group, head_dim].
    let q = q
        .reshape([len, num_kv_heads, group * head_dim])
        .swap_dims(0, 1)
        .reshape([num_kv_heads, len * group, head_dim]);
    let first = params
        .window
        .map_or(0, |window| (span.context + 1).saturating_sub(window));
    let seen = first..span.len_after();
    let slots = indices(seen.clone().map(|position| batch.slot(span, position)), &device);
    let gather = |pool: &Tensor<2>| {
        let rows = pool.clone().select(0, slots.clone());
        rows.reshape([seen.len(), num_kv_heads, head_dim]).swap_dims(0, 1)
    };

    let mut scores = q.matmul(gather(keys).transpose()).mul_scalar(params.scale);
    if let Some(cap) = params.softcap {
        scores = scores.div_scalar(cap).tanh().mul_scalar(cap);
    }
    if len > 1 {
        let hidden = hidden(span, &seen, group, params.window, &device);
        let shape = scores.shape();
        scores = scores.mask_fill(hidden.unsqueeze::<3>().expand(shape), MASKED);
    }
    softmax(scores, 2)
        .matmul(gather(values))
        .reshape([num_kv_heads, len, group * head_dim])
        .swap_dims(0, 1)
        .reshape([len, num_heads * head_dim])
}

/// Which of the `seen` positions a span's rows must not see: `[rows, seen]`, each token `group` times.
fn hidden(
    span: &Span,
    seen: &Range<usize>,
    group: usize,
    window: Option<usize>,
    device: &Device,
) -> Tensor<2, Bool> {
    let shape = [span.tokens.len() * group, seen.len()];
    let rows = (span.context..span.len_after()).flat_map(|position| std::iter::repeat_n(position, group));
    let rows = indices(rows, device).unsqueeze_dim::<2>(1).expand(shape);
    let columns = indices(seen.clone(), device).unsqueeze_dim::<2>(0).expand(shape);
    let later = columns.clone().greater(rows.clone());
    match window {
        Some(window) => later.bool_or(columns.add_scalar(window as i64).lower_equal(rows)),
        None => later,
    }
}

/// Host integers as an index tensor.
fn indices(values: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.map(|value| value as i32).collect();
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}

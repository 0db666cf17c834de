//! Attention on the CPU: from burn's tensors to the kernels' slices.

use burn::backend::Dispatch;
use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use half::f16;

use super::Cpu;
use super::simd::attention::{Inputs, attend, write};
use super::tensor::{contiguous, floats, from_floats};
use crate::kernels::ops_attention::{AttentionOps, HeadNormWeights};
use crate::kernels::{AttentionParams, Batch, Compute, HeadNorms, KvLayer, KvLayerShape, Rotation};

pub(in crate::kernels) fn attention(
    compute: &Compute,
    qkv: Tensor<2>,
    rotation: &Rotation,
    norms: Option<HeadNorms<'_>>,
    params: &AttentionParams,
    layer: &mut KvLayer,
    batch: &Batch,
) -> Tensor<2> {
    let KvLayerShape::Heads {
        num_kv_heads,
        head_dim,
    } = layer.shape;
    assert_eq!(
        (num_kv_heads, head_dim),
        (params.num_kv_heads, params.head_dim),
        "a layer of its own cache"
    );
    // Moved, not cloned: with a second owner the write would copy the whole cache.
    let lost = "a step that failed has lost the cache";
    let (k, v) = (layer.k.take().expect(lost), layer.v.take().expect(lost));
    let (out, k, v) = <Dispatch as AttentionOps>::attention(
        qkv.into_dispatch(),
        rotation.cos.clone().into_dispatch(),
        rotation.sin.clone().into_dispatch(),
        norms.map_or(HeadNormWeights::None, |norms| {
            HeadNormWeights::PerHead(norms.q.clone().into_dispatch(), norms.k.clone().into_dispatch())
        }),
        k.into_dispatch(),
        v.into_dispatch(),
        norms.map_or(0.0, |norms| norms.eps),
        params,
        batch,
        compute.cpu(),
    );
    layer.k = Some(Tensor::from_dispatch(k));
    layer.v = Some(Tensor::from_dispatch(v));
    Tensor::from_dispatch(out)
}

pub(in crate::kernels) fn attention_flex(
    [qkv, cos, sin]: [FlexTensor; 3],
    norms: HeadNormWeights<Flex>,
    [mut k, mut v]: [FlexTensor; 2],
    eps: f32,
    params: &AttentionParams,
    batch: &Batch,
    cpu: &Cpu,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let AttentionParams {
        num_heads,
        num_kv_heads,
        head_dim,
        ..
    } = *params;
    let n = batch.tokens.len();
    assert!(
        num_kv_heads > 0 && num_heads % num_kv_heads == 0,
        "every query head has its key head"
    );
    assert!(
        head_dim > 0 && head_dim % 2 == 0,
        "dimensions are rotated in pairs"
    );
    assert!(params.window != Some(0), "a token sees itself");
    let (qkv, cos, sin) = (contiguous(qkv), contiguous(cos), contiguous(sin));
    let norms = match norms {
        HeadNormWeights::None => None,
        HeadNormWeights::PerHead(q, k) => Some((contiguous(q), contiguous(k))),
    };
    let inputs = Inputs {
        qkv: floats(&qkv),
        cos: floats(&cos),
        sin: floats(&sin),
        norms: norms.as_ref().map(|(q, k)| (floats(q), floats(k))),
        eps,
        params,
        batch,
    };
    assert_eq!(
        inputs.qkv.len(),
        n * (num_heads + 2 * num_kv_heads) * head_dim,
        "queries, keys and values"
    );
    let mut out = vec![0.0; n * num_heads * head_dim];
    {
        let shared = "the cache has one owner";
        let k = k.try_storage_mut::<f16>().expect(shared);
        let v = v.try_storage_mut::<f16>().expect(shared);
        write(cpu, inputs, k, v);
        attend(cpu, inputs, k, v, &mut out);
    }
    (from_floats(out, [n, num_heads * head_dim]), k, v)
}

#[cfg(test)]
mod tests;

//! Attention, norms and activations of one layer at the shapes of SmolLM2-135M and
//! Qwen2.5-Coder-0.5B. An element is a multiply-add of scores or weighted values, and for rows a
//! number read.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use forii_core::checkpoint::config::Activation;
use forii_core::kernels::{
    AttentionParams, BLOCK_LEN, Batch, Compute, DeviceKind, KvCache, KvLayerShape, KvShape, Rotation, Span,
    Tensor, attention, gated, rms_norm,
};

const MODELS: [(&str, usize, usize, usize); 2] = [("smollm2", 9, 3, 64), ("qwen2.5", 14, 2, 64)];

/// Name, tokens in the cache, new tokens, sequences.
const STEPS: [(&str, usize, usize, usize); 6] = [
    ("prefill 512", 0, 512, 1),
    ("prefill 512 behind 1536", 1536, 512, 1),
    ("decode at 64", 64, 1, 1),
    ("decode at 512", 512, 1, 1),
    ("decode at 4096", 4096, 1, 1),
    ("decode 16 at 128", 128, 1, 16),
];

/// Numbers between -1 and 1 that do not repeat soon.
fn numbers(compute: &Compute, rows: usize, cols: usize) -> Tensor<2> {
    let x: Vec<f32> = (0..rows * cols)
        .map(|i| ((i as f32 * 0.618_034).fract() - 0.5) * 2.0)
        .collect();
    Tensor::<1>::from_floats(x.as_slice(), compute.device()).reshape([rows, cols])
}

/// Sequences whose blocks alternate in the cache, each with `context` tokens in it.
fn batch(context: usize, new: usize, sequences: usize) -> (Batch, usize) {
    let blocks = (context + new).div_ceil(BLOCK_LEN);
    let mut batch = Batch::default();
    for i in 0..sequences {
        let (start, table) = (batch.tokens.len(), batch.block_tables.len());
        batch.tokens.extend(vec![0; new]);
        batch
            .positions
            .extend((context..context + new).map(|position| position as u32));
        batch
            .block_tables
            .extend((0..blocks).map(|block| (block * sequences + i) as u32));
        let (tokens, table) = (start..batch.tokens.len(), table..batch.block_tables.len());
        batch.spans.push(Span {
            tokens,
            context,
            table,
        });
    }
    (batch, blocks * sequences)
}

fn steps(c: &mut Criterion) {
    for threads in [1, 2] {
        let compute = Compute::new(DeviceKind::Cpu, threads).expect("the processor");
        for (model, num_heads, num_kv_heads, head_dim) in MODELS {
            let mut group = c.benchmark_group(format!("attention/{model}/{threads} threads"));
            group
                .sample_size(20)
                .warm_up_time(Duration::from_millis(300))
                .measurement_time(Duration::from_secs(1));
            for (name, context, new, sequences) in STEPS {
                let (batch, num_blocks) = batch(context, new, sequences);
                let n = batch.tokens.len();
                let shape = KvShape {
                    layers: vec![KvLayerShape::Heads {
                        num_kv_heads,
                        head_dim,
                    }],
                };
                let mut cache = KvCache::new(&compute, &shape, num_blocks).expect("memory");
                let qkv = |n| numbers(&compute, n, (num_heads + 2 * num_kv_heads) * head_dim);
                let rotation = |n| {
                    let table = numbers(&compute, n, head_dim / 2);
                    Rotation {
                        cos: table.clone(),
                        sin: table,
                    }
                };
                let params = AttentionParams {
                    num_heads,
                    num_kv_heads,
                    head_dim,
                    scale: 0.125,
                    window: None,
                    softcap: None,
                };
                let layer = &mut cache.layers[0];
                if context > 0 {
                    let (before, _) = self::batch(0, context, sequences);
                    let mut before = before;
                    // The same blocks that the step reads.
                    before.block_tables.clone_from(&batch.block_tables);
                    for (span, of) in before.spans.iter_mut().zip(&batch.spans) {
                        span.table.clone_from(&of.table);
                    }
                    let n = before.tokens.len();
                    attention(&compute, qkv(n), &rotation(n), None, &params, layer, &before);
                }
                let (qkv, rotation) = (qkv(n), rotation(n));
                let keys: usize = (1..=new).map(|i| context + i).sum();
                group.throughput(Throughput::Elements(
                    (sequences * keys * num_heads * head_dim * 2) as u64,
                ));
                group.bench_function(BenchmarkId::from_parameter(name), |b| {
                    b.iter(|| {
                        black_box(attention(
                            &compute,
                            qkv.clone(),
                            &rotation,
                            None,
                            &params,
                            layer,
                            &batch,
                        ))
                    });
                });
            }
        }
    }
}

fn rows(c: &mut Criterion) {
    let compute = Compute::new(DeviceKind::Cpu, 2).expect("the processor");
    let mut group = c.benchmark_group("rows/smollm2/2 threads");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    for n in [1, 16, 512] {
        let (x, weight) = (
            numbers(&compute, n, 576),
            numbers(&compute, 1, 576).reshape([576]),
        );
        group.throughput(Throughput::Elements(n as u64 * 576));
        group.bench_function(BenchmarkId::new("rms_norm", n), |b| {
            b.iter(|| black_box(rms_norm(&compute, x.clone(), &weight, 1e-5)));
        });
        let gate_up = numbers(&compute, n, 2 * 1536);
        group.throughput(Throughput::Elements(n as u64 * 2 * 1536));
        for (name, act) in [("silu", Activation::Silu), ("gelu", Activation::GeluTanh)] {
            group.bench_function(BenchmarkId::new(name, n), |b| {
                b.iter(|| black_box(gated(&compute, gate_up.clone(), act)));
            });
        }
    }
}

criterion_group!(benches, steps, rows);
criterion_main!(benches);

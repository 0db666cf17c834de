//! Matrix kernels on the shapes of SmolLM2-135M and Qwen2.5-0.5B: bytes of weights streamed a
//! second for one column, multiply-adds a second for many. `FORII_CPU` chooses the path, and
//! `THREADS` the number of threads (1 and 2 without it).
#![allow(missing_docs)]

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forii_core::checkpoint::TensorView;
use forii_core::kernels::{self, Compute, DeviceKind, Matrix};
use forii_core::quant::QuantFormat;

fn computes() -> Vec<(usize, Compute)> {
    let threads = match std::env::var("THREADS") {
        Ok(threads) => vec![threads.parse().expect("THREADS is a number")],
        Err(_) => vec![1, 2],
    };
    let open = |threads| {
        (
            threads,
            Compute::new(DeviceKind::Cpu, threads).expect("a processor"),
        )
    };
    threads.into_iter().map(open).collect()
}

/// Bytes that look random and are the same in each run.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Halves below one in whichever place they stand: the top bits of each second byte are off.
        (state >> 32) as u32 & 0xbbff_bbff
    };
    (0..len / 4 + 1)
        .flat_map(|_| next().to_le_bytes())
        .take(len)
        .collect()
}

fn matrix(compute: &Compute, format: QuantFormat, rows: usize, cols: usize) -> Matrix {
    let bytes = format.row_bytes(cols).expect("whole blocks") * rows;
    let view = TensorView {
        name: "w".into(),
        format,
        shape: vec![rows, cols],
        data: Cow::Owned(noise(bytes)),
    };
    Matrix::load(compute, &[view]).expect("a matrix")
}

/// One column: all weights of a model once, as a decoded token reads them.
fn decode(c: &mut Criterion) {
    let cases = [
        (QuantFormat::Q4_1, 1536, 576, 98 << 20),
        (QuantFormat::Q5_0, 1152, 896, 98 << 20),
        (QuantFormat::Q8_0, 4864, 896, 98 << 20),
        (QuantFormat::Q4_K, 896, 4864, 98 << 20),
        (QuantFormat::Q6_K, 896, 4864, 98 << 20),
        (QuantFormat::Q8_0, 151_936, 896, 98 << 20),
        (QuantFormat::BF16, 1536, 576, 98 << 20),
    ];
    let mut group = c.benchmark_group("decode");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    for (threads, compute) in computes() {
        for (format, rows, cols, bytes) in cases {
            let each = format.row_bytes(cols).expect("whole blocks") * rows;
            let matrices: Vec<_> = (0..(bytes / each).max(1))
                .map(|_| matrix(&compute, format, rows, cols))
                .collect();
            let x = kernels::activations(&compute, 1, cols);
            group.throughput(Throughput::BytesDecimal((each * matrices.len()) as u64));
            group.bench_function(format!("{format} {rows}x{cols}, {threads} threads"), |b| {
                b.iter(|| {
                    for matrix in &matrices {
                        black_box(kernels::linear(&compute, x.clone(), matrix, None));
                    }
                });
            });
        }
    }
}

/// Many columns: a prompt, or sequences side by side.
fn prefill(c: &mut Criterion) {
    let shapes = [
        (QuantFormat::Q4_1, 1536, 576),
        (QuantFormat::Q4_0, 1536, 576),
        (QuantFormat::Q5_0, 1152, 896),
        (QuantFormat::Q8_0, 4864, 896),
        (QuantFormat::Q4_K, 896, 4864),
        (QuantFormat::Q5_K, 896, 4864),
        (QuantFormat::Q6_K, 896, 4864),
        (QuantFormat::Q2_K, 896, 4864),
        (QuantFormat::Q3_K, 896, 4864),
        (QuantFormat::IQ4_NL, 1536, 576),
        (QuantFormat::BF16, 1536, 576),
    ];
    let mut group = c.benchmark_group("prefill");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    for (threads, compute) in computes() {
        for (format, rows, cols) in shapes {
            let matrix = matrix(&compute, format, rows, cols);
            for columns in [8, 16, 512] {
                let x = kernels::activations(&compute, columns, cols);
                // Each multiply-add an element.
                group.throughput(Throughput::Elements((rows * cols * columns) as u64));
                group.bench_function(
                    format!("{format} {rows}x{cols} times {columns}, {threads} threads"),
                    |b| b.iter(|| black_box(kernels::linear(&compute, x.clone(), &matrix, None))),
                );
            }
        }
    }
}

/// From the file's blocks to packed weights.
fn load(c: &mut Criterion) {
    let mut group = c.benchmark_group("load");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    let (_, compute) = computes().pop().expect("a device");
    for format in QuantFormat::ALL {
        let (rows, cols) = (4864, 1024);
        let bytes = format.row_bytes(cols).expect("whole blocks") * rows;
        let view = TensorView {
            name: "w".into(),
            format,
            shape: vec![rows, cols],
            data: Cow::Owned(noise(bytes)),
        };
        group.throughput(Throughput::BytesDecimal(bytes as u64));
        group.bench_function(format!("{format}"), |b| {
            b.iter(|| black_box(Matrix::load(&compute, std::slice::from_ref(&view)).expect("a matrix")));
        });
    }
}

criterion_group!(benches, decode, prefill, load);
criterion_main!(benches);

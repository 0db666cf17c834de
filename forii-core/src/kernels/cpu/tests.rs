//! Conformance of every format on every instruction set, against the oracle in `quant`.

use std::borrow::Cow;

use super::quant_matmul::{product, rows};
use super::*;
use crate::quant::{QuantFormat, dequantize};

/// The largest error allowed, as a share of the sum of the magnitudes that are added.
fn tolerance(format: QuantFormat) -> f64 {
    match format {
        // Sums of floats in single precision.
        QuantFormat::F32 | QuantFormat::F16 | QuantFormat::BF16 => 1e-6,
        // Exact sums of integers, a few roundings for each block of 32.
        _ => 5e-7,
    }
}

/// Rows, columns of the weights (where blocks hold 256, the next multiple), columns of activations.
const SHAPES: [(usize, usize, usize); 12] = [
    (1, 32, 1),
    (15, 32, 3),
    (16, 64, 2),
    (17, 96, 13),
    (16, 576, 1),
    (33, 576, 8),
    (192, 576, 5),
    (17, 896, 12),
    (1, 896, 65),
    (40, 256, 25),
    (17, 4864, 2),
    (16, 4864, 13),
];

/// A small generator of test data (Knuth's MMIX constants).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    fn float(&mut self) -> f32 {
        self.next() as f32 / u32::MAX as f32 * 2.0 - 1.0
    }

    fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.float()).collect()
    }

    /// Random blocks, their half floats in a sane range.
    fn blocks(&mut self, format: QuantFormat, weights: usize) -> Vec<u8> {
        let halves: &[usize] = match format {
            QuantFormat::F16
            | QuantFormat::Q4_0
            | QuantFormat::Q5_0
            | QuantFormat::Q8_0
            | QuantFormat::IQ4_NL => &[0],
            QuantFormat::Q4_1 | QuantFormat::Q5_1 | QuantFormat::Q4_K | QuantFormat::Q5_K => &[0, 2],
            QuantFormat::Q2_K => &[80, 82],
            QuantFormat::Q3_K => &[108],
            QuantFormat::Q6_K => &[208],
            _ => &[],
        };
        let mut bytes = Vec::new();
        for _ in 0..weights / format.block_len() {
            let mut block: Vec<u8> = (0..format.block_bytes()).map(|_| self.next() as u8).collect();
            for at in halves {
                block[*at..at + 2].copy_from_slice(&half::f16::from_f32(self.float() / 50.0).to_le_bytes());
            }
            match format {
                QuantFormat::F32 => block.copy_from_slice(&self.float().to_le_bytes()),
                QuantFormat::BF16 => {
                    block.copy_from_slice(&half::bf16::from_f32(self.float()).to_le_bytes());
                }
                _ => {}
            }
            bytes.extend(block);
        }
        bytes
    }
}

fn view(format: QuantFormat, rows: usize, cols: usize, blocks: &[u8]) -> TensorView<'_> {
    TensorView {
        name: "w".into(),
        format,
        shape: vec![rows, cols],
        data: Cow::Borrowed(blocks),
    }
}

/// The matrix's columns for a format: a whole number of its blocks.
fn whole_blocks(format: QuantFormat, cols: usize) -> usize {
    cols.next_multiple_of(format.block_len())
}

fn levels() -> Vec<(&'static str, Level)> {
    let levels = Level::available();
    assert!(
        levels.len() > 1 || !cfg!(target_arch = "x86_64"),
        "only the scalar path is tested here"
    );
    levels
}

fn run(cpu: &Cpu, parts: &[TensorView<'_>], x: &[f32]) -> Vec<f32> {
    let (layout, weights) = cpu.pack(parts, parts[0].shape[1]);
    let weights = weights.try_into_primitive::<Flex>().unwrap();
    let mut out = vec![f32::NAN; x.len() / layout.cols * layout.rows];
    product(cpu, &layout, weights.bytes(), x, None, &mut out, false);
    out
}

/// Activations as the kernels of block formats see them, plainly.
fn quantized(x: &[f32]) -> Vec<f64> {
    let block = |x: &[f32; 32]| {
        let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        x.map(|x| f64::from((x * inverse).round_ties_even()) * f64::from(largest / 127.0))
    };
    x.as_chunks().0.iter().flat_map(block).collect()
}

#[test]
fn every_format_agrees_with_the_oracle_on_every_path() {
    let mut noise = Noise(1);
    for format in QuantFormat::ALL {
        for (rows, cols, columns) in SHAPES {
            let cols = whole_blocks(format, cols);
            let blocks = noise.blocks(format, rows * cols);
            let x = noise.floats(columns * cols);
            let mut weights = vec![0.0; rows * cols];
            dequantize(format, &blocks, &mut weights).unwrap();
            let exact = if simd::is_dense(format) {
                x.iter().map(|x| f64::from(*x)).collect()
            } else {
                quantized(&x)
            };
            let mut first: Option<Vec<f32>> = None;
            for (name, level) in levels() {
                let cpu = Cpu::with_level(2, level);
                let found = run(&cpu, &[view(format, rows, cols, &blocks)], &x);
                assert_eq!(found.len(), rows * columns);
                for (i, y) in found.iter().enumerate() {
                    let (w, x) = (
                        &weights[i % rows * cols..][..cols],
                        &exact[i / rows * cols..][..cols],
                    );
                    let terms = || w.iter().zip(x).map(|(w, x)| f64::from(*w) * x);
                    let (sum, size) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
                    let error = (f64::from(*y) - sum).abs() / size.max(1e-30);
                    assert!(
                        error <= tolerance(format),
                        "{format} {name} {rows}x{cols} times {columns}, result {i}: {y}, not {sum} ({error:e})"
                    );
                }
                let bits = |y: &[f32]| y.iter().map(|y| y.to_bits()).collect::<Vec<_>>();
                match &first {
                    None => first = Some(found),
                    Some(first) => assert_eq!(bits(first), bits(&found), "{format} {name} and scalar"),
                }
            }
        }
    }
}

#[test]
fn a_column_is_the_same_alone_and_in_a_batch_on_any_number_of_threads() {
    let mut noise = Noise(2);
    for format in QuantFormat::ALL {
        let (rows, cols) = (50, whole_blocks(format, 288));
        let blocks = noise.blocks(format, rows * cols);
        let parts = [view(format, rows, cols, &blocks)];
        for (name, level) in levels() {
            for columns in [2, 3, 4, 6, 8, 9, 13, 24, 65] {
                let x = noise.floats(columns * cols);
                let together = run(&Cpu::with_level(1, level), &parts, &x);
                for threads in [2, 5] {
                    let cpu = Cpu::with_level(threads, level);
                    assert_eq!(together, run(&cpu, &parts, &x), "{format} {name} {threads}");
                }
                let cpu = Cpu::with_level(2, level);
                for (column, (x, y)) in x.chunks(cols).zip(together.chunks(rows)).enumerate() {
                    let alone = run(&cpu, &parts, x);
                    assert_eq!(alone, y, "{format} {name}, column {column} of {columns}");
                }
            }
        }
    }
}

#[test]
fn stacked_parts_of_mixed_formats_are_their_products_side_by_side() {
    let mut noise = Noise(3);
    let cols = 512;
    let shapes = [
        (QuantFormat::Q4_1, 17),
        (QuantFormat::F16, 5),
        (QuantFormat::Q6_K, 33),
        (QuantFormat::Q8_0, 16),
        (QuantFormat::F32, 1),
    ];
    let blocks: Vec<_> = shapes
        .iter()
        .map(|(format, rows)| noise.blocks(*format, rows * cols))
        .collect();
    let parts: Vec<_> = shapes
        .iter()
        .zip(&blocks)
        .map(|((format, rows), blocks)| view(*format, *rows, cols, blocks))
        .collect();
    for (name, level) in levels() {
        let cpu = Cpu::with_level(2, level);
        for columns in [1, 7] {
            let x = noise.floats(columns * cols);
            let stacked = run(&cpu, &parts, &x);
            let mut start = 0;
            for (part, (format, rows)) in parts.iter().zip(shapes) {
                let alone = run(&cpu, std::slice::from_ref(part), &x);
                for (line, alone) in stacked.chunks(72).zip(alone.chunks(rows)) {
                    assert_eq!(&line[start..start + rows], alone, "{format} {name}");
                }
                start += rows;
            }
        }
    }
}

#[test]
fn bias_and_residual_are_added_once() {
    let mut noise = Noise(4);
    let (rows, cols, columns) = (19, 64, 5);
    let blocks = noise.blocks(QuantFormat::Q5_1, rows * cols);
    let parts = [view(QuantFormat::Q5_1, rows, cols, &blocks)];
    let (x, bias, residual) = (
        noise.floats(columns * cols),
        noise.floats(rows),
        noise.floats(columns * rows),
    );
    for (name, level) in levels() {
        let cpu = Cpu::with_level(2, level);
        let plain = run(&cpu, &parts, &x);
        let (layout, weights) = cpu.pack(&parts, cols);
        let weights = weights.try_into_primitive::<Flex>().unwrap();
        let mut found = residual.clone();
        product(&cpu, &layout, weights.bytes(), &x, Some(&bias), &mut found, true);
        for (i, (plain, found)) in plain.iter().zip(&found).enumerate() {
            assert_eq!(*found, residual[i] + (plain + bias[i % rows]), "{name}");
        }
    }
}

#[test]
fn rows_come_back_bit_for_bit() {
    let mut noise = Noise(5);
    for format in QuantFormat::ALL {
        for cols in [32, 96, 576, 1280] {
            let (count, cols) = (37, whole_blocks(format, cols));
            let blocks = noise.blocks(format, count * cols);
            let mut expected = vec![0.0; count * cols];
            dequantize(format, &blocks, &mut expected).unwrap();
            let cpu = Cpu::with_level(2, Level::Scalar);
            let (layout, weights) = cpu.pack(&[view(format, count, cols, &blocks)], cols);
            let weights = weights.try_into_primitive::<Flex>().unwrap();
            let ids: Vec<u32> = (0..count as u32).rev().chain([0, 36, 36, 15, 16]).collect();
            let found = rows(&cpu, &layout, weights.bytes(), &ids);
            for (id, found) in ids.iter().zip(found.chunks(cols)) {
                let expected = &expected[*id as usize * cols..][..cols];
                let same = found
                    .iter()
                    .zip(expected)
                    .all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{format}, row {id} of {cols}");
            }
        }
    }
}

#[test]
fn packed_weights_take_no_more_than_the_file_and_a_little() {
    for format in QuantFormat::ALL {
        let cols = 2048;
        let layout = Layout::new(&[(format, 64)], cols);
        let file = format.row_bytes(cols).unwrap() * 64;
        let share = layout.bytes as f64 / file as f64;
        assert!((1.0..1.04).contains(&share), "{format}: {share}");
    }
}

#[test]
fn what_is_no_number_stays_none() {
    let mut noise = Noise(6);
    let blocks = noise.blocks(QuantFormat::Q4_0, 16 * 64);
    let parts = [view(QuantFormat::Q4_0, 16, 64, &blocks)];
    for (name, level) in levels() {
        let cpu = Cpu::with_level(1, level);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = noise.floats(64);
            x[40] = bad;
            assert!(
                run(&cpu, &parts, &x).iter().all(|y| !y.is_finite()),
                "{name} {bad}"
            );
        }
        for tiny in [0.0, 1e-42, f32::MIN_POSITIVE] {
            let y = run(&cpu, &parts, &[tiny; 64]);
            assert!(y.iter().all(|y| y.abs() < 1e-30), "{name} {tiny}");
        }
    }
}

fn values(tensor: &Tensor<2>) -> Vec<f32> {
    tensor.clone().into_data().try_to_vec().unwrap()
}

#[test]
fn tensors_pass_through_the_extension() {
    let mut noise = Noise(7);
    let compute = Compute::new(crate::kernels::DeviceKind::Cpu, 2).unwrap();
    let (rows, cols) = (20, 64);
    let blocks = noise.blocks(QuantFormat::Q8_0, rows * cols);
    let matrix = Matrix::load(&compute, &[view(QuantFormat::Q8_0, rows, cols, &blocks)]).unwrap();
    assert_eq!((matrix.rows(), matrix.cols()), (rows, cols));
    let ids: Vec<u32> = (0..rows as u32).collect();
    let weights: Vec<f32> = embedding(&compute, &matrix, &ids)
        .into_data()
        .try_to_vec()
        .unwrap();
    let mut expected = vec![0.0; rows * cols];
    dequantize(QuantFormat::Q8_0, &blocks, &mut expected).unwrap();
    assert_eq!(weights, expected);

    let floats = |data: Vec<f32>, n: usize| {
        let len = data.len() / n;
        Tensor::<2>::from_data(burn::tensor::TensorData::new(data, [n, len]), compute.device())
    };
    let (x, residual, bias) = (noise.floats(3 * cols), noise.floats(3 * rows), noise.floats(rows));
    let plain = linear(&compute, floats(x.clone(), 3), &matrix, None, None);
    assert_eq!(plain.dims(), [3, rows]);
    let plain: Vec<f32> = plain.into_data().try_to_vec().unwrap();
    // A transposed view is no slice of its storage; the result is the same.
    let mut transposed = vec![0.0; 3 * cols];
    for (i, x) in x.iter().enumerate() {
        transposed[i % cols * 3 + i / cols] = *x;
    }
    let view = floats(transposed, cols).transpose();
    let again: Vec<f32> = linear(&compute, view, &matrix, None, None)
        .into_data()
        .try_to_vec()
        .unwrap();
    assert_eq!(plain, again);
    // A residual that is held elsewhere, or is part of something larger, is left as it is.
    let held = floats(residual.clone(), 3);
    let wide = Tensor::cat(vec![held.clone(), held.clone()], 0);
    for residual in [
        held.clone(),
        wide.clone().narrow(0, 0, 3),
        wide.clone().narrow(0, 3, 3),
    ] {
        let sum = linear(&compute, floats(x.clone(), 3), &matrix, None, Some(residual));
        let expected: Vec<f32> = plain.iter().zip(values(&held)).map(|(y, r)| r + y).collect();
        assert_eq!(sum.into_data().try_to_vec::<f32>().unwrap(), expected);
    }
    assert_eq!(values(&held), residual);
    assert_eq!(values(&wide), [residual.clone(), residual.clone()].concat());
    let with_residual = linear(
        &compute,
        floats(x.clone(), 3),
        &matrix,
        None,
        Some(floats(residual.clone(), 3)),
    );
    let expected: Vec<f32> = plain.iter().zip(&residual).map(|(y, r)| y + r).collect();
    assert_eq!(with_residual.into_data().try_to_vec::<f32>().unwrap(), expected);
    let bias_tensor = floats(bias.clone(), 1).reshape([rows]);
    let with_bias = linear(&compute, floats(x, 3), &matrix, Some(&bias_tensor), None);
    let expected: Vec<f32> = plain
        .iter()
        .enumerate()
        .map(|(i, y)| y + bias[i % rows])
        .collect();
    assert_eq!(with_bias.into_data().try_to_vec::<f32>().unwrap(), expected);
}

#[test]
fn a_matrix_that_breaks_its_own_shape_is_refused() {
    let compute = Compute::new(crate::kernels::DeviceKind::Cpu, 1).unwrap();
    let data = vec![0; 34 * 4];
    let load = |shape: &[usize], data: &[u8]| {
        let mut part = view(QuantFormat::Q8_0, 0, 0, data);
        part.shape = shape.to_vec();
        Matrix::load(&compute, &[part])
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    assert!(load(&[4, 32], &data).is_ok());
    for shape in [
        &[4, 31][..],
        &[5, 32],
        &[3, 32],
        &[128],
        &[4, 32, 1],
        &[usize::MAX, 32],
        &[4, 0],
        &[],
    ] {
        let error = load(shape, &data).unwrap_err();
        assert!(error.contains("the tensor 'w'"), "{error}");
    }
    let parts = [
        view(QuantFormat::Q8_0, 4, 32, &data),
        view(QuantFormat::Q8_0, 2, 64, &data),
    ];
    assert!(Matrix::load(&compute, &parts).is_err());
}

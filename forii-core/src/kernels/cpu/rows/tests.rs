//! Norms and activations against double precision, on each kind of instructions.

use super::*;
use crate::kernels::cpu::simd::Level;

fn numbers(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * 7919 % 4001) as f32 - 2000.0) / 150.0)
        .collect()
}

fn largest_difference(expected: impl Iterator<Item = f64>, got: &[f32]) -> f64 {
    let mut got = got.iter();
    let difference = |e: f64| {
        let got = f64::from(*got.next().unwrap());
        (e - got).abs() / e.abs().max(1.0)
    };
    let largest = expected.map(difference).fold(0.0, f64::max);
    assert!(got.next().is_none());
    largest
}

#[test]
fn rms_norm_agrees_with_the_definition_and_rows_stand_alone() {
    for (_, level) in Level::available() {
        for (rows, len) in [(1, 576), (3, 896), (5, 8), (2, 100), (300, 576), (1, 1)] {
            let x = numbers(rows * len);
            let weight = numbers(len);
            let run = |threads: usize, x: &[f32]| {
                let mut out = vec![0.0; x.len()];
                let cpu = Cpu::with_level(threads, level);
                for_each_row(
                    &cpu,
                    RmsNorm {
                        weight: &weight,
                        eps: 1e-5,
                    },
                    (x, len),
                    (&mut out, len),
                );
                out
            };
            let got = run(2, &x);
            let expected = x.chunks(len).flat_map(|row| {
                let mean = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / len as f64;
                let factor = 1.0 / (mean + 1e-5).sqrt();
                row.iter()
                    .zip(&weight)
                    .map(move |(x, w)| f64::from(*x) * factor * f64::from(*w))
            });
            let difference = largest_difference(expected, &got);
            assert!(difference < 1e-6, "{level:?} {rows} × {len}: {difference}");
            for (row, got) in x.chunks(len).zip(got.chunks(len)) {
                assert_eq!(run(1, row), got);
            }
        }
    }
}

#[test]
fn activations_agree_with_their_definitions() {
    let silu = |x: f64| x / (1.0 + (-x).exp());
    let gelu = |x: f64| {
        let y = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
        0.5 * x * (1.0 + y.tanh())
    };
    for (_, level) in Level::available() {
        for (rows, len) in [(1, 1536), (3, 20), (40, 1536)] {
            let x = numbers(rows * 2 * len);
            for act in [Activation::Silu, Activation::GeluTanh] {
                let run = |threads: usize| {
                    let mut out = vec![0.0; rows * len];
                    let cpu = Cpu::with_level(threads, level);
                    for_each_row(&cpu, Gated(act), (&x, 2 * len), (&mut out, len));
                    out
                };
                let got = run(2);
                assert_eq!(run(1), got);
                let expected = x.chunks(2 * len).flat_map(|row| {
                    let (gate, up) = row.split_at(len);
                    let active = |g: f32| match act {
                        Activation::Silu => silu(g.into()),
                        Activation::GeluTanh => gelu(g.into()),
                    };
                    gate.iter().zip(up).map(move |(g, u)| active(*g) * f64::from(*u))
                });
                let difference = largest_difference(expected, &got);
                assert!(
                    difference < 2e-6,
                    "{level:?} {act:?} {rows} × {len}: {difference}"
                );
            }
        }
    }
}

#[test]
fn activations_of_extreme_gates_are_finite() {
    for (_, level) in Level::available() {
        let x = [
            -1e30, -500.0, -90.0, 90.0, 500.0, 1e10, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0,
        ];
        for act in [Activation::Silu, Activation::GeluTanh] {
            let mut out = [0.0; 6];
            for_each_row(&Cpu::with_level(1, level), Gated(act), (&x, 12), (&mut out, 6));
            assert_eq!(&out[3..], &x[3..6], "{level:?} {act:?}");
            assert!(
                out[..3].iter().all(|x| x.abs() < 1e-30),
                "{level:?} {act:?} {out:?}"
            );
        }
    }
}

//! Kernels on the rows of a matrix, each row by itself: RMS norm and gated activation.

use super::lanes::{Kernel, LANES, Lanes, dispatch};
use crate::checkpoint::config::Activation;
use crate::kernels::cpu::Cpu;

/// Numbers read and written below which waking another thread takes longer than the work.
const WORTH_A_THREAD: usize = 256 * 1024;

/// A function from one row to another.
pub(in crate::kernels::cpu) trait RowKernel: Copy + Sync {
    /// Fills `out` from `x`. Must be `#[inline(always)]`.
    fn row<L: Lanes>(self, lanes: L, x: &[f32], out: &mut [f32]);
}

/// RMS norm of a row.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels::cpu) struct RmsNorm<'a> {
    pub(in crate::kernels::cpu) weight: &'a [f32],
    pub(in crate::kernels::cpu) eps: f32,
}

impl RowKernel for RmsNorm<'_> {
    #[inline(always)]
    fn row<L: Lanes>(self, l: L, x: &[f32], out: &mut [f32]) {
        let factor = l.splat(rms_factor(l, x, self.eps));
        let blocks = x
            .chunks(LANES)
            .zip(self.weight.chunks(LANES))
            .zip(out.chunks_mut(LANES));
        for ((x, w), out) in blocks {
            l.store_part(l.mul(l.mul(l.load_part(x), factor), l.load_part(w)), out);
        }
    }
}

/// `1 / sqrt(mean(x²) + eps)`. The sum runs in four vectors, always in the same order.
#[inline(always)]
pub(super) fn rms_factor<L: Lanes>(l: L, x: &[f32], eps: f32) -> f32 {
    let mut sums = [l.splat(0.0); 4];
    let (fours, rest) = x.as_chunks::<{ 4 * LANES }>();
    for four in fours {
        for (sum, x) in sums.iter_mut().zip(four.as_chunks().0) {
            let x = l.load(x);
            *sum = l.fma(x, x, *sum);
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest.chunks(LANES)) {
        let x = l.load_part(x);
        *sum = l.fma(x, x, *sum);
    }
    let sum = l.sum(l.add(l.add(sums[0], sums[2]), l.add(sums[1], sums[3])));
    1.0 / (sum / x.len() as f32 + eps).sqrt()
}

/// The first half of a row through an activation, times the second half.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels::cpu) struct Gated(pub(in crate::kernels::cpu) Activation);

impl RowKernel for Gated {
    #[inline(always)]
    fn row<L: Lanes>(self, l: L, x: &[f32], out: &mut [f32]) {
        let (gate, up) = x.split_at(out.len());
        for ((gate, up), out) in gate
            .chunks(LANES)
            .zip(up.chunks(LANES))
            .zip(out.chunks_mut(LANES))
        {
            let g = l.load_part(gate);
            let active = match self.0 {
                Activation::Silu => l.mul_sigmoid(g, g),
                // 0.5 · g · (1 + tanh y) = g · sigmoid(2y), y = sqrt(2/π) · (g + 0.044715 · g³)
                Activation::GeluTanh => {
                    let cubic = l.fma(l.mul(g, g), l.splat(0.071_354_814), l.splat(1.595_769));
                    l.mul_sigmoid(g, l.mul(g, cubic))
                }
            };
            l.store_part(l.mul(active, l.load_part(up)), out);
        }
    }
}

struct Rows<'a, K> {
    kernel: K,
    x: &'a [f32],
    x_len: usize,
    out: &'a mut [f32],
    out_len: usize,
}

impl<K: RowKernel> Kernel for Rows<'_, K> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        for (x, out) in self
            .x
            .chunks_exact(self.x_len)
            .zip(self.out.chunks_exact_mut(self.out_len))
        {
            self.kernel.row(lanes, x, out);
        }
    }
}

/// Runs a kernel on each row of `x`, rows shared out among the threads where that pays.
pub(in crate::kernels::cpu) fn for_each_row(
    cpu: &Cpu,
    kernel: impl RowKernel,
    (x, x_len): (&[f32], usize),
    (out, out_len): (&mut [f32], usize),
) {
    if x_len == 0 || out_len == 0 {
        return;
    }
    let level = cpu.level;
    let rows = x.len() / x_len;
    let threads = cpu.pool().threads();
    if threads == 1 || rows == 1 || x.len() + out.len() < WORTH_A_THREAD {
        dispatch(
            level,
            Rows {
                kernel,
                x,
                x_len,
                out,
                out_len,
            },
        );
        return;
    }
    let share = rows.div_ceil(threads);
    cpu.pool().run_chunks(out, share * out_len, &|i, out| {
        let x = &x[i * share * x_len..][..out.len() / out_len * x_len];
        dispatch(
            level,
            Rows {
                kernel,
                x,
                x_len,
                out,
                out_len,
            },
        );
    });
}

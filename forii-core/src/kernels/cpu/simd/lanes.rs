//! Sixteen lanes of f32, the vocabulary in which attention, norms and activations are written once
//! for all instruction sets.

use half::f16;

#[cfg(target_arch = "x86_64")]
use super::Isa;
use super::Level;
use super::scalar::Scalar;

/// Lanes in one vector.
pub(in crate::kernels::cpu) const LANES: usize = 16;

/// Where `e^x` comes close to the smallest normal number.
const LOWEST: f32 = -87.3;

/// Instructions on vectors of sixteen f32; a value is the proof that the processor has them. Every method is one operation per lane, rounded once,
/// so that a kernel's result does not depend on how its rows are tiled.
pub(in crate::kernels::cpu) trait Lanes: Copy {
    /// Sixteen f32.
    type V: Copy;
    /// Whether there are registers for sixteen such vectors and their operands.
    const WIDE: bool;

    fn splat(self, x: f32) -> Self::V;
    fn load(self, x: &[f32; LANES]) -> Self::V;
    fn store(self, v: Self::V, to: &mut [f32; LANES]);
    fn load_f16(self, x: &[f16; LANES]) -> Self::V;
    /// Rounds to nearest, ties to even.
    fn store_f16(self, v: Self::V, to: &mut [f16; LANES]);

    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`, in one rounding where the processor can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `b` where either is not a number.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` where either is not a number.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane `i` of `v` for `from <= i < to`, minus infinity elsewhere.
    fn only(self, v: Self::V, from: usize, to: usize) -> Self::V;
    /// `v` where `x >= limit` (or `x` is not a number), zero elsewhere.
    fn zero_below(self, v: Self::V, x: Self::V, limit: f32) -> Self::V;
    /// `v · 2^n` for small integers `n`, given as `n + 1.5 · 2^23`.
    fn scale_pow2(self, v: Self::V, n: Self::V) -> Self::V;
    /// The sum of all lanes, halves folded together until one is left.
    fn sum(self, v: Self::V) -> f32;
    /// The largest lane.
    fn largest(self, v: Self::V) -> f32;

    /// `e^x`, relative error about 1e-7; exactly zero below -87.3 and for minus infinity, and
    /// capped at `e^88`.
    ///
    /// The reduction and the polynomial are those of Cephes' `expf`.
    // The constant's bits are exact: its product with a small integer has no rounding error.
    #[allow(clippy::excessive_precision)]
    #[inline(always)]
    fn exp(self, x: Self::V) -> Self::V {
        // Adding it leaves the nearest integer in the low bits of the mantissa.
        const ROUND: f32 = 12_582_912.0;
        let bounded = self.min(self.splat(88.0), self.max(self.splat(LOWEST), x));
        let shifted = self.fma(bounded, self.splat(std::f32::consts::LOG2_E), self.splat(ROUND));
        let n = self.sub(shifted, self.splat(ROUND));
        let r = self.fma(n, self.splat(-355.0 / 512.0), bounded);
        let r = self.fma(n, self.splat(2.121_944_4e-4), r);
        let mut p = self.splat(1.987_569_1e-4);
        for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
            p = self.fma(p, r, self.splat(c));
        }
        let p = self.add(self.fma(p, self.mul(r, r), r), self.splat(1.0));
        self.zero_below(self.scale_pow2(p, shifted), x, LOWEST)
    }

    /// `x / (1 + e^(-y))`; zero where `y` is below -87.3.
    #[inline(always)]
    fn mul_sigmoid(self, x: Self::V, y: Self::V) -> Self::V {
        let e = self.exp(self.sub(self.splat(0.0), y));
        self.zero_below(self.div(x, self.add(self.splat(1.0), e)), y, LOWEST)
    }

    /// `tanh x`, absolute error about 1e-7.
    #[inline(always)]
    fn tanh(self, x: Self::V) -> Self::V {
        let e = self.exp(self.add(x, x));
        let one = self.splat(1.0);
        self.sub(one, self.div(self.splat(2.0), self.add(e, one)))
    }

    /// Up to sixteen numbers, zeros behind them.
    #[inline(always)]
    fn load_part(self, x: &[f32]) -> Self::V {
        match x.first_chunk() {
            Some(full) => self.load(full),
            None => {
                let mut part = [0.0; LANES];
                part[..x.len()].copy_from_slice(x);
                self.load(&part)
            }
        }
    }

    /// Up to sixteen numbers, zeros behind them.
    #[inline(always)]
    fn load_part_f16(self, x: &[f16]) -> Self::V {
        match x.first_chunk() {
            Some(full) => self.load_f16(full),
            None => {
                let mut part = [f16::ZERO; LANES];
                part[..x.len()].copy_from_slice(x);
                self.load_f16(&part)
            }
        }
    }

    /// The first `to.len()` lanes, at most sixteen.
    #[inline(always)]
    fn store_part(self, v: Self::V, to: &mut [f32]) {
        match to.first_chunk_mut() {
            Some(full) => self.store(v, full),
            None => {
                let mut part = [0.0; LANES];
                self.store(v, &mut part);
                to.copy_from_slice(&part[..to.len()]);
            }
        }
    }
}

/// A computation written for any [`Lanes`]. `run` must be `#[inline(always)]`, and so must be all
/// that it calls with vectors: only then is it compiled with the instructions of its lanes.
pub(in crate::kernels::cpu) trait Kernel {
    /// Computes with these lanes.
    fn run<L: Lanes>(self, lanes: L);
}

/// Runs a kernel with the instructions of a level.
pub(in crate::kernels::cpu) fn dispatch(level: Level, kernel: impl Kernel) {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(isa) => isa.vectorize(
            #[inline(always)]
            || kernel.run(isa),
        ),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(isa) => isa.vectorize(
            #[inline(always)]
            || kernel.run(isa),
        ),
        // What the compiler makes of plain arrays is good on 64-bit ARM, whose vectors are no option.
        _ => kernel.run(Scalar),
    }
}

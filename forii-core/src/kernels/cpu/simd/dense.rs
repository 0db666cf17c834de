//! F32, F16 and BF16 weights: sixteen rows interleaved column by column, float activations.

use super::Isa;
use super::format::BLOCK;
use crate::quant::QuantFormat;

/// How one column of a tile lies in memory.
pub(in crate::kernels::cpu) trait Dense: 'static {
    /// Sixteen weights.
    type Column: bytemuck::Pod;

    fn weights<I: Isa>(isa: I, column: &Self::Column, part: usize) -> I::Floats;
}

pub(in crate::kernels::cpu) struct F32;
pub(in crate::kernels::cpu) struct F16;
pub(in crate::kernels::cpu) struct BF16;

impl Dense for F32 {
    type Column = [u8; 64];

    #[inline(always)]
    fn weights<I: Isa>(isa: I, column: &[u8; 64], part: usize) -> I::Floats {
        isa.singles(column, part)
    }
}

impl Dense for F16 {
    type Column = [u8; 32];

    #[inline(always)]
    fn weights<I: Isa>(isa: I, column: &[u8; 32], part: usize) -> I::Floats {
        isa.halves(column, part)
    }
}

impl Dense for BF16 {
    type Column = [u8; 32];

    #[inline(always)]
    fn weights<I: Isa>(isa: I, column: &[u8; 32], part: usize) -> I::Floats {
        isa.bfloats(column, part)
    }
}

/// One tile times `N` columns: `x` holds one value a column for each place in a row. Sums are taken
/// over 32 places each and then together, which is more precise than one long chain and lets
/// their additions overlap.
#[inline(always)]
pub(super) fn tile<I: Isa, F: Dense, const N: usize>(
    isa: I,
    tile: &[u8],
    x: &[[f32; N]],
    sums: &mut [[f32; 16]; N],
) {
    let tile: &[F::Column] = bytemuck::cast_slice(tile);
    for part in 0..16 / I::LANES {
        let mut acc = [isa.splat(0.0); N];
        for (columns, x) in tile.chunks(BLOCK).zip(x.chunks(BLOCK)) {
            let mut sum = [isa.splat(0.0); N];
            for (column, x) in columns.iter().zip(x) {
                if part == 0 {
                    isa.prefetch(column, super::kernel::AHEAD);
                }
                let weights = F::weights(isa, column, part);
                for c in 0..N {
                    sum[c] = isa.fma(weights, isa.splat(x[c]), sum[c]);
                }
            }
            for c in 0..N {
                acc[c] = isa.add(acc[c], sum[c]);
            }
        }
        for (sums, acc) in sums.iter_mut().zip(acc) {
            isa.store(acc, sums, part);
        }
    }
}

/// Row `lane` of a tile.
pub(super) fn row(format: QuantFormat, tile: &[u8], lane: usize, out: &mut [f32]) {
    let isa = super::scalar::Scalar;
    match format {
        QuantFormat::F32 => read::<F32>(isa, tile, lane, out),
        QuantFormat::F16 => read::<F16>(isa, tile, lane, out),
        QuantFormat::BF16 => read::<BF16>(isa, tile, lane, out),
        other => unreachable!("{other} is no dense format"),
    }
}

fn read<F: Dense>(isa: super::scalar::Scalar, tile: &[u8], lane: usize, out: &mut [f32]) {
    let tile: &[F::Column] = bytemuck::cast_slice(tile);
    for (out, column) in out.iter_mut().zip(tile) {
        *out = F::weights(isa, column, lane);
    }
}

//! Activations as signed bytes, a scale for each 32 of them.

use super::format::BLOCK;
use super::{Isa, Level};

/// One block of 32 activations of one column: `scale · codes`. One cache line.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::kernels::cpu) struct Activations {
    /// Signed bytes in `-127..=127`, four in a word, the first one lowest.
    pub(super) codes: [i32; 8],
    pub(super) scale: f32,
    /// `scale` times the sum of the codes: of all, of the first and of the second half.
    pub(super) sums: [f32; 3],
    /// Minus the sum of the codes: of all, of the first and of the second half.
    pub(super) negated: [i32; 3],
    _pad: i32,
}

/// Quantizes columns of activations: `x` holds `len` floats for each of at most `width` columns, and
/// `out` the records of a panel, `width` for each block. Columns that `x` lacks are left alone.
pub(in crate::kernels::cpu) fn quantize(
    level: Level,
    x: &[f32],
    len: usize,
    width: usize,
    out: &mut [Activations],
) {
    with_level!(level, isa => isa.vectorize(
        #[inline(always)]
        || {
        for (column, x) in x.chunks_exact(len).enumerate() {
            let records = out[column..].iter_mut().step_by(width);
            for (x, record) in x.as_chunks::<BLOCK>().0.iter().zip(records) {
                *record = quantize_block(x);
            }
        }
    }))
}

#[inline(always)]
fn quantize_block(x: &[f32; BLOCK]) -> Activations {
    // The largest magnitude, found by bits so that a NaN counts as large and reaches the scale.
    let largest = x
        .iter()
        .fold(0, |largest, x| largest.max((x.to_bits() & 0x7fff_ffff) as i32));
    let largest = f32::from_bits(largest as u32);
    let inverse = 127.0 / largest;
    // All zeros, too small to divide by, or not finite (then the scale says so).
    let inverse = if inverse.is_finite() { inverse } else { 0.0 };
    // Adding 1.5 · 2²³ rounds to the nearest integer, which the low bits then hold.
    let code = |x: f32| (x * inverse + 12_582_912.0).to_bits() as i8;
    let mut bytes = [0; BLOCK];
    for (byte, x) in bytes.iter_mut().zip(x) {
        *byte = code(*x);
    }
    let sum = |bytes: &[i8]| bytes.iter().map(|b| i32::from(*b)).sum::<i32>();
    let (first, second) = (sum(&bytes[..BLOCK / 2]), sum(&bytes[BLOCK / 2..]));
    let sums = [first + second, first, second];
    let scale = largest / 127.0;
    let bytes = bytes.map(|b| b as u8);
    Activations {
        codes: std::array::from_fn(|g| {
            i32::from_le_bytes([bytes[4 * g], bytes[4 * g + 1], bytes[4 * g + 2], bytes[4 * g + 3]])
        }),
        scale,
        sums: sums.map(|sum| scale * sum as f32),
        negated: sums.map(|sum| -sum),
        _pad: 0,
    }
}

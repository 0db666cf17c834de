//! Activations as signed bytes, a scale for each 32 of them.

use super::format::BLOCK;
use super::{Isa, Level};

/// One block of 32 activations of one column: `scale · codes`. One cache line.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::kernels::cpu) struct Activations {
    /// Signed bytes in `-127..=127`, four in a word, the first one lowest.
    pub(super) codes: [i32; 8],
    /// The scale, and the scale times the sum of the codes: of all, of the first half and of the
    /// second one.
    pub(super) scales: [f32; 4],
    /// Minus the sum of the codes: of all, of the first half, of the second one and of that again.
    pub(super) negated: [i32; 4],
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
                    isa.quantize(x, record);
                }
            }
        }
    ))
}

/// The scale of a block and its inverse, from the bits of the largest magnitude. Looking for the
/// largest bits lets a NaN count as large, so that it reaches the scale and the results.
#[inline(always)]
pub(super) fn scale(largest: i32) -> (f32, f32) {
    let largest = f32::from_bits(largest as u32);
    let inverse = 127.0 / largest;
    // All zeros, too small to divide by, or not finite (then the scale says so).
    (largest / 127.0, if inverse.is_finite() { inverse } else { 0.0 })
}

/// One block in plain Rust.
#[inline(always)]
pub(super) fn plain(x: &[f32; BLOCK], out: &mut Activations) {
    let largest = x
        .iter()
        .fold(0, |largest, x| largest.max((x.to_bits() & 0x7fff_ffff) as i32));
    let (scale, inverse) = scale(largest);
    let mut bytes = [0; BLOCK];
    for (byte, x) in bytes.iter_mut().zip(x) {
        // Adding 1.5 · 2²³ rounds to the nearest integer, which the low bits then hold.
        *byte = (x * inverse + 12_582_912.0).to_bits() as i8;
    }
    let sum = |bytes: &[i8]| bytes.iter().map(|b| i32::from(*b)).sum::<i32>();
    let (first, second) = (sum(&bytes[..BLOCK / 2]), sum(&bytes[BLOCK / 2..]));
    let all = first + second;
    for (word, bytes) in out.codes.iter_mut().zip(bytes.map(|b| b as u8).as_chunks().0) {
        *word = i32::from_le_bytes(*bytes);
    }
    out.scales = [
        scale,
        scale * all as f32,
        scale * first as f32,
        scale * second as f32,
    ];
    out.negated = [-all, -first, -second, -second];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_quantizes_to_the_same_bits() {
        let mut blocks: Vec<[f32; BLOCK]> = (0..500)
            .map(|b| std::array::from_fn(|i| ((b * 37 + i * i) as f32 * 0.7).sin() * (b as f32 - 100.0)))
            .collect();
        // Ties, extremes of range, signed zeros.
        blocks.push(std::array::from_fn(|i| i as f32 * 4.0 - 63.5));
        blocks.push([f32::MAX; BLOCK]);
        blocks.push(std::array::from_fn(|i| {
            if i % 2 == 0 { f32::MIN } else { f32::MAX / 3.0 }
        }));
        blocks.push([1e-40; BLOCK]);
        blocks.push([-0.0; BLOCK]);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut block = [1.0; BLOCK];
            block[20] = bad;
            blocks.push(block);
        }
        for (name, level) in Level::available() {
            for x in &blocks {
                let (mut expected, mut found) = ([Activations::default()], [Activations::default()]);
                plain(x, &mut expected[0]);
                quantize(level, x, BLOCK, 1, &mut found);
                let bits = |a: &Activations| (a.codes, a.scales.map(f32::to_bits), a.negated);
                if x.iter().any(|x| x.is_nan()) {
                    assert!(found[0].scales[0].is_nan(), "{name} {x:?}");
                } else {
                    assert_eq!(bits(&expected[0]), bits(&found[0]), "{name} {x:?}");
                }
            }
        }
    }
}

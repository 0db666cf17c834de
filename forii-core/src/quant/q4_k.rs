//! Q4_K: f16 `d` and `dmin`, 12 bytes of 6-bit scales and minimums, 128 bytes of 4-bit codes.
//! A weight of sub-block `s` (32 weights) is `d·scale[s] · code − dmin·min[s]`.

pub(crate) const BYTES: usize = 144;

/// Where `d` and `dmin` lie (in Q5_K too).
pub(crate) const D: usize = 0;
pub(crate) const DMIN: usize = 2;

pub(crate) fn codes(block: &[u8; BYTES]) -> [u8; 256] {
    pairs_of_runs(&block[16..])
}

/// 128 bytes as 256 codes of 4 bits: 32 bytes hold a run of 32 codes low and the next one high.
#[inline]
pub(super) fn pairs_of_runs(bytes: &[u8]) -> [u8; 256] {
    let mut codes = [0; 256];
    for (bytes, codes) in bytes.chunks_exact(32).zip(codes.chunks_exact_mut(64)) {
        for (i, byte) in bytes.iter().enumerate() {
            codes[i] = byte & 15;
            codes[i + 32] = byte >> 4;
        }
    }
    codes
}

/// Scales and minimums of the 8 sub-blocks. The first four have their six bits in bytes 0 to 3 and
/// 4 to 7; the others four low bits in bytes 8 to 11 and two high bits atop the first ones.
pub(crate) fn scales(block: &[u8]) -> ([u8; 8], [u8; 8]) {
    let packed = &block[4..16];
    let six = |first: usize, s: usize, low: u8| {
        if s < 4 {
            packed[first + s] & 63
        } else {
            low | packed[first + s - 4] >> 6 << 4
        }
    };
    (
        std::array::from_fn(|s| six(0, s, packed[8 + s % 4] & 15)),
        std::array::from_fn(|s| six(4, s, packed[8 + s % 4] >> 4)),
    )
}

pub(super) fn dequantize(block: &[u8; BYTES], out: &mut [f32; 256]) {
    dequantize_codes(block, &codes(block), out);
}

/// What Q4_K and Q5_K share: the head of the block, and how scales apply to codes.
pub(super) fn dequantize_codes(block: &[u8], codes: &[u8; 256], out: &mut [f32; 256]) {
    let (d, dmin) = (super::half_at(block, D), super::half_at(block, DMIN));
    let (scales, mins) = scales(block);
    for (s, (out, codes)) in out.chunks_exact_mut(32).zip(codes.chunks_exact(32)).enumerate() {
        super::with_min(d * f32::from(scales[s]), -(dmin * f32::from(mins[s])), codes, out);
    }
}

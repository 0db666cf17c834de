//! Q2_K: 16 bytes of 4-bit scale (low) and minimum (high), 64 bytes of 2-bit codes, f16 `d` and
//! `dmin`. A weight of sub-block `s` (16 weights) is `d·scale[s] · code − dmin·min[s]`.

pub(crate) const BYTES: usize = 84;

/// Where the sixteen bytes of scales and minimums, `d` and `dmin` lie.
pub(crate) const SCALES: usize = 0;
pub(crate) const D: usize = 80;
pub(crate) const DMIN: usize = 82;

pub(crate) fn codes(block: &[u8; BYTES]) -> [u8; 256] {
    two_bits(&block[16..80])
}

/// 64 bytes as 256 codes of 2 bits: each half of 32 bytes holds four runs of 32 codes.
#[inline]
pub(super) fn two_bits(bytes: &[u8]) -> [u8; 256] {
    let mut codes = [0; 256];
    for (half, codes) in bytes.chunks_exact(32).zip(codes.chunks_exact_mut(128)) {
        for (run, codes) in codes.chunks_exact_mut(32).enumerate() {
            for (code, byte) in codes.iter_mut().zip(half) {
                *code = byte >> (2 * run) & 3;
            }
        }
    }
    codes
}

pub(super) fn dequantize(block: &[u8; BYTES], out: &mut [f32; 256]) {
    let (d, dmin) = (super::half_at(block, D), super::half_at(block, DMIN));
    let codes = codes(block);
    for (s, (out, codes)) in out.chunks_exact_mut(16).zip(codes.chunks_exact(16)).enumerate() {
        let scale = d * f32::from(block[SCALES + s] & 15);
        let min = dmin * f32::from(block[SCALES + s] >> 4);
        super::with_min(scale, -min, codes, out);
    }
}

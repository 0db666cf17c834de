//! Q4_1: f16 scale, f16 minimum, 16 bytes of 4-bit codes; a weight is `d · code + min`.

pub(crate) const BYTES: usize = 20;

pub(crate) fn codes(block: &[u8; BYTES]) -> [u8; 32] {
    super::nibbles(&block[4..])
}

pub(super) fn dequantize(block: &[u8; BYTES], out: &mut [f32; 32]) {
    super::with_min(
        super::half_at(block, 0),
        super::half_at(block, 2),
        &codes(block),
        out,
    );
}

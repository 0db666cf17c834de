//! Q4_0: f16 scale, 16 bytes of 4-bit codes; a weight is `d · (code − 8)`.

pub(crate) const BYTES: usize = 18;

pub(crate) fn codes(block: &[u8; BYTES]) -> [u8; 32] {
    super::nibbles(&block[2..])
}

pub(super) fn dequantize(block: &[u8; BYTES], out: &mut [f32; 32]) {
    super::centred(super::half_at(block, 0), 8, &codes(block), out);
}

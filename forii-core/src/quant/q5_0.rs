//! Q5_0: f16 scale, 32 fifth bits, 16 bytes of low bits; a weight is `d · (code − 16)`.

pub(crate) const BYTES: usize = 22;

pub(crate) fn codes(block: &[u8; BYTES]) -> [u8; 32] {
    super::five_bits(&block[6..], &block[2..])
}

pub(super) fn dequantize(block: &[u8; BYTES], out: &mut [f32; 32]) {
    super::centred(super::half_at(block, 0), 16, &codes(block), out);
}

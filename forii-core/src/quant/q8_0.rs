//! Q8_0: f16 scale, 32 signed bytes; a weight is `d · byte`. As an unsigned code the byte is
//! offset by 128.

pub(crate) const BYTES: usize = 34;

pub(crate) fn codes(block: &[u8; BYTES]) -> [u8; 32] {
    std::array::from_fn(|i| block[2 + i] ^ 0x80)
}

pub(super) fn dequantize(block: &[u8; BYTES], out: &mut [f32; 32]) {
    super::centred(super::half_at(block, 0), 128, &codes(block), out);
}

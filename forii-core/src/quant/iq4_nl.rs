//! IQ4_NL: f16 scale, 16 bytes of 4-bit indices into a fixed table; a weight is `d · TABLE[code]`.

pub(crate) const BYTES: usize = 18;

/// The values, denser around zero. A constant of the format.
pub(crate) const TABLE: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

pub(crate) fn codes(block: &[u8; BYTES]) -> [u8; 32] {
    super::nibbles(&block[2..])
}

pub(super) fn dequantize(block: &[u8; BYTES], out: &mut [f32; 32]) {
    let d = super::half_at(block, 0);
    for (out, code) in out.iter_mut().zip(codes(block)) {
        *out = d * f32::from(TABLE[usize::from(code)]);
    }
}

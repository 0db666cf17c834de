//! Q3_K: 32 bytes of third bits, 64 bytes of 2-bit codes, 12 bytes of 6-bit scales, f16 `d`.
//! A weight of sub-block `s` (16 weights) is `d·scale[s] · (code − 4)`.

pub(crate) const BYTES: usize = 110;

/// Where `d` lies.
pub(crate) const D: usize = 108;

pub(crate) fn codes(block: &[u8; BYTES]) -> [u8; 256] {
    let mut codes = super::q2_k::two_bits(&block[32..96]);
    for (run, codes) in codes.chunks_exact_mut(32).enumerate() {
        for (code, high) in codes.iter_mut().zip(&block[..32]) {
            *code |= (high >> run & 1) << 2;
        }
    }
    codes
}

/// The scales of the 16 sub-blocks: 4 low bits in bytes 0 to 7, 2 high bits in bytes 8 to 11,
/// 32 taken off.
pub(crate) fn scales(block: &[u8; BYTES]) -> [i8; 16] {
    let packed = &block[96..108];
    std::array::from_fn(|s| {
        let low = packed[s % 8] >> (4 * (s / 8)) & 15;
        let high = packed[8 + s % 4] >> (2 * (s / 4)) & 3;
        (low | high << 4) as i8 - 32
    })
}

pub(super) fn dequantize(block: &[u8; BYTES], out: &mut [f32; 256]) {
    let d = super::half_at(block, D);
    let (codes, scales) = (codes(block), scales(block));
    for (s, (out, codes)) in out.chunks_exact_mut(16).zip(codes.chunks_exact(16)).enumerate() {
        let scale = d * f32::from(scales[s]);
        for (out, &code) in out.iter_mut().zip(codes) {
            *out = scale * f32::from(code as i8 - 4);
        }
    }
}

//! Q6_K: 128 bytes of 4 low bits, 64 bytes of 2 high bits, 16 signed scales, f16 `d`.
//! A weight of sub-block `s` (16 weights) is `d·scale[s] · (code − 32)`.

pub(crate) const BYTES: usize = 210;

/// Where the signed scales and `d` lie.
pub(crate) const SCALES: usize = 192;
pub(crate) const D: usize = 208;

pub(crate) fn codes(block: &[u8; BYTES]) -> [u8; 256] {
    let mut codes = [0; 256];
    let halves = block[..128]
        .chunks_exact(64)
        .zip(block[128..192].chunks_exact(32));
    for ((low, high), codes) in halves.zip(codes.chunks_exact_mut(128)) {
        for i in 0..32 {
            codes[i] = low[i] & 15 | (high[i] & 3) << 4;
            codes[i + 32] = low[i + 32] & 15 | (high[i] >> 2 & 3) << 4;
            codes[i + 64] = low[i] >> 4 | (high[i] >> 4 & 3) << 4;
            codes[i + 96] = low[i + 32] >> 4 | (high[i] >> 6) << 4;
        }
    }
    codes
}

pub(super) fn dequantize(block: &[u8; BYTES], out: &mut [f32; 256]) {
    let d = super::half_at(block, D);
    let codes = codes(block);
    for (s, (out, codes)) in out.chunks_exact_mut(16).zip(codes.chunks_exact(16)).enumerate() {
        let scale = d * f32::from(block[SCALES + s] as i8);
        for (out, &code) in out.iter_mut().zip(codes) {
            *out = scale * f32::from(code as i8 - 32);
        }
    }
}

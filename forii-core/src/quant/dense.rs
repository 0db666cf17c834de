//! F32, F16 and BF16: blocks of one weight.

pub(super) fn f32(block: &[u8; 4], out: &mut [f32; 1]) {
    out[0] = f32::from_le_bytes(*block);
}

pub(super) fn f16(block: &[u8; 2], out: &mut [f32; 1]) {
    out[0] = half::f16::from_le_bytes(*block).to_f32();
}

pub(super) fn bf16(block: &[u8; 2], out: &mut [f32; 1]) {
    // By shifting, not `to_f32`: ggml keeps a signalling NaN as it is.
    out[0] = f32::from_bits(u32::from(u16::from_le_bytes(*block)) << 16);
}

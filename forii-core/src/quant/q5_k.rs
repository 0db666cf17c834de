//! Q5_K: the head of a Q4_K block, 32 bytes of fifth bits, 128 bytes of low bits.
//! A weight of sub-block `s` (32 weights) is `d·scale[s] · code − dmin·min[s]`.

pub(crate) const BYTES: usize = 176;

pub(crate) fn codes(block: &[u8; BYTES]) -> [u8; 256] {
    let mut codes = super::q4_k::pairs_of_runs(&block[48..]);
    for (run, codes) in codes.chunks_exact_mut(32).enumerate() {
        for (code, high) in codes.iter_mut().zip(&block[16..48]) {
            *code |= (high >> run & 1) << 4;
        }
    }
    codes
}

pub(super) fn dequantize(block: &[u8; BYTES], out: &mut [f32; 256]) {
    super::q4_k::dequantize_codes(block, &codes(block), out);
}

//! Advanced SIMD of 64-bit ARM: four rows in one vector, four vectors for a tile. Only what every
//! such processor has, so there is nothing to detect.

use std::arch::aarch64::*;

use super::{Isa, share};

/// Every 64-bit ARM has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels) struct Neon;

macro_rules! operations {
    ($(fn $name:ident($self:ident $(, $arg:ident: $type:ty)*) -> $result:ty $body:block)*) => {$(
        #[inline(always)]
        fn $name($self $(, $arg: $type)*) -> $result {
            // SAFETY: these instructions are part of the architecture, and pointers come from
            // references to as many bytes as are read or written. (Most are safe functions by now.)
            #[allow(unused_unsafe)]
            unsafe {
                $body
            }
        }
    )*};
}

impl Isa for Neon {
    const LANES: usize = 4;
    type Codes = uint8x16_t;
    type Ints = int32x4_t;
    type Floats = float32x4_t;

    operations! {
        fn codes(self, from: &[u8; 64], part: usize) -> uint8x16_t { vld1q_u8(share::<16>(from, part).as_ptr()) }
        fn field(self, codes: uint8x16_t, by: i32, mask: u8) -> uint8x16_t {
            vandq_u8(vshlq_u8(codes, vdupq_n_s8(-by as i8)), vdupq_n_u8(mask))
        }
        fn or(self, a: uint8x16_t, b: uint8x16_t) -> uint8x16_t { vorrq_u8(a, b) }
        fn lookup(self, codes: uint8x16_t, table: &[u8; 16]) -> uint8x16_t {
            vqtbl1q_u8(vld1q_u8(table.as_ptr()), codes)
        }
        fn offset(self, negated_sum: i32, offset: u32) -> int32x4_t {
            // The offset of 8-bit codes is taken off in `dot`.
            vdupq_n_s32(if offset == 0 || offset == 7 { 0 } else { negated_sum << offset })
        }
        fn dot(self, sum: int32x4_t, codes: &[uint8x16_t; 4], x: &[i32; 4], bits: u32) -> int32x4_t {
            let mut sum = sum;
            for (codes, x) in codes.iter().zip(x) {
                let codes = if bits == 8 { veorq_u8(*codes, vdupq_n_u8(128)) } else { *codes };
                let (codes, x) = (vreinterpretq_s8_u8(codes), vreinterpretq_s8_s32(vdupq_n_s32(*x)));
                let low = vpaddlq_s16(vmull_s8(vget_low_s8(codes), vget_low_s8(x)));
                let high = vpaddlq_s16(vmull_high_s8(codes, x));
                sum = vaddq_s32(sum, vpaddq_s32(low, high));
            }
            sum
        }
        fn to_floats(self, ints: int32x4_t) -> float32x4_t { vcvtq_f32_s32(ints) }
        fn splat(self, value: f32) -> float32x4_t { vdupq_n_f32(value) }
        fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t { vaddq_f32(a, b) }
        fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t { vmulq_f32(a, b) }
        fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t { vfmaq_f32(c, a, b) }
        fn singles(self, from: &[u8; 64], part: usize) -> float32x4_t {
            vreinterpretq_f32_u8(vld1q_u8(share::<16>(from, part).as_ptr()))
        }
        fn halves(self, from: &[u8; 32], part: usize) -> float32x4_t {
            let halves: &[[u8; 2]] = share::<8>(from, part).as_chunks().0;
            let floats: [f32; 4] = std::array::from_fn(|i| half::f16::from_le_bytes(halves[i]).to_f32());
            vld1q_f32(floats.as_ptr())
        }
        fn bfloats(self, from: &[u8; 32], part: usize) -> float32x4_t {
            let halves = vreinterpret_u16_u8(vld1_u8(share::<8>(from, part).as_ptr()));
            vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(halves)))
        }
        fn unsigned(self, from: &[u8; 16], part: usize) -> float32x4_t {
            let four: &[u8; 4] = share(from, part);
            vld1q_f32(four.map(f32::from).as_ptr())
        }
        fn signed(self, from: &[u8; 16], part: usize) -> float32x4_t {
            let four: &[u8; 4] = share(from, part);
            vld1q_f32(four.map(|byte| f32::from(byte as i8)).as_ptr())
        }
        fn store(self, floats: float32x4_t, to: &mut [f32; 16], part: usize) -> () {
            vst1q_f32(to.as_chunks_mut::<4>().0[part].as_mut_ptr(), floats)
        }
    }

    #[inline(always)]
    fn prefetch<T>(self, _near: &T, _ahead: usize) {}

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
}

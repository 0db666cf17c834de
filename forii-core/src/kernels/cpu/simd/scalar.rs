//! Plain Rust, one row at a time: the path of processors without the others, and the reference that
//! these are tested against.

use super::{Isa, share};

/// One lane: a 32-bit word of four codes, one `i32`, one `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels::cpu) struct Scalar;

impl Isa for Scalar {
    const LANES: usize = 1;
    type Codes = u32;
    type Ints = i32;
    type Floats = f32;

    #[inline(always)]
    fn codes(self, from: &[u8; 64], part: usize) -> u32 {
        u32::from_le_bytes(*share(from, part))
    }

    #[inline(always)]
    fn field(self, codes: u32, shift: i32, mask: u8) -> u32 {
        let shifted = if shift < 0 {
            codes << -shift
        } else {
            codes >> shift
        };
        shifted & (u32::from(mask) * 0x0101_0101)
    }

    #[inline(always)]
    fn or(self, a: u32, b: u32) -> u32 {
        a | b
    }

    #[inline(always)]
    fn lookup(self, codes: u32, table: &[u8; 16]) -> u32 {
        u32::from_le_bytes(codes.to_le_bytes().map(|code| table[usize::from(code & 15)]))
    }

    #[inline(always)]
    fn offset(self, negated_sum: i32, offset: u32) -> i32 {
        if offset == 0 { 0 } else { negated_sum << offset }
    }

    #[inline(always)]
    fn dot(self, sum: i32, codes: &[u32; 4], x: &[i32; 4], _bits: u32) -> i32 {
        codes.iter().zip(x).fold(sum, |sum, (codes, x)| {
            let pairs = codes.to_le_bytes().into_iter().zip(x.to_le_bytes());
            sum + pairs
                .map(|(code, x)| i32::from(code) * i32::from(x as i8))
                .sum::<i32>()
        })
    }

    #[inline(always)]
    fn to_floats(self, ints: i32) -> f32 {
        ints as f32
    }

    #[inline(always)]
    fn splat(self, value: f32) -> f32 {
        value
    }

    #[inline(always)]
    fn add(self, a: f32, b: f32) -> f32 {
        a + b
    }

    #[inline(always)]
    fn mul(self, a: f32, b: f32) -> f32 {
        a * b
    }

    #[inline(always)]
    fn fma(self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn singles(self, from: &[u8; 64], part: usize) -> f32 {
        f32::from_le_bytes(*share(from, part))
    }

    #[inline(always)]
    fn halves(self, from: &[u8; 32], part: usize) -> f32 {
        half::f16::from_le_bytes(*share(from, part)).to_f32()
    }

    #[inline(always)]
    fn bfloats(self, from: &[u8; 32], part: usize) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(*share(from, part))) << 16)
    }

    #[inline(always)]
    fn unsigned(self, from: &[u8; 16], part: usize) -> f32 {
        f32::from(from[part])
    }

    #[inline(always)]
    fn signed(self, from: &[u8; 16], part: usize) -> f32 {
        f32::from(from[part] as i8)
    }

    #[inline(always)]
    fn store(self, floats: f32, to: &mut [f32; 16], part: usize) {
        to[part] = floats;
    }

    #[inline(always)]
    fn prefetch<T>(self, _near: &T, _ahead: usize) {}

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
}

//! Lanes in AVX-512F: one register each.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use half::f16;

use super::avx512::Avx512;
use super::lanes::{LANES, Lanes};

macro_rules! has {
    ($call:expr) => {
        // SAFETY: an `Avx512` exists only where the processor has the instruction; references to
        // arrays of sixteen numbers are valid for a load or store of the whole vector.
        unsafe { $call }
    };
}

impl Lanes for Avx512 {
    type V = __m512;
    const WIDE: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        has!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> __m512 {
        has!(_mm512_loadu_ps(x.as_ptr()))
    }

    #[inline(always)]
    fn store(self, v: __m512, to: &mut [f32; LANES]) {
        has!(_mm512_storeu_ps(to.as_mut_ptr(), v))
    }

    #[inline(always)]
    fn load_f16(self, x: &[f16; LANES]) -> __m512 {
        has!(_mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast())))
    }

    #[inline(always)]
    fn store_f16(self, v: __m512, to: &mut [f16; LANES]) {
        has!({
            let half = _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), half);
        })
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        has!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        has!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        has!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        has!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        has!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        has!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        has!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn only(self, v: __m512, from: usize, to: usize) -> __m512 {
        // Bits `from..to`, for both up to sixteen.
        let mask = ((1_u32 << to) - 1) & !((1_u32 << from) - 1);
        has!(_mm512_mask_blend_ps(
            mask as u16,
            _mm512_set1_ps(f32::NEG_INFINITY),
            v
        ))
    }

    #[inline(always)]
    fn zero_below(self, v: __m512, x: __m512, limit: f32) -> __m512 {
        has!({
            let keep = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, _mm512_set1_ps(limit));
            _mm512_maskz_mov_ps(keep, v)
        })
    }

    #[inline(always)]
    fn scale_pow2(self, v: __m512, n: __m512) -> __m512 {
        has!({
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(n));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(v), exponent))
        })
    }

    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        has!(_mm512_reduce_add_ps(v))
    }

    #[inline(always)]
    fn largest(self, v: __m512) -> f32 {
        has!(_mm512_reduce_max_ps(v))
    }
}

//! Lanes in AVX2 with FMA and F16C: two registers each.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use half::f16;

use super::avx2::Avx2;
use super::lanes::{LANES, Lanes};

macro_rules! has {
    ($call:expr) => {
        // SAFETY: an `Avx2` exists only where the processor has the instruction; references to
        // arrays of sixteen numbers are valid for a load or store of both halves.
        unsafe { $call }
    };
}

type Pair = [__m256; 2];

impl Lanes for Avx2 {
    type V = Pair;
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> Pair {
        let v = has!(_mm256_set1_ps(x));
        [v, v]
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Pair {
        has!([_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(8))])
    }

    #[inline(always)]
    fn store(self, v: Pair, to: &mut [f32; LANES]) {
        has!({
            _mm256_storeu_ps(to.as_mut_ptr(), v[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), v[1]);
        })
    }

    #[inline(always)]
    fn load_f16(self, x: &[f16; LANES]) -> Pair {
        has!([
            _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().add(8).cast())),
        ])
    }

    #[inline(always)]
    fn store_f16(self, v: Pair, to: &mut [f16; LANES]) {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT;
        has!({
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm256_cvtps_ph::<NEAREST>(v[0]));
            _mm_storeu_si128(to.as_mut_ptr().add(8).cast(), _mm256_cvtps_ph::<NEAREST>(v[1]));
        })
    }

    #[inline(always)]
    fn add(self, a: Pair, b: Pair) -> Pair {
        has!([_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn sub(self, a: Pair, b: Pair) -> Pair {
        has!([_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul(self, a: Pair, b: Pair) -> Pair {
        has!([_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn div(self, a: Pair, b: Pair) -> Pair {
        has!([_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn fma(self, a: Pair, b: Pair, c: Pair) -> Pair {
        has!([
            _mm256_fmadd_ps(a[0], b[0], c[0]),
            _mm256_fmadd_ps(a[1], b[1], c[1])
        ])
    }

    #[inline(always)]
    fn max(self, a: Pair, b: Pair) -> Pair {
        has!([_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn min(self, a: Pair, b: Pair) -> Pair {
        has!([_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn only(self, v: Pair, from: usize, to: usize) -> Pair {
        has!({
            let iota = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let lowest = _mm256_set1_ps(f32::NEG_INFINITY);
            let mut out = v;
            for (i, half) in out.iter_mut().enumerate() {
                let lane = _mm256_add_epi32(iota, _mm256_set1_epi32(8 * i as i32));
                let before = _mm256_cmpgt_epi32(_mm256_set1_epi32(from as i32), lane);
                let inside = _mm256_cmpgt_epi32(_mm256_set1_epi32(to as i32), lane);
                let keep = _mm256_castsi256_ps(_mm256_andnot_si256(before, inside));
                *half = _mm256_blendv_ps(lowest, *half, keep);
            }
            out
        })
    }

    #[inline(always)]
    fn zero_below(self, v: Pair, x: Pair, limit: f32) -> Pair {
        has!({
            let limit = _mm256_set1_ps(limit);
            [
                _mm256_and_ps(v[0], _mm256_cmp_ps::<_CMP_NLT_UQ>(x[0], limit)),
                _mm256_and_ps(v[1], _mm256_cmp_ps::<_CMP_NLT_UQ>(x[1], limit)),
            ]
        })
    }

    #[inline(always)]
    fn scale_pow2(self, v: Pair, n: Pair) -> Pair {
        has!({
            let mut out = v;
            for (half, n) in out.iter_mut().zip(n) {
                let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(n));
                *half = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(*half), exponent));
            }
            out
        })
    }

    #[inline(always)]
    fn sum(self, v: Pair) -> f32 {
        has!({
            let eight = _mm256_add_ps(v[0], v[1]);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    fn largest(self, v: Pair) -> f32 {
        has!({
            let eight = _mm256_max_ps(v[0], v[1]);
            let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        })
    }
}

//! AVX-512 with VNNI: a tile's sixteen rows in one vector.

use std::arch::x86_64::*;

use super::activations::{Activations, scale};
use super::{Isa, avx2};

/// The proof that the processor has all of what `detect` looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels) struct Avx512(());

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Self(()))
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn vectorize<R>(f: impl FnOnce() -> R) -> R {
    f()
}

macro_rules! operations {
    ($(fn $name:ident($self:ident $(, $arg:ident: $type:ty)*) -> $result:ty $body:block)*) => {$(
        #[inline(always)]
        fn $name($self $(, $arg: $type)*) -> $result {
            // SAFETY: `self` exists only where `detect` found these instructions, and pointers come
            // from references to as many bytes as are read or written.
            unsafe { $body }
        }
    )*};
}

/// Shifts 16-bit lanes; callers mask away what crosses from one byte to the other.
#[target_feature(enable = "avx512bw")]
#[inline]
fn shift(v: __m512i, by: i32) -> __m512i {
    match by {
        -6 => _mm512_slli_epi16::<6>(v),
        -5 => _mm512_slli_epi16::<5>(v),
        -4 => _mm512_slli_epi16::<4>(v),
        -3 => _mm512_slli_epi16::<3>(v),
        -2 => _mm512_slli_epi16::<2>(v),
        -1 => _mm512_slli_epi16::<1>(v),
        0 => v,
        1 => _mm512_srli_epi16::<1>(v),
        2 => _mm512_srli_epi16::<2>(v),
        3 => _mm512_srli_epi16::<3>(v),
        4 => _mm512_srli_epi16::<4>(v),
        5 => _mm512_srli_epi16::<5>(v),
        6 => _mm512_srli_epi16::<6>(v),
        _ => _mm512_srli_epi16::<7>(v),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
#[inline]
fn quantize(x: &[f32; 32], out: &mut Activations) {
    let (x0, x1) = x.split_at(16);
    // SAFETY: each half holds sixteen floats.
    let x = unsafe { [_mm512_loadu_ps(x0.as_ptr()), _mm512_loadu_ps(x1.as_ptr())] };
    let magnitude = |x| _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fff_ffff));
    let largest = _mm512_max_epi32(magnitude(x[0]), magnitude(x[1]));
    let largest = _mm256_max_epi32(
        _mm512_castsi512_si256(largest),
        _mm512_extracti64x4_epi64::<1>(largest),
    );
    let (scale, inverse) = scale(avx2::largest(largest));
    let codes = |x| _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x, _mm512_set1_ps(inverse))));
    let codes = _mm256_set_m128i(codes(x[1]), codes(x[0]));
    let sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), codes);
    avx2::record(codes, sums, scale, out);
}

impl Isa for Avx512 {
    const LANES: usize = 16;
    type Codes = __m512i;
    type Ints = __m512i;
    type Floats = __m512;

    operations! {
        fn codes(self, from: &[u8; 64], _part: usize) -> __m512i { _mm512_loadu_si512(from.as_ptr().cast()) }
        fn field(self, codes: __m512i, by: i32, mask: u8) -> __m512i {
            _mm512_and_si512(shift(codes, by), _mm512_set1_epi8(mask as i8))
        }
        fn or(self, a: __m512i, b: __m512i) -> __m512i { _mm512_or_si512(a, b) }
        fn lookup(self, codes: __m512i, table: &[u8; 16]) -> __m512i {
            _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())), codes)
        }
        fn offset(self, negated_sum: i32, offset: u32) -> __m512i {
            if offset == 0 { _mm512_setzero_si512() } else { _mm512_set1_epi32(negated_sum << offset) }
        }
        fn dot(self, sum: __m512i, codes: &[__m512i; 4], x: &[i32; 4], _bits: u32) -> __m512i {
            let sum = _mm512_dpbusd_epi32(sum, codes[0], _mm512_set1_epi32(x[0]));
            let sum = _mm512_dpbusd_epi32(sum, codes[1], _mm512_set1_epi32(x[1]));
            let sum = _mm512_dpbusd_epi32(sum, codes[2], _mm512_set1_epi32(x[2]));
            _mm512_dpbusd_epi32(sum, codes[3], _mm512_set1_epi32(x[3]))
        }
        fn to_floats(self, ints: __m512i) -> __m512 { _mm512_cvtepi32_ps(ints) }
        fn splat(self, value: f32) -> __m512 { _mm512_set1_ps(value) }
        fn add(self, a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn mul(self, a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        fn singles(self, from: &[u8; 64], _part: usize) -> __m512 { _mm512_loadu_ps(from.as_ptr().cast()) }
        fn halves(self, from: &[u8; 32], _part: usize) -> __m512 {
            _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast()))
        }
        fn bfloats(self, from: &[u8; 32], _part: usize) -> __m512 {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
        fn unsigned(self, from: &[u8; 16], _part: usize) -> __m512 {
            _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.as_ptr().cast())))
        }
        fn signed(self, from: &[u8; 16], _part: usize) -> __m512 {
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast())))
        }
        fn store(self, floats: __m512, to: &mut [f32; 16], _part: usize) -> () {
            _mm512_storeu_ps(to.as_mut_ptr(), floats)
        }
        fn quantize(self, x: &[f32; 32], out: &mut Activations) -> () { quantize(x, out) }
    }

    #[inline(always)]
    fn prefetch<T>(self, near: &T, ahead: usize) {
        // SAFETY: a prefetch reads nothing and cannot fault, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(near).cast::<i8>().wrapping_add(ahead)) }
    }

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: `self` exists only where `detect` found these instructions.
        unsafe { vectorize(f) }
    }
}

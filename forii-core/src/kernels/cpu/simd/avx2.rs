//! AVX2: eight rows in one vector, two vectors for a tile.

use std::arch::x86_64::*;

use super::activations::{Activations, scale};
use super::{Isa, share};

/// The proof that the processor has all of what `detect` looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Self(()))
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
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
#[target_feature(enable = "avx2")]
#[inline]
fn shift(v: __m256i, by: i32) -> __m256i {
    match by {
        -6 => _mm256_slli_epi16::<6>(v),
        -5 => _mm256_slli_epi16::<5>(v),
        -4 => _mm256_slli_epi16::<4>(v),
        -3 => _mm256_slli_epi16::<3>(v),
        -2 => _mm256_slli_epi16::<2>(v),
        -1 => _mm256_slli_epi16::<1>(v),
        0 => v,
        1 => _mm256_srli_epi16::<1>(v),
        2 => _mm256_srli_epi16::<2>(v),
        3 => _mm256_srli_epi16::<3>(v),
        4 => _mm256_srli_epi16::<4>(v),
        5 => _mm256_srli_epi16::<5>(v),
        6 => _mm256_srli_epi16::<6>(v),
        _ => _mm256_srli_epi16::<7>(v),
    }
}

/// `Σ code · x` over four codes vectors. `maddubs` adds two products of a byte pair in 16 bits, and
/// as many of those are added before they are widened as surely fit: a code of `bits` bits gives
/// at most `2 · (2^bits − 1) · 127`.
#[target_feature(enable = "avx2")]
#[inline]
fn dot(sum: __m256i, codes: &[__m256i; 4], x: &[i32; 4], bits: u32) -> __m256i {
    let ones = _mm256_set1_epi16(1);
    let pairs = |i: usize| {
        let x = _mm256_set1_epi32(x[i]);
        if bits == 8 {
            // Centred codes fit neither side of `maddubs`, so their sign moves to the other factor.
            let centred = _mm256_xor_si256(codes[i], _mm256_set1_epi8(-128));
            _mm256_maddubs_epi16(_mm256_abs_epi8(centred), _mm256_sign_epi8(x, centred))
        } else {
            _mm256_maddubs_epi16(codes[i], x)
        }
    };
    let wide = |pairs| _mm256_madd_epi16(pairs, ones);
    let add = |a, b| _mm256_add_epi32(a, b);
    if bits <= 5 {
        let first = _mm256_add_epi16(pairs(0), pairs(1));
        let second = _mm256_add_epi16(pairs(2), pairs(3));
        add(sum, wide(_mm256_add_epi16(first, second)))
    } else if bits == 6 {
        let first = wide(_mm256_add_epi16(pairs(0), pairs(1)));
        let second = wide(_mm256_add_epi16(pairs(2), pairs(3)));
        add(sum, add(first, second))
    } else {
        let first = add(wide(pairs(0)), wide(pairs(1)));
        let second = add(wide(pairs(2)), wide(pairs(3)));
        add(sum, add(first, second))
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn quantize(x: &[f32; 32], out: &mut Activations) {
    let eights = x.as_chunks::<8>().0;
    // SAFETY: each part holds eight floats.
    let load = |i: usize| unsafe { _mm256_loadu_ps(eights[i].as_ptr()) };
    let x = [load(0), load(1), load(2), load(3)];
    let magnitude = |x| _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fff_ffff));
    let first = _mm256_max_epi32(magnitude(x[0]), magnitude(x[1]));
    let second = _mm256_max_epi32(magnitude(x[2]), magnitude(x[3]));
    let (scale, inverse) = scale(largest(_mm256_max_epi32(first, second)));
    let codes = |x| _mm256_cvtps_epi32(_mm256_mul_ps(x, _mm256_set1_ps(inverse)));
    // What is no number becomes -2³¹, whose low bits are zero; they alone count.
    let low = |x| _mm256_srai_epi32::<24>(_mm256_slli_epi32::<24>(x));
    let first = _mm256_packs_epi32(low(codes(x[0])), low(codes(x[1])));
    let second = _mm256_packs_epi32(low(codes(x[2])), low(codes(x[3])));
    // Packing works within halves of 128 bits, which leaves the words in another order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let codes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second), order);
    let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes);
    record(codes, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)), scale, out);
}

/// The largest of eight numbers.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn largest(v: __m256i) -> i32 {
    let v = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
    let v = _mm_max_epi32(v, _mm_shuffle_epi32::<0b0100_1110>(v));
    _mm_cvtsi128_si32(_mm_max_epi32(v, _mm_shuffle_epi32::<0b1011_0001>(v)))
}

/// Writes a record from its codes, and from four sums of each half of them.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn record(codes: __m256i, sums: __m256i, scale: f32, out: &mut Activations) {
    let sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32::<0b0100_1110>(sums));
    let sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32::<0b1011_0001>(sums));
    let (first, second) = (_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    let all = _mm_add_epi32(first, second);
    let sums = _mm_blend_epi32::<0b1100>(_mm_blend_epi32::<0b0010>(all, first), second);
    // All of them again, one place up, for the scale to go first.
    let shifted = _mm_blend_epi32::<0b1000>(_mm_blend_epi32::<0b0100>(all, first), second);
    let scaled = _mm_mul_ps(_mm_cvtepi32_ps(shifted), _mm_set1_ps(scale));
    let scaled = _mm_move_ss(scaled, _mm_set_ss(scale));
    // SAFETY: the fields are 32, 16 and 16 bytes long.
    unsafe {
        _mm256_storeu_si256(out.codes.as_mut_ptr().cast(), codes);
        _mm_storeu_ps(out.scales.as_mut_ptr(), scaled);
        _mm_storeu_si128(
            out.negated.as_mut_ptr().cast(),
            _mm_sub_epi32(_mm_setzero_si128(), sums),
        );
    }
}

impl Isa for Avx2 {
    const LANES: usize = 8;
    type Codes = __m256i;
    type Ints = __m256i;
    type Floats = __m256;

    operations! {
        fn codes(self, from: &[u8; 64], part: usize) -> __m256i {
            _mm256_loadu_si256(share::<32>(from, part).as_ptr().cast())
        }
        fn field(self, codes: __m256i, by: i32, mask: u8) -> __m256i {
            _mm256_and_si256(shift(codes, by), _mm256_set1_epi8(mask as i8))
        }
        fn or(self, a: __m256i, b: __m256i) -> __m256i { _mm256_or_si256(a, b) }
        fn lookup(self, codes: __m256i, table: &[u8; 16]) -> __m256i {
            _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast())), codes)
        }
        fn offset(self, negated_sum: i32, offset: u32) -> __m256i {
            // The offset of 8-bit codes is taken off in `dot`.
            if offset == 0 || offset == 7 {
                _mm256_setzero_si256()
            } else {
                _mm256_set1_epi32(negated_sum << offset)
            }
        }
        fn dot(self, sum: __m256i, codes: &[__m256i; 4], x: &[i32; 4], bits: u32) -> __m256i {
            dot(sum, codes, x, bits)
        }
        fn to_floats(self, ints: __m256i) -> __m256 { _mm256_cvtepi32_ps(ints) }
        fn splat(self, value: f32) -> __m256 { _mm256_set1_ps(value) }
        fn add(self, a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        fn mul(self, a: __m256, b: __m256) -> __m256 { _mm256_mul_ps(a, b) }
        fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fmadd_ps(a, b, c) }
        fn singles(self, from: &[u8; 64], part: usize) -> __m256 {
            _mm256_loadu_ps(share::<32>(from, part).as_ptr().cast())
        }
        fn halves(self, from: &[u8; 32], part: usize) -> __m256 {
            _mm256_cvtph_ps(_mm_loadu_si128(share::<16>(from, part).as_ptr().cast()))
        }
        fn bfloats(self, from: &[u8; 32], part: usize) -> __m256 {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(share::<16>(from, part).as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
        fn unsigned(self, from: &[u8; 16], part: usize) -> __m256 {
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(share::<8>(from, part).as_ptr().cast())))
        }
        fn signed(self, from: &[u8; 16], part: usize) -> __m256 {
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(share::<8>(from, part).as_ptr().cast())))
        }
        fn store(self, floats: __m256, to: &mut [f32; 16], part: usize) -> () {
            _mm256_storeu_ps(to.as_chunks_mut::<8>().0[part].as_mut_ptr(), floats)
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

//! Lanes in plain Rust, for processors without a path of their own. The compiler makes of them what
//! the target's base instructions allow.

use half::f16;

use super::lanes::{LANES, Lanes};
use super::scalar::Scalar;

#[inline(always)]
fn map2(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut out = a;
    for (x, y) in out.iter_mut().zip(b) {
        *x = f(*x, y);
    }
    out
}

/// Folds the upper half onto the lower until one number is left.
#[inline(always)]
fn fold(mut v: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            v[i] = f(v[i], v[i + half]);
        }
        half /= 2;
    }
    v[0]
}

/// The value in f32, by shifts and one exact product: unlike `f16::to_f32`, which looks for an
/// instruction each time, the compiler turns a loop of this into vector code.
#[inline(always)]
fn widen(x: f16) -> f32 {
    const TWO_POW_112: f32 = f32::from_bits((127 + 112) << 23);
    const INFINITE: u32 = 0x7c00 << 13;
    let magnitude = u32::from(x.to_bits() & 0x7fff) << 13;
    let finite = (f32::from_bits(magnitude) * TWO_POW_112).to_bits();
    let bits = if magnitude >= INFINITE {
        magnitude | f32::INFINITY.to_bits()
    } else {
        finite
    };
    f32::from_bits(bits | u32::from(x.to_bits() >> 15) << 31)
}

impl Lanes for Scalar {
    type V = [f32; LANES];
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::V {
        *x
    }

    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32; LANES]) {
        *to = v;
    }

    #[inline(always)]
    fn load_f16(self, x: &[f16; LANES]) -> Self::V {
        x.map(widen)
    }

    #[inline(always)]
    fn store_f16(self, v: Self::V, to: &mut [f16; LANES]) {
        *to = v.map(f16::from_f32);
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |x, y| x + y)
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |x, y| x - y)
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |x, y| x * y)
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |x, y| x / y)
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let mut out = c;
        for ((out, x), y) in out.iter_mut().zip(a).zip(b) {
            // Where it is no instruction, `mul_add` is a slow library call.
            *out = if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                x.mul_add(y, *out)
            } else {
                x * y + *out
            };
        }
        out
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |x, y| if x > y { x } else { y })
    }

    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |x, y| if x < y { x } else { y })
    }

    #[inline(always)]
    fn only(self, mut v: Self::V, from: usize, to: usize) -> Self::V {
        for (i, x) in v.iter_mut().enumerate() {
            if i < from || i >= to {
                *x = f32::NEG_INFINITY;
            }
        }
        v
    }

    #[inline(always)]
    fn zero_below(self, v: Self::V, x: Self::V, limit: f32) -> Self::V {
        map2(v, x, |v, x| if x < limit { 0.0 } else { v })
    }

    #[inline(always)]
    fn scale_pow2(self, v: Self::V, n: Self::V) -> Self::V {
        map2(v, n, |v, n| {
            f32::from_bits(v.to_bits().wrapping_add(n.to_bits() << 23))
        })
    }

    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        fold(v, |x, y| x + y)
    }

    #[inline(always)]
    fn largest(self, v: Self::V) -> f32 {
        fold(v, |x, y| if x > y { x } else { y })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_widens_to_its_value() {
        for bits in 0..=u16::MAX {
            let x = f16::from_bits(bits);
            let wide = widen(x);
            assert!(
                wide.to_bits() == x.to_f32().to_bits() || x.is_nan() && wide.is_nan(),
                "{bits:#x}"
            );
        }
    }
}

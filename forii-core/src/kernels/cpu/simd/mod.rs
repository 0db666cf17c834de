//! The instruction sets behind the matrix kernels. One packed layout, one generic kernel
//! ([`kernel`]), one description per storage format ([`format`](mod@format)); an instruction set
//! only says how its vectors load, shift, multiply and add. Every set gives the same bits.
#![allow(unsafe_code)]

/// Evaluates an expression with `$isa` standing for a level's instruction set.
macro_rules! with_level {
    ($level:expr, $isa:ident => $body:expr) => {
        match $level {
            Level::Scalar => {
                let $isa = crate::kernels::cpu::simd::scalar::Scalar;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx2($isa) => $body,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512($isa) => $body,
            #[cfg(target_arch = "aarch64")]
            Level::Neon($isa) => $body,
        }
    };
}

pub(super) mod activations;
pub(super) mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(super) mod dense;
mod disjoint;
pub(super) mod format;
pub(super) mod kernel;
pub(super) mod lanes;
#[cfg(target_arch = "x86_64")]
mod lanes_avx2;
#[cfg(target_arch = "x86_64")]
mod lanes_avx512;
mod lanes_scalar;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(super) mod rows;
pub(super) mod scalar;

use std::ffi::OsStr;

use activations::Activations;
use format::BLOCK;

use crate::error::LoadError;
use crate::quant::QuantFormat;

/// The environment variable that chooses an instruction set below the processor's best.
const VARIABLE: &str = "FORII_CPU";

/// An instruction set that this processor has. Chosen once, when a device is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels) enum Level {
    /// Plain Rust.
    Scalar,
    /// AVX2 with FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    /// Advanced SIMD, part of every 64-bit ARM.
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
}

impl Level {
    /// The best set of this processor, or the one that the environment variable `FORII_CPU` names:
    /// scalar, avx2, avx512 or neon.
    ///
    /// # Errors
    /// [`LoadError::Setting`] where the variable names a set that is not there.
    pub(in crate::kernels) fn from_env() -> Result<Self, LoadError> {
        Self::choose(std::env::var_os(VARIABLE).as_deref())
    }

    fn choose(name: Option<&OsStr>) -> Result<Self, LoadError> {
        let available = Self::available();
        let found = match name {
            None => available.last(),
            Some(name) => available.iter().find(|(known, _)| name == *known),
        };
        found.map(|(_, level)| *level).ok_or_else(|| {
            let known: Vec<_> = available.iter().map(|(name, _)| *name).collect();
            let problem = format!(
                "{name:?} is not among what this processor has: {}",
                known.join(", ")
            );
            LoadError::Setting {
                setting: VARIABLE,
                problem,
            }
        })
    }

    /// What this processor has, the best one last.
    pub(in crate::kernels) fn available() -> Vec<(&'static str, Self)> {
        let mut levels = vec![("scalar", Self::Scalar)];
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(avx2::Avx2::detect().map(|isa| ("avx2", Self::Avx2(isa))));
            levels.extend(avx512::Avx512::detect().map(|isa| ("avx512", Self::Avx512(isa))));
        }
        #[cfg(target_arch = "aarch64")]
        levels.push(("neon", Self::Neon(neon::Neon)));
        levels
    }
}

/// Vectors of one instruction set. A value is the proof that the processor has it.
///
/// A tile is sixteen rows; a vector holds `LANES` of them, one row in each 32-bit lane, and `part`
/// says which. Integer results are exact. Floats are rounded once per operation, `fma` once in all.
pub(super) trait Isa: Copy + Send + Sync {
    /// Rows in one vector.
    const LANES: usize;
    /// Four unsigned bytes a lane: codes of four consecutive columns.
    type Codes: Copy;
    /// One `i32` a lane.
    type Ints: Copy;
    /// One `f32` a lane.
    type Floats: Copy;

    fn codes(self, from: &[u8; 64], part: usize) -> Self::Codes;
    /// Bits `shift..` of each byte, as many as `mask` has. A negative shift is to the left.
    fn field(self, codes: Self::Codes, shift: i32, mask: u8) -> Self::Codes;
    fn or(self, a: Self::Codes, b: Self::Codes) -> Self::Codes;
    /// Replaces each byte, which must be below 16, by its entry of the table.
    fn lookup(self, codes: Self::Codes, table: &[u8; 16]) -> Self::Codes;

    /// The starting sum of a dot product whose codes are `2^offset` too large, given the negated
    /// sum of the factors.
    fn offset(self, negated_sum: i32, offset: u32) -> Self::Ints;
    /// Adds `Σ code · x` over four codes vectors; `x` holds four signed bytes in `-127..=127` for
    /// each. Codes have `bits` bits. With 8 bits, the offset of 128 may be taken off here and
    /// `offset` be zero.
    fn dot(self, sum: Self::Ints, codes: &[Self::Codes; 4], x: &[i32; 4], bits: u32) -> Self::Ints;
    fn to_floats(self, ints: Self::Ints) -> Self::Floats;

    fn splat(self, value: f32) -> Self::Floats;
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b + c`
    fn fma(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    fn singles(self, from: &[u8; 64], part: usize) -> Self::Floats;
    fn halves(self, from: &[u8; 32], part: usize) -> Self::Floats;
    fn bfloats(self, from: &[u8; 32], part: usize) -> Self::Floats;
    fn unsigned(self, from: &[u8; 16], part: usize) -> Self::Floats;
    fn signed(self, from: &[u8; 16], part: usize) -> Self::Floats;
    fn store(self, floats: Self::Floats, to: &mut [f32; 16], part: usize);

    /// Quantizes a block of activations, to the same bits as [`activations::plain`].
    #[inline(always)]
    fn quantize(self, x: &[f32; BLOCK], out: &mut Activations) {
        activations::plain(x, out);
    }

    /// Asks for the cache line `ahead` bytes behind `near`.
    fn prefetch<T>(self, near: &T, ahead: usize);
    /// Runs `f` compiled for this instruction set.
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;
}

/// Whether a format's weights are plain floats.
pub(super) const fn is_dense(format: QuantFormat) -> bool {
    matches!(format, QuantFormat::F32 | QuantFormat::F16 | QuantFormat::BF16)
}

/// `part`-th share of `N` bytes out of a tile's array.
#[inline(always)]
fn share<const N: usize>(from: &[u8], part: usize) -> &[u8; N] {
    &from.as_chunks().0[part]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_chooses_what_is_there_and_nothing_else() {
        let available = Level::available();
        assert_eq!(Level::choose(None).unwrap(), available[available.len() - 1].1);
        for (name, level) in available {
            assert_eq!(Level::choose(Some(name.as_ref())).unwrap(), level);
        }
        for wrong in ["", "AVX2", "sse9"] {
            let error = Level::choose(Some(wrong.as_ref())).unwrap_err().to_string();
            assert!(error.contains(VARIABLE) && error.contains("scalar"), "{error}");
        }
    }
}

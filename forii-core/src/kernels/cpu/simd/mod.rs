//! Stand-in.
#![allow(unsafe_code)]
pub(super) mod attention;
mod disjoint;
pub(super) mod lanes;
#[cfg(target_arch = "x86_64")]
mod lanes_avx2;
#[cfg(target_arch = "x86_64")]
mod lanes_avx512;
mod lanes_scalar;
pub(super) mod rows;

use crate::error::LoadError;

mod scalar {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::kernels) struct Scalar;
}
#[cfg(target_arch = "x86_64")]
mod avx2 {
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
    impl super::Isa for Avx2 {
        #[inline(always)]
        fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
            // SAFETY: detected.
            unsafe { vectorize(f) }
        }
    }
}
#[cfg(target_arch = "x86_64")]
mod avx512 {
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
    impl super::Isa for Avx512 {
        #[inline(always)]
        fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
            // SAFETY: detected.
            unsafe { vectorize(f) }
        }
    }
}

/// Stand-in.
pub(super) trait Isa: Copy + Send + Sync {
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels) enum Level {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
}

impl Level {
    pub(in crate::kernels) fn from_env() -> Result<Self, LoadError> {
        Ok(Self::available().pop().map_or(Self::Scalar, |(_, level)| level))
    }

    pub(in crate::kernels) fn available() -> Vec<(&'static str, Self)> {
        let mut levels = vec![("scalar", Self::Scalar)];
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(avx2::Avx2::detect().map(|isa| ("avx2", Self::Avx2(isa))));
            levels.extend(avx512::Avx512::detect().map(|isa| ("avx512", Self::Avx512(isa))));
        }
        levels
    }
}

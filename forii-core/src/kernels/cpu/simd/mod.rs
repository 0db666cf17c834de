//! Kernels in vector instructions, each picked once at start by what the processor has.

pub(super) mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod disjoint;
pub(super) mod lanes;
pub(super) mod rows;
mod scalar;

/// Which instructions the kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels) enum Level {
    Scalar,
    Avx2,
    Avx512,
}

impl Level {
    pub(in crate::kernels) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let wish = std::env::var("FORII_CPU").unwrap_or_default();
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            let avx512 = avx2 && is_x86_feature_detected!("avx512f");
            match wish.as_str() {
                "scalar" => return Self::Scalar,
                "avx2" if avx2 => return Self::Avx2,
                _ if avx512 => return Self::Avx512,
                _ if avx2 => return Self::Avx2,
                _ => {}
            }
        }
        Self::Scalar
    }

    #[cfg(test)]
    pub(in crate::kernels) fn available() -> impl Iterator<Item = Self> {
        let best = Self::detect();
        [Self::Scalar, Self::Avx2, Self::Avx512]
            .into_iter()
            .filter(move |l| *l as u8 <= best as u8)
    }
}

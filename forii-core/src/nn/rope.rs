//! Rotary position embedding (arXiv 2104.09864) and the ways to stretch it. The arithmetic follows
//! transformers' `modeling_rope_utils.py` operation by operation, in single precision where it is
//! single there, so that angles agree at large positions too.

use std::f64::consts::PI;

use burn::tensor::{Tensor, TensorData};

use crate::checkpoint::config::{RopeConfig, RopeScaling};
use crate::kernels::{Batch, Compute, Rotation};

/// Turns positions into the cosines and sines of one step.
#[derive(Debug, Clone)]
pub struct RotaryEmbedding {
    compute: Compute,
    /// Radians per position, `head_dim / 2` of them.
    inv_freq: Vec<f32>,
    /// LongRoPE: sequences longer than this take these frequencies.
    long: Option<(usize, Vec<f32>)>,
    /// Multiplies cosines and sines.
    attention_factor: f32,
}

impl RotaryEmbedding {
    /// Frequencies for heads of `head_dim`. `max_position_embeddings` is what LongRoPE derives its
    /// stretch from.
    pub fn new(
        compute: &Compute,
        head_dim: usize,
        max_position_embeddings: usize,
        config: &RopeConfig,
    ) -> Self {
        let base = inverse_frequencies(config.theta, head_dim);
        let mut long = None;
        let mut attention_factor = 1.0;
        let inv_freq = match &config.scaling {
            RopeScaling::None => base,
            RopeScaling::Linear { factor } => base.iter().map(|freq| freq / *factor as f32).collect(),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                let original = *original_max_position_embeddings as f64;
                base.iter()
                    .map(|&freq| llama3(freq, *factor, *low_freq_factor, *high_freq_factor, original))
                    .collect()
            }
            RopeScaling::Yarn {
                factor,
                attention_factor: given,
                mscale,
                mscale_all_dim,
                ..
            } => {
                attention_factor =
                    given.unwrap_or_else(|| yarn_attention_factor(*factor, *mscale, *mscale_all_dim));
                yarn(&config.scaling, config.theta, head_dim)
            }
            RopeScaling::LongRope {
                short_factor,
                long_factor,
                attention_factor: given,
                factor,
                original_max_position_embeddings: original,
            } => {
                let stretch = factor.unwrap_or(max_position_embeddings as f64 / *original as f64);
                attention_factor = given.unwrap_or_else(|| longrope_attention_factor(stretch, *original));
                long = Some((*original, divided(config.theta, head_dim, long_factor)));
                divided(config.theta, head_dim, short_factor)
            }
            RopeScaling::Factors { factors } => base
                .iter()
                .zip(factors)
                .map(|(freq, factor)| freq / factor)
                .collect(),
        };
        Self {
            compute: compute.clone(),
            inv_freq,
            long,
            attention_factor: attention_factor as f32,
        }
    }

    /// Factors of a batch's `[n]` positions, each `[n, head_dim / 2]`.
    pub fn forward(&self, batch: &Batch) -> Rotation {
        let (n, half) = (batch.positions.len(), self.inv_freq.len());
        let mut cos = Vec::with_capacity(n * half);
        let mut sin = Vec::with_capacity(n * half);
        for span in &batch.spans {
            let inv_freq = match &self.long {
                Some((original, long)) if span.len_after() > *original => long,
                _ => &self.inv_freq,
            };
            for &position in &batch.positions[span.tokens.clone()] {
                for freq in inv_freq {
                    let (s, c) = (position as f32 * freq).sin_cos();
                    cos.push(c * self.attention_factor);
                    sin.push(s * self.attention_factor);
                }
            }
        }
        let tensor = |values| Tensor::from_data(TensorData::new(values, [n, half]), self.compute.device());
        Rotation {
            cos: tensor(cos),
            sin: tensor(sin),
        }
    }
}

/// `theta^(2i / head_dim)` for every pair of a head.
fn wavelengths(theta: f64, head_dim: usize) -> impl Iterator<Item = f32> {
    (0..head_dim / 2).map(move |pair| (theta as f32).powf((2 * pair) as f32 / head_dim as f32))
}

fn inverse_frequencies(theta: f64, head_dim: usize) -> Vec<f32> {
    wavelengths(theta, head_dim).map(f32::recip).collect()
}

/// Frequencies with a divisor each (LongRoPE).
fn divided(theta: f64, head_dim: usize, factors: &[f64]) -> Vec<f32> {
    wavelengths(theta, head_dim)
        .zip(factors)
        .map(|(wave, &factor)| 1.0 / (factor as f32 * wave))
        .collect()
}

/// One frequency of Llama 3.1: divided if slow, kept if fast, a mixture in between.
fn llama3(freq: f32, factor: f64, low_freq_factor: f64, high_freq_factor: f64, original: f64) -> f32 {
    let wavelen = (2.0 * PI) as f32 / freq;
    if wavelen > (original / low_freq_factor) as f32 {
        return freq / factor as f32;
    }
    if wavelen < (original / high_freq_factor) as f32 {
        return freq;
    }
    let smooth =
        (original as f32 / wavelen - low_freq_factor as f32) / (high_freq_factor - low_freq_factor) as f32;
    (1.0 - smooth) * freq / factor as f32 + smooth * freq
}

/// YaRN (arXiv 2309.00071): slow frequencies interpolated, fast ones kept, a ramp in between.
fn yarn(scaling: &RopeScaling, theta: f64, head_dim: usize) -> Vec<f32> {
    let RopeScaling::Yarn {
        factor,
        beta_fast,
        beta_slow,
        original_max_position_embeddings,
        truncate,
        ..
    } = scaling
    else {
        return Vec::new();
    };
    let dim = head_dim as f64;
    let correction_dim = |rotations: f64| {
        let original = *original_max_position_embeddings as f64;
        dim * (original / (rotations * 2.0 * PI)).ln() / (2.0 * theta.ln())
    };
    let (mut low, mut high) = (correction_dim(*beta_fast), correction_dim(*beta_slow));
    if *truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(dim - 1.0));
    if low == high {
        high += 0.001;
    }
    let ramp = |pair: usize| ((pair as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
    wavelengths(theta, head_dim)
        .enumerate()
        .map(|(pair, wave)| {
            let kept = 1.0 - ramp(pair);
            1.0 / (*factor as f32 * wave) * (1.0 - kept) + 1.0 / wave * kept
        })
        .collect()
}

fn yarn_attention_factor(factor: f64, mscale: Option<f64>, mscale_all_dim: Option<f64>) -> f64 {
    let scale = |mscale: f64| {
        if factor <= 1.0 {
            1.0
        } else {
            0.1 * mscale * factor.ln() + 1.0
        }
    };
    match (mscale.unwrap_or(0.0), mscale_all_dim.unwrap_or(0.0)) {
        (0.0, _) | (_, 0.0) => scale(1.0),
        (mscale, mscale_all_dim) => scale(mscale) / scale(mscale_all_dim),
    }
}

fn longrope_attention_factor(factor: f64, original: usize) -> f64 {
    if factor <= 1.0 {
        1.0
    } else {
        (1.0 + factor.ln() / (original as f64).ln()).sqrt()
    }
}

//! The sampler draws from the distribution that it promises: chi-squared tests over 200,000 draws.
#![allow(clippy::unwrap_used)]

mod reference;

use forii_sampling::{Sampler, SamplingParams};
use reference::distribution;

const DRAWS: usize = 200_000;

/// Whether the counts could come from these probabilities, at p > 0.001 (Wilson and Hilferty's transform of
/// the chi-squared statistic to a standard normal one).
fn accepts(counts: &[usize], p: &[f64]) -> (bool, f64) {
    let (mut statistic, mut cells) = (0.0, 0usize);
    // Cells that expect fewer than five draws are put together.
    let (mut rare_count, mut rare_expected) = (0.0, 0.0);
    let mut add = |count: f64, expected: f64| {
        statistic += (count - expected).powi(2) / expected;
        cells += 1;
    };
    for (&count, &p) in counts.iter().zip(p) {
        let expected = p * DRAWS as f64;
        if expected >= 5.0 {
            add(count as f64, expected);
        } else {
            assert!(p > 0.0 || count == 0, "a removed token was drawn");
            rare_count += count as f64;
            rare_expected += expected;
        }
    }
    if rare_expected > 0.0 {
        add(rare_count, rare_expected);
    }
    let k = (cells - 1).max(1) as f64;
    let z = ((statistic / k).cbrt() - (1.0 - 2.0 / (9.0 * k))) / (2.0 / (9.0 * k)).sqrt();
    (z < 3.09, z)
}

#[test]
fn draws_follow_the_distribution() {
    let row: Vec<f32> = (0..300)
        .map(|i| ((i as f32 * 12.9898).sin() * 43_758.547).fract() * 4.0)
        .collect();
    let p = SamplingParams::default;
    let settings = [
        p(),
        p().temperature(0.5),
        p().temperature(1.7).top_k(40),
        p().top_p(0.8),
        p().temperature(0.8).top_k(100).top_p(0.9).min_p(0.1),
        p().min_p(0.3)
            .repetition_penalty(1.3)
            .logit_bias([(7, 2.0), (8, -100.0)]),
    ];
    let prompt: Vec<u32> = (0..100).collect();
    for (index, params) in settings.iter().enumerate() {
        // Half the draws along one answer, half over many seeds and choices.
        let mut counts = vec![0; row.len()];
        let mut scores = row.clone();
        let mut draw = |sampler: &mut Sampler| {
            scores.copy_from_slice(&row);
            counts[sampler.sample(&mut scores).unwrap().token as usize] += 1;
        };
        // The repetition penalty would follow the answer: each of its draws is a first one.
        if params.repetition_penalty == 1.0 {
            let mut sampler = Sampler::new(params, row.len(), &prompt, 99, 0).unwrap();
            (0..DRAWS / 2).for_each(|_| draw(&mut sampler));
        } else {
            let first = Sampler::new(params, row.len(), &prompt, 1 << 40, 0).unwrap();
            (0..DRAWS as u32 / 2).for_each(|choice| draw(&mut first.fork(choice)));
        }
        for seed in 0..DRAWS as u64 / 2 {
            draw(&mut Sampler::new(params, row.len(), &prompt, seed, (seed % 7) as u32).unwrap());
        }
        let expected = distribution(&row, params, &prompt, &[]);
        let (accepted, z) = accepts(&counts, &expected);
        assert!(accepted, "setting {index}: z = {z}");
    }
}

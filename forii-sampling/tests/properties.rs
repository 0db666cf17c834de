//! What holds for every row and every setting.
#![allow(clippy::unwrap_used)]

mod reference;

use forii_sampling::{Logits, Sampler, SamplingParams, TokenMask, Workspace, processors};
use proptest::prelude::*;
use reference::distribution;

/// Rows with many ties and some impossible tokens, shorter and longer than a block.
fn rows() -> impl Strategy<Value = Vec<f32>> {
    let score = prop_oneof![
        8 => (-40i32..40).prop_map(|x| x as f32 / 4.0),
        4 => -8.0f32..8.0,
        1 => Just(f32::NEG_INFINITY),
    ];
    (1usize..400).prop_flat_map(move |len| {
        prop::collection::vec(score.clone(), len).prop_map(|mut row| {
            row[0] = row[0].max(-10.0);
            row
        })
    })
}

fn settings() -> impl Strategy<Value = SamplingParams> {
    (
        prop_oneof![Just(1.0f32), 0.2f32..2.0],
        prop_oneof![Just(0i64), Just(-1), 1i64..50],
        prop_oneof![Just(1.0f32), 0.0f32..1.0],
        prop_oneof![Just(0.0f32), 0.0f32..1.0],
        (-2.0f32..2.0, -2.0f32..2.0, 0.3f32..2.0, any::<bool>()),
    )
        .prop_map(|(t, k, p, m, (frequency, presence, repetition, penalize))| {
            let params = SamplingParams::default()
                .temperature(t)
                .top_k(k)
                .top_p(p)
                .min_p(m);
            if !penalize {
                return params;
            }
            params
                .frequency_penalty(frequency)
                .presence_penalty(presence)
                .repetition_penalty(repetition)
        })
}

/// Each token's probability after our chain.
fn ours(row: &[f32], params: &SamplingParams, prompt: &[u32], answer: &[u32]) -> Vec<f64> {
    let (mut row, mut work) = (row.to_vec(), Workspace::default());
    let vocab_size = row.len();
    let mut logits = Logits::new(&mut row, &mut work).unwrap();
    for mut step in processors::chain(params, vocab_size, prompt) {
        answer.iter().for_each(|&token| step.accept(token));
        step.apply(&mut logits);
    }
    let (max, total) = (f64::from(logits.max()), logits.total_weight());
    let weight = |t: u32| {
        logits
            .score(t)
            .map_or(0.0, |s| (f64::from(s) - max).exp() / total)
    };
    (0..vocab_size as u32).map(weight).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_chain_equals_the_plain_reference(
        row in rows(), params in settings(),
        prompt in prop::collection::vec(0u32..400, 0..20), answer in prop::collection::vec(0u32..400, 0..20),
    ) {
        let inside = |ids: Vec<u32>| -> Vec<u32> {
            ids.into_iter().filter(|&t| (t as usize) < row.len()).collect()
        };
        let (prompt, answer) = (inside(prompt), inside(answer));
        let plain = distribution(&row, &params, &prompt, &answer);
        let got = ours(&row, &params, &prompt, &answer);
        // Rounding may move a token over the border of a set: its mass is then all that may differ.
        let distance: f64 = plain.iter().zip(&got).map(|(a, b)| (a - b).abs()).sum();
        let border = plain.iter().chain(&got).copied().filter(|&p| p > 0.0).fold(1.0, f64::min);
        let only_the_border = plain.iter().zip(&got).filter(|(a, b)| (**a > 0.0) != (**b > 0.0)).count() <= 1;
        prop_assert!(distance < 1e-5 || (only_the_border && distance <= 2.5 * border), "{distance} {params:?}");
    }

    #[test]
    fn what_survives_is_a_head_of_the_ranking(row in rows(), params in settings()) {
        let p = ours(&row, &params, &[], &[]);
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        let kept = p.iter().filter(|&&p| p > 0.0).count();
        prop_assert!(kept >= 1);
        prop_assert!(order[..kept].iter().all(|&t| p[t] > 0.0));
        if params.top_k > 0 {
            prop_assert!(kept <= params.top_k as usize);
        }
    }

    #[test]
    fn a_removed_token_is_never_picked(row in rows(), params in settings(), seed: u64, bits: u64) {
        let banned: Vec<u32> = (1..row.len() as u32).filter(|t| bits >> (t % 64) & 1 == 1).collect();
        let params = params.logit_bias(banned.iter().map(|&t| (t, -100.0)));
        let mut sampler = Sampler::new(&params, row.len(), &[], seed, 0).unwrap();
        for _ in 0..20 {
            let token = sampler.sample(&mut row.clone()).unwrap().token;
            prop_assert!(!banned.contains(&token));
            prop_assert!(row[token as usize] > f32::NEG_INFINITY);
        }
    }

    #[test]
    fn a_mask_leaves_its_own_tokens_and_nothing_else(row in rows(), ids in prop::collection::vec(0u32..400, 0..60)) {
        let mut mask = TokenMask::empty(row.len());
        ids.iter().for_each(|&t| mask.insert(t));
        let (mut scores, mut work) = (row.clone(), Workspace::default());
        let mut logits = Logits::new(&mut scores, &mut work).unwrap();
        logits.allow_only(&mask);
        for token in 0..row.len() as u32 {
            let expected = Some(row[token as usize]).filter(|&x| mask.contains(token) && x > f32::NEG_INFINITY);
            prop_assert_eq!(logits.score(token), expected);
        }
        let best = (0..row.len()).filter(|&t| mask.contains(t as u32) && row[t] > f32::NEG_INFINITY)
            .min_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        prop_assert_eq!(logits.best(), best.map(|t| t as u32));
    }

    #[test]
    fn the_ids_of_tokens_do_not_matter(row in rows(), params in settings(), shift in 0usize..400) {
        // Another order of the same scores: the same probabilities, be it on other ids where scores tie.
        let mut moved = row.clone();
        moved.rotate_left(shift % row.len());
        let mut a = ours(&row, &params, &[], &[]);
        let mut b = ours(&moved, &params, &[], &[]);
        a.sort_by(f64::total_cmp);
        b.sort_by(f64::total_cmp);
        let distance: f64 = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).sum();
        let border = a.iter().chain(&b).copied().filter(|&p| p > 0.0).fold(1.0, f64::min);
        prop_assert!(distance < 1e-5 || distance <= 2.5 * border, "{distance}");
    }
}

/// Long rows take the paths that look at few blocks, or find the border by bands of scores.
#[test]
fn long_rows_equal_the_plain_reference() {
    for (spread, peaks) in [(0.5, 0), (2.0, 0), (2.0, 40), (6.0, 3)] {
        let mut row: Vec<f32> = (0..60_000)
            .map(|i| ((i as f32 * 12.9898).sin() * 43_758.547).fract() * spread)
            .collect();
        (0..peaks).for_each(|i| row[i * 1_371 + 11] = 12.0 - i as f32 / 8.0);
        for params in [
            SamplingParams::default().top_p(0.9),
            SamplingParams::default().top_p(0.3).temperature(2.0),
            SamplingParams::default().top_p(0.0),
            SamplingParams::default().top_k(5_000).top_p(0.95),
            SamplingParams::default().top_k(40).top_p(0.9).temperature(0.8),
            SamplingParams::default().min_p(0.2),
        ] {
            let (plain, got) = (
                distribution(&row, &params, &[], &[]),
                ours(&row, &params, &[], &[]),
            );
            let distance: f64 = plain.iter().zip(&got).map(|(a, b)| (a - b).abs()).sum();
            assert!(distance < 2e-4, "{distance} {params:?}");
        }
    }
}

#[test]
fn no_memory_is_allocated_after_the_first_token() {
    let row: Vec<f32> = (0..60_000)
        .map(|i| ((i as f32 * 12.9898).sin() * 43_758.547).fract())
        .collect();
    let p = SamplingParams::default;
    for params in [
        SamplingParams::greedy(),
        p().temperature(0.8).top_k(40).top_p(0.9).min_p(0.01).logprobs(20),
        p().top_p(0.9),
        p().frequency_penalty(1.0)
            .presence_penalty(1.0)
            .repetition_penalty(1.1)
            .logit_bias([(3, 1.0)]),
    ] {
        let mut sampler = Sampler::new(&params, row.len(), &[1, 2, 3], 1, 0).unwrap();
        let mut scores = row.clone();
        sampler.sample(&mut scores).unwrap();
        let info = allocation_counter::measure(|| {
            for _ in 0..20 {
                scores.copy_from_slice(&row);
                sampler.sample(&mut scores).unwrap();
            }
        });
        assert_eq!(info.count_total, 0, "{params:?}");
    }
}

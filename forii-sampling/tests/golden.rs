//! Rows and draws that other programs computed (testdata/sampling).
#![allow(clippy::unwrap_used)]

use forii_sampling::{Draws, Logits, Sampler, SamplingParams, Workspace, processors};
use serde_json::Value;

fn read(name: &str) -> String {
    let path = format!("{}/../testdata/sampling/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn ids(v: &Value) -> Vec<u32> {
    v.as_array()
        .unwrap()
        .iter()
        .map(|t| t.as_u64().unwrap() as u32)
        .collect()
}

#[test]
fn the_chain_leaves_what_the_processors_of_transformers_leave() {
    let mut work = Workspace::default();
    let text = read("processors.jsonl");
    assert_eq!(text.lines().count(), 300);
    for (number, line) in text.lines().enumerate() {
        let case: Value = serde_json::from_str(line).unwrap();
        let get = |key: &str| case[key].as_f64().unwrap() as f32;
        let params = SamplingParams::default()
            .repetition_penalty(get("repetition_penalty"))
            .temperature(get("temperature"))
            .top_k(case["top_k"].as_i64().unwrap())
            .top_p(get("top_p"))
            .min_p(get("min_p"));
        let mut row: Vec<f32> = case["scores"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| (s.as_f64().unwrap() / 1e4) as f32)
            .collect();
        let vocab_size = row.len();
        params.validate(vocab_size).unwrap();
        let mut logits = Logits::new(&mut row, &mut work).unwrap();
        for mut step in processors::chain(&params, vocab_size, &ids(&case["prompt"])) {
            step.apply(&mut logits);
        }
        let (max, total) = (f64::from(logits.max()), logits.total_weight());
        let left: Vec<(u32, f64)> = (0..vocab_size as u32)
            .filter_map(|t| Some((t, (f64::from(logits.score(t)?) - max).exp() / total)))
            .collect();
        let kept: Vec<u32> = left.iter().map(|&(t, _)| t).collect();
        assert_eq!(kept, ids(&case["kept"]), "line {number}: {params:?}");
        for ((token, p), expected) in left.iter().zip(case["probabilities"].as_array().unwrap()) {
            let expected = expected.as_f64().unwrap();
            assert!(
                (p - expected).abs() < 1e-5,
                "line {number}, token {token}: {p} for {expected}"
            );
        }
    }
}

#[test]
fn draws_are_those_of_an_independent_program() {
    for case in serde_json::from_str::<Value>(&read("draws.json"))
        .unwrap()
        .as_array()
        .unwrap()
    {
        let vocab_size = case["vocab_size"].as_u64().unwrap() as usize;
        let (seed, choice) = (case["seed"].as_u64().unwrap(), case["choice"].as_u64().unwrap());
        let row: Vec<f32> = (0..vocab_size)
            .map(|i| ((i * i * 7 + i * 3) % 61) as f32 / 8.0)
            .collect();
        let params = SamplingParams::default();
        let mut sampler = Sampler::new(&params, vocab_size, &[], seed, choice as u32).unwrap();
        let mut work = row.clone();
        for (position, expected) in case["tokens"].as_array().unwrap().iter().enumerate() {
            work.copy_from_slice(&row);
            let token = i64::from(sampler.sample(&mut work).unwrap().token);
            let expected = expected.as_i64().unwrap();
            assert!(
                expected == -1 || token == expected,
                "seed {seed}, position {position}: {token}"
            );
        }
    }
}

/// The draws must not depend on how wide the machine's vectors are: run this with `-C target-cpu=x86-64`,
/// `x86-64-v3` and `x86-64-v4`. The number stands for 6,000 draws; whether these are right, the other tests say.
#[test]
fn every_vector_width_draws_the_same() {
    let noise = Draws::new(7, 0);
    let bell = |i: u64| (0..4).map(|k| noise.uniform(4 * i + k) - 0.5).sum::<f64>() * 9.0;
    let row: Vec<f32> = (0..40_000).map(|i| bell(i) as f32).collect();
    let p = SamplingParams::default;
    let mut fingerprint = 0xcbf2_9ce4_8422_2325u64; // FNV-1a
    for params in [
        p(),
        p().temperature(1.7),
        p().temperature(0.8).top_k(40).top_p(0.9),
        p().top_p(0.95),
        p().temperature(2.0).top_p(0.7).min_p(0.02),
        p().repetition_penalty(1.2)
            .frequency_penalty(0.3)
            .presence_penalty(0.1),
    ] {
        let mut sampler = Sampler::new(&params, row.len(), &[1, 2, 3], 2026, 0).unwrap();
        let mut scores = row.clone();
        for _ in 0..1_000 {
            scores.copy_from_slice(&row);
            let token = sampler.sample(&mut scores).unwrap().token;
            fingerprint = (fingerprint ^ u64::from(token)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    assert_eq!(fingerprint, 0xc57844ee7a896f00, "{fingerprint:#x}");
}

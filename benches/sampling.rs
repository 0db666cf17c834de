//! What choosing a token costs: the sampler's common settings and each processor on a row of 151,936 scores,
//! and the masks and compile times of grammars on the vocabulary of a real model (a GGUF file of Qwen2.5 in
//! `$FORII_MODELS` or ~/.cache/forii/models; without it, those are left out).
#![allow(missing_docs)] // criterion's macros

#[path = "../forii-sampling/tests/support/gguf.rs"]
mod gguf;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use forii_sampling::constraint::{Begin, Grammar, GrammarCompiler, Trigger, Vocabulary};
use forii_sampling::{Draws, Logits, Sampler, SamplingParams, Workspace, processors};
use serde_json::{Value, json};

const VOCAB_SIZE: usize = 151_936;

/// A row as trained models write them: a broad bell of scores, and a few favourites far above.
fn row() -> Vec<f32> {
    let draws = Draws::new(3, 0);
    let bell = |i: u64| {
        let (a, b) = (draws.uniform(2 * i).max(1e-12), draws.uniform(2 * i + 1));
        ((-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos() * 2.5) as f32
    };
    let mut row: Vec<f32> = (0..VOCAB_SIZE as u64).map(bell).collect();
    (0..30).for_each(|i| row[i * 5000 + 7] = 20.0 - i as f32 * 0.4);
    row
}

/// Times `run` on a fresh copy of the row; the copying is not counted.
fn on_rows(c: &mut Criterion, name: &str, mut run: impl FnMut(&mut [f32])) {
    let fresh = row();
    let mut scores = fresh.clone();
    c.bench_function(name, |b| {
        b.iter_custom(|times| {
            (0..times)
                .map(|_| {
                    scores.copy_from_slice(&fresh);
                    let start = Instant::now();
                    run(&mut scores);
                    start.elapsed()
                })
                .sum::<Duration>()
        });
    });
}

fn samplers(c: &mut Criterion) {
    let p = SamplingParams::default;
    for (name, params) in [
        ("greedy", SamplingParams::greedy()),
        ("greedy, 20 logprobs", SamplingParams::greedy().logprobs(20)),
        (
            "temperature 0.8, top_k 40, top_p 0.9",
            p().temperature(0.8).top_k(40).top_p(0.9),
        ),
        ("temperature 0.8, top_p 0.9", p().temperature(0.8).top_p(0.9)),
        ("temperature 2, top_p 0.9", p().temperature(2.0).top_p(0.9)),
        ("temperature 1", p()),
    ] {
        let mut sampler = Sampler::new(&params, VOCAB_SIZE, &[], 1, 0).expect("valid");
        on_rows(c, &format!("sample/{name}"), |scores| {
            black_box(sampler.sample(scores).expect("finite"));
        });
    }
}

fn each_processor(c: &mut Criterion) {
    let prompt: Vec<u32> = (0..2000).map(|i| i * 70).collect();
    let p = SamplingParams::default;
    for (name, params) in [
        ("nothing", p()),
        (
            "logit_bias of 300 tokens",
            p().logit_bias((0..300).map(|t| (t * 500, 1.0))),
        ),
        ("repetition_penalty, prompt of 2000", p().repetition_penalty(1.1)),
        ("presence_penalty, answer of 2000", p().presence_penalty(0.5)),
        ("temperature", p().temperature(0.7)),
        ("top_k 40", p().top_k(40)),
        ("top_p 0.9", p().top_p(0.9)),
        ("min_p 0.05", p().min_p(0.05)),
    ] {
        let mut chain = processors::chain(&params, VOCAB_SIZE, &prompt);
        for step in &mut chain {
            prompt.iter().for_each(|&token| step.accept(token));
        }
        let mut work = Workspace::default();
        on_rows(c, &format!("process/{name}"), |scores| {
            let mut logits = Logits::new(scores, &mut work).expect("finite");
            chain.iter_mut().for_each(|step| step.apply(&mut logits));
            black_box(&mut logits);
        });
    }
}

fn qwen() -> Option<Vocabulary> {
    let models = std::env::var_os("FORII_MODELS").map(PathBuf::from);
    let models =
        models.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/forii/models")))?;
    let path = models.join("qwen2.5-coder-0.5b-instruct.gguf");
    path.exists().then(|| gguf::vocabulary(&path))
}

/// A schema of 15 fields in turn texts, integers and enums, and an instance.
fn fifteen_fields() -> (Grammar, String) {
    let field = |i: usize| match i % 3 {
        0 => (
            json!({"type": "string"}),
            "\"some longer text of a value, with spaces\"",
        ),
        1 => (json!({"type": "integer"}), "12345"),
        _ => (json!({"enum": ["alpha", "beta", "gamma"]}), "\"beta\""),
    };
    let names: Vec<String> = (0..15).map(|i| format!("field_{i}")).collect();
    let properties: serde_json::Map<String, Value> = names
        .iter()
        .enumerate()
        .map(|(i, name)| (name.clone(), field(i).0))
        .collect();
    let members: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(i, name)| format!("\"{name}\": {}", field(i).1))
        .collect();
    let schema = json!({
        "type": "object", "properties": properties, "required": names, "additionalProperties": false,
    });
    (
        Grammar::strict_schema(schema),
        format!("{{{}}}", members.join(", ")),
    )
}

fn tool_call() -> (Grammar, String) {
    let body = [
        Grammar::Literal("\n".into()),
        Grammar::JsonObject,
        Grammar::Literal("\n</tool_call>".into()),
    ];
    let trigger = Trigger {
        begin: Begin::Text("<tool_call>".into()),
        body: Grammar::Sequence(body.into()),
    };
    let text = "Sure, let me look that up for you.\n<tool_call>\n{\"name\": \"find\", \"arguments\": {\"a\": 1}}\n</tool_call>";
    (
        Grammar::Triggered {
            triggers: vec![trigger],
            min: 0,
            max: None,
        },
        text.to_owned(),
    )
}

fn grammars(c: &mut Criterion) {
    let Some(vocabulary) = qwen() else { return };
    let longest = (0..vocabulary.len() as u32)
        .filter_map(|t| vocabulary.bytes(t))
        .map(<[u8]>::len)
        .max();
    let by_bytes: std::collections::HashMap<Vec<u8>, u32> = (0..vocabulary.len() as u32)
        .filter(|&t| !vocabulary.is_special(t))
        .filter_map(|t| Some((vocabulary.bytes(t)?.to_vec(), t)))
        .collect();
    let split = |text: &str| {
        let (mut rest, mut tokens) = (text.as_bytes(), Vec::new());
        while !rest.is_empty() {
            let most = longest.unwrap_or(1).min(rest.len());
            let len = (1..=most)
                .rev()
                .find(|&len| by_bytes.contains_key(&rest[..len]))
                .expect("every byte");
            tokens.push(by_bytes[&rest[..len]]);
            rest = &rest[len..];
        }
        tokens
    };
    let object = json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 200}}, "required": ["a"], "additionalProperties": false});
    let long = r#"{"a": "A somewhat long text, which goes on and on for some tokens until it ends"}"#;
    let compiler = GrammarCompiler::new(vocabulary);
    compiler.prepare().expect("a usable vocabulary");
    for (name, (grammar, text)) in [
        ("15 fields", fifteen_fields()),
        ("maxLength 200", (Grammar::strict_schema(object), long.to_owned())),
        (
            "json_object",
            (
                Grammar::JsonObject,
                r#"{"name": "x", "list": [1, 2, {"a": null}], "text": "ok"}"#.to_owned(),
            ),
        ),
        ("trigger", tool_call()),
    ] {
        let tokens = split(&text);
        let compiled = compiler.compile(&grammar).expect("a valid grammar");
        // One iteration is one token: its mask, and moving on by it.
        c.bench_function(&format!("mask/{name}"), |b| {
            let mut constraint = compiled.start();
            let mut next = tokens.iter();
            b.iter(|| {
                let token = next.next().copied().unwrap_or_else(|| {
                    constraint = compiled.start();
                    next = tokens.iter();
                    next.next().copied().expect("some tokens")
                });
                assert!(constraint.mask().expect("a mask").contains(token), "{name}");
                constraint.accept(token).expect("allowed");
            });
        });
        c.bench_function(&format!("start/{name}"), |b| {
            b.iter(|| black_box(compiled.start()))
        });
    }
    let mut count = 0;
    c.bench_function("compile/15 fields", |b| {
        b.iter(|| {
            // Another name each time, or it would be found among the compiled ones.
            count += 1;
            let schema = json!({"title": format!("{count}"), "anyOf": [fifteen_schema()]});
            black_box(
                compiler
                    .compile(&Grammar::strict_schema(schema))
                    .expect("a valid grammar"),
            );
        });
    });
}

fn fifteen_schema() -> Value {
    match fifteen_fields().0 {
        Grammar::JsonSchema { schema, .. } => schema,
        other => unreachable!("{other:?}"),
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = samplers, each_processor, grammars
}
criterion_main!(benches);

//! The public schema suites through our API: byte by byte, and with whole tokens of two real vocabularies.
//! Whatever strict mode compiles, it enforces: no invalid instance is ever accepted.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::time::{Duration, Instant};

use forii_sampling::constraint::{Grammar, GrammarCompiler, GrammarError};
use support::{Greedy, Group, accepts, bytes, model, schemas};

const FILES: [&str; 4] = [
    "keywords.jsonl",
    "strict.jsonl",
    "real-world.jsonl",
    "test-suite-2020-12.jsonl",
];

#[derive(Debug, Default)]
struct Counts {
    groups: usize,
    refused: usize,
    instances: usize,
    /// Groups with a valid instance that is refused.
    too_narrow: Vec<String>,
    /// Groups whose grammar outgrows the engine's limits under way, which ends the answer with an error.
    stopped: Vec<String>,
    /// Groups with an invalid instance that is accepted.
    wrong: Vec<String>,
    compile: Vec<Duration>,
}

fn run(groups: &[Group], compiler: &GrammarCompiler, eos: u32, split: impl Fn(&[u8]) -> Vec<u32>) -> Counts {
    let mut counts = Counts {
        groups: groups.len(),
        ..Counts::default()
    };
    for group in groups {
        let start = Instant::now();
        let compiled = compiler.compile(&Grammar::strict_schema(group.schema.clone()));
        let time = start.elapsed();
        let compiled = match compiled {
            Ok(compiled) => {
                counts.compile.push(time);
                compiled
            }
            Err(GrammarError::Schema {
                keyword,
                path,
                problem,
            }) => {
                counts.refused += 1;
                // `false` alone has no keyword to name.
                assert!(
                    !keyword.is_empty() || group.schema == false,
                    "{}: {path}: {problem}",
                    group.name
                );
                let holder = group.schema.pointer(&path);
                assert!(holder.is_some(), "{}: {path} leads nowhere", group.name);
                if std::env::var_os("VERBOSE").is_some() {
                    eprintln!("{}: {keyword} at {path}: {problem}", group.name);
                }
                continue;
            }
            Err(e) => panic!("{}: {e}", group.name),
        };
        assert!(
            compiled.warnings().is_empty(),
            "{}: {:?}",
            group.name,
            compiled.warnings()
        );
        let (mut narrow, mut wrong, mut stopped) = (false, false, false);
        for (text, valid) in &group.tests {
            counts.instances += 1;
            let Ok(accepted) = accepts(&mut *compiled.start(), &split(text.as_bytes()), eos) else {
                stopped = true;
                continue;
            };
            narrow |= *valid && !accepted;
            wrong |= !*valid && accepted;
        }
        if narrow {
            counts.too_narrow.push(group.name.clone());
        }
        if stopped {
            counts.stopped.push(group.name.clone());
        }
        if wrong {
            counts.wrong.push(group.name.clone());
        }
    }
    counts.compile.sort();
    counts
}

fn report(what: &str, counts: &Counts) {
    let at = |share: f64| counts.compile[((counts.compile.len() - 1) as f64 * share) as usize];
    eprintln!(
        "{what}: {} groups, {} compiled, {} refused, {} too narrow, {} stopped, {} wrong; {} instances; compile p50 {:.1?} p99 {:.1?} max {:.1?}",
        counts.groups,
        counts.groups - counts.refused,
        counts.refused,
        counts.too_narrow.len(),
        counts.stopped.len(),
        counts.wrong.len(),
        counts.instances,
        at(0.5),
        at(0.99),
        at(1.0),
    );
    if std::env::var_os("VERBOSE").is_some() {
        eprintln!(
            "too narrow: {:?}, stopped: {:?}",
            counts.too_narrow, counts.stopped
        );
    }
    assert!(
        counts.wrong.is_empty(),
        "{what}: invalid instances are accepted: {:?}",
        counts.wrong
    );
}

#[test]
fn byte_by_byte() {
    for file in FILES {
        let Some(groups) = schemas(file) else { continue };
        let counts = run(&groups, bytes(), support::EOS, |text| {
            text.iter().map(|&b| b.into()).collect()
        });
        report(file, &counts);
    }
}

fn with_whole_tokens(gguf: &str) {
    let Some(vocabulary) = model(gguf) else { return };
    let (greedy, eos) = (Greedy::new(&vocabulary), vocabulary.eos()[0]);
    let compiler = GrammarCompiler::new(vocabulary);
    compiler.prepare().unwrap();
    for file in FILES {
        let Some(groups) = schemas(file) else { continue };
        report(
            &format!("{file} in tokens of {gguf}"),
            &run(&groups, &compiler, eos, |text| greedy.tokenize(text)),
        );
    }
}

#[test]
fn with_whole_tokens_of_smollm2() {
    with_whole_tokens("smollm2-135m-instruct.gguf");
}

#[test]
fn with_whole_tokens_of_qwen() {
    with_whole_tokens("qwen2.5-coder-0.5b-instruct.gguf");
}

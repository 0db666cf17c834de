//! Several questions at once; the engine computes their tokens together:
//! `cargo run --release --example batch`.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use forii_core::chat::ChatRequest;
use forii_examples::{EngineArgs, Outcome, exit};
use futures_util::future::join_all;

const CITIES: [&str; 4] = ["Paris", "Nairobi", "Kyoto", "Lima"];

/// Ask several questions at once.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    engine: EngineArgs,
}

fn main() -> ExitCode {
    exit(pollster::block_on(run(&Args::parse())))
}

async fn run(args: &Args) -> Outcome {
    let engine = args.engine.build()?;
    let start = Instant::now();
    let questions = CITIES.map(|city| format!("Name one thing to see in {city}, in one sentence."));
    let answers = questions
        .iter()
        .map(|question| engine.chat(ChatRequest::user(question).max_tokens(60)));
    let mut num_tokens = 0;
    for (question, answer) in questions.iter().zip(join_all(answers).await) {
        let answer = answer?;
        num_tokens += answer.usage.completion_tokens;
        println!("{question}\n  {}\n", answer.text().trim());
    }
    let rate = num_tokens as f64 / start.elapsed().as_secs_f64();
    println!(
        "[{num_tokens} tokens for {} questions, {rate:.1} tokens/s]",
        questions.len()
    );
    Ok(())
}

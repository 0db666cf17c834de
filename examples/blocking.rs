//! A whole answer at once, without async: `cargo run --release --example blocking`.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use clap::Parser;
use forii_core::chat::{ChatRequest, Message};
use forii_examples::{EngineArgs, Outcome, exit};

/// Ask one question and wait for the whole answer.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    engine: EngineArgs,
}

fn main() -> ExitCode {
    exit(run(&Args::parse()))
}

fn run(args: &Args) -> Outcome {
    let engine = args.engine.build()?;
    let messages = [
        Message::system("Answer in one short sentence."),
        Message::user("Why is the sky blue?"),
    ];
    let response = engine.chat_blocking(ChatRequest::new(messages).max_tokens(64))?;
    println!("{}", response.text());
    println!(
        "[{} prompt tokens, {} generated]",
        response.usage.prompt_tokens, response.usage.completion_tokens
    );
    Ok(())
}

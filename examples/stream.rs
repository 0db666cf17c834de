//! An answer event by event in an async function: `cargo run --release --example stream`.
#![allow(clippy::print_stdout)]

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Parser;
use forii_core::chat::{ChatEvent, ChatRequest, Delta};
use forii_examples::{EngineArgs, Outcome, exit};
use futures_util::StreamExt;

/// Stream one answer.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    engine: EngineArgs,
}

fn main() -> ExitCode {
    // Any executor will do: the engine has a thread of its own and needs no runtime.
    exit(pollster::block_on(run(&Args::parse())))
}

async fn run(args: &Args) -> Outcome {
    let engine = args.engine.build()?;
    let request = ChatRequest::user("Tell me a story of five sentences about a lighthouse.").max_tokens(200);
    let mut stream = engine.stream(request)?;
    while let Some(event) = stream.next().await {
        match event? {
            ChatEvent::Started { prompt_tokens, .. } => println!("[the prompt has {prompt_tokens} tokens]"),
            ChatEvent::Delta {
                delta: Delta::Text(piece),
            } => {
                print!("{piece}");
                stdout().flush()?;
            }
            ChatEvent::Finished { reason, usage } => {
                println!("\n[{} tokens, ended by {reason:?}]", usage.completion_tokens);
            }
            _ => {}
        }
    }
    Ok(())
}

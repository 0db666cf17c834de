//! A conversation in the terminal: `cargo run --release --example chat -- "question"` answers once;
//! without a question there is a history, /reset and /quit. Ctrl-C stops an answer, not the program.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use clap::Parser;
use forii_core::chat::Message;
use forii_examples::{EngineArgs, Outcome, SamplingArgs, exit, print_answer, read_line};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Talk to a model.
#[derive(Parser)]
struct Args {
    /// The question; without one a conversation begins
    question: Option<String>,
    /// Instructions that frame the conversation
    #[arg(long, default_value = "You are a helpful assistant.")]
    system: String,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

fn main() -> ExitCode {
    exit(run(&Args::parse()))
}

fn run(args: &Args) -> Outcome {
    let engine = args.engine.build()?;
    ctrlc::set_handler(|| INTERRUPTED.store(true, Relaxed))?;
    let opening: Vec<_> = vec![Message::system(&args.system)];
    let ask = |mut history: Vec<Message>, question: &str| -> Outcome<Vec<Message>> {
        history.push(Message::user(question));
        INTERRUPTED.store(false, Relaxed);
        let stream = engine.stream(args.sampling.request(history.clone()))?;
        let answer = print_answer(stream, || INTERRUPTED.load(Relaxed))?;
        history.push(Message::assistant(answer));
        Ok(history)
    };
    if let Some(question) = &args.question {
        return ask(opening, question).map(drop);
    }
    let mut history = opening.clone();
    println!("/reset forgets the conversation, /quit ends it, Ctrl-C stops an answer");
    while let Some(line) = read_line("> ")? {
        match line.as_str() {
            "" => {}
            "/quit" => return Ok(()),
            "/reset" => history.clone_from(&opening),
            question => ask(history.clone(), question)
                .map(|longer| history = longer)
                .unwrap_or_else(|error| println!("error: {error}")),
        }
    }
    Ok(())
}

//! What the examples and the throughput program share: the arguments that choose a model and where it
//! runs, an answer printed while it comes, and the bar that shows a download.

// A terminal program talks to its terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod progress;

use std::error::Error;
use std::io::{Write, stdin, stdout};
use std::process::ExitCode;
use std::time::Instant;

use forii_core::chat::{ChatEvent, ChatRequest, Delta, Message, Usage};
use forii_core::engine::{ChatEngine, ChatStream, EngineBuilder};
use forii_core::error::LoadError;
use forii_core::hub::ModelSource;
use forii_core::kernels::DeviceKind;
use forii_core::sampling::SamplingParams;

pub use progress::show_progress;

/// What a part of a program here returns; [`exit`] ends the program with it.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Prints the error in words, not as Rust data.
pub fn exit(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The model, and where it runs.
#[derive(Debug, Clone, clap::Args)]
pub struct EngineArgs {
    /// A GGUF file, a Hugging Face folder, org/name[:file.gguf] on the hub, or a short name
    #[arg(long, default_value_t)]
    pub model: ModelSource,
    /// cpu, cuda, cuda:1 or wgpu
    #[arg(long, default_value = "cpu", value_parser = device)]
    pub device: DeviceKind,
    /// Threads of the CPU kernels [default: all cores]
    #[arg(long)]
    pub threads: Option<usize>,
}

impl EngineArgs {
    /// A builder with these arguments, which shows a download's progress.
    pub fn builder(&self) -> EngineBuilder {
        let builder = ChatEngine::builder(self.model.clone())
            .device(self.device)
            .progress(show_progress());
        match self.threads {
            Some(threads) => builder.threads(threads),
            None => builder,
        }
    }

    /// Loads the model, fetching it first where it is not on this machine yet.
    ///
    /// # Errors
    /// What the engine's builder says.
    pub fn build(&self) -> Result<ChatEngine, LoadError> {
        self.builder().build()
    }
}

/// Reads a device's name.
fn device(text: &str) -> Result<DeviceKind, String> {
    let (kind, index) = text.split_once(':').unwrap_or((text, "0"));
    match (kind, index.parse()) {
        ("cpu", Ok(0)) => Ok(DeviceKind::Cpu),
        ("cuda", Ok(index)) => Ok(DeviceKind::Cuda(index)),
        ("wgpu", Ok(0)) => Ok(DeviceKind::Wgpu),
        _ => Err("expected cpu, cuda, cuda:INDEX or wgpu".to_owned()),
    }
}

/// How an answer is generated.
#[derive(Debug, Clone, clap::Args)]
pub struct SamplingArgs {
    /// 0 takes the likeliest token each time
    #[arg(long, default_value_t = 0.0)]
    pub temperature: f32,
    /// The longest answer in tokens
    #[arg(long, default_value_t = 1024)]
    pub max_tokens: usize,
}

impl SamplingArgs {
    /// A request for the next turn of a conversation.
    pub fn request(&self, messages: impl Into<Vec<Message>>) -> ChatRequest {
        let mut params = SamplingParams::default();
        params.temperature = self.temperature;
        ChatRequest::new(messages)
            .sampling(params)
            .max_tokens(self.max_tokens)
    }
}

/// Asks for a line; `None` at the end of the input.
///
/// # Errors
/// What the terminal says.
pub fn read_line(prompt: &str) -> Outcome<Option<String>> {
    print!("{prompt}");
    stdout().flush()?;
    let mut line = String::new();
    let num_bytes = stdin().read_line(&mut line)?;
    Ok((num_bytes > 0).then(|| line.trim().to_owned()))
}

/// Prints an answer while it comes, and after it one line of figures. Stops where `is_interrupted`
/// says so; the dropped stream cancels the rest. Returns what was said.
///
/// # Errors
/// What the stream or standard output says.
pub fn print_answer(stream: ChatStream, is_interrupted: impl Fn() -> bool) -> Outcome<String> {
    let start = Instant::now();
    let (mut text, mut first, mut prompt_len, mut num_pieces) = (String::new(), None, 0, 0);
    let mut usage: Option<Usage> = None;
    for event in stream.blocking() {
        match event? {
            ChatEvent::Started { prompt_tokens, .. } => prompt_len = prompt_tokens,
            ChatEvent::Delta {
                delta: Delta::Text(piece),
            } => {
                first.get_or_insert_with(Instant::now);
                num_pieces += 1;
                print!("{piece}");
                stdout().flush()?;
                text.push_str(&piece);
            }
            ChatEvent::Finished { usage: total, .. } => usage = Some(total),
            _ => {}
        }
        if is_interrupted() {
            break;
        }
    }
    // A stopped answer has no usage; its pieces are its tokens, but for characters of several tokens.
    let num_tokens = usage.map_or(num_pieces, |usage| usage.completion_tokens);
    let first = first.unwrap_or_else(Instant::now);
    let rate = num_tokens.saturating_sub(1) as f64 / first.elapsed().as_secs_f64();
    println!(
        "\n[{prompt_len} prompt tokens, first token after {:.2} s, {rate:.1} tokens/s]",
        (first - start).as_secs_f64()
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named() {
        assert_eq!(device("cuda:1"), Ok(DeviceKind::Cuda(1)));
        assert_eq!(device("cpu"), Ok(DeviceKind::Cpu));
        for wrong in ["cpu:1", "gpu", "cuda:x", ""] {
            assert!(device(wrong).is_err(), "{wrong}");
        }
    }
}

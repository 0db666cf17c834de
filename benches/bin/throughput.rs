//! Tokens a second, end to end: `cargo run --release -p forii-benches --bin throughput -- --model SOURCE`.
//! Prefill is the prompts' tokens over the time until every sequence has its first token; decode is
//! what follows over the time it takes, all sequences together. Prompts are random tokens, so that no
//! two share a prefix; the end token is ignored.

// A terminal program talks to its terminal.
#![allow(clippy::print_stdout)]

use std::fs;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use clap::Parser;
use forii_core::engine::{ChatEngine, TokenEvent, TokenRequest, TokenStream};
use forii_core::sampling::{SamplingParams, TokenId};
use forii_examples::{EngineArgs, Outcome, exit};
use serde::Serialize;

/// Measure how fast a model loads, reads and writes, and what it takes.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    engine: EngineArgs,
    /// Tokens of each prompt
    #[arg(long, default_value_t = 512)]
    prompt_tokens: usize,
    /// Tokens to generate in each sequence, at least 2
    #[arg(long, default_value_t = 128)]
    generate: usize,
    /// Sequences at once
    #[arg(long, default_value_t = 1)]
    parallel: usize,
    /// Measured runs, each with a model loaded anew
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    exit(run(&Args::parse()))
}

fn run(args: &Args) -> Outcome {
    if args.generate < 2 || [args.prompt_tokens, args.parallel, args.repeat].contains(&0) {
        return Err(
            "--generate must be at least 2, --prompt-tokens, --parallel and --repeat at least 1".into(),
        );
    }
    let mut random = Random(0x5eed);
    let mut samples = Samples::default();
    for _ in 0..args.repeat {
        let start = Instant::now();
        let engine = args
            .engine
            .builder()
            .context_len(args.prompt_tokens + args.generate)
            .max_sequences(args.parallel)
            .build()?;
        samples.load_ms.push(start.elapsed().as_secs_f64() * 1e3);
        // The first pass faults pages in and starts threads; llama-bench does not count one either.
        measure(args, 2, &engine, &mut random)?;
        samples.push(args, &measure(args, args.generate, &engine, &mut random)?);
        samples.peak_rss_bytes.push(peak_rss_bytes()? as f64);
    }
    let report = samples.report(args);
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => report.print(),
    }
    Ok(())
}

/// When each token of each sequence arrived, in seconds after all were submitted.
type Arrivals = Vec<Vec<f64>>;

fn measure(args: &Args, generate: usize, engine: &ChatEngine, random: &mut Random) -> Outcome<Arrivals> {
    let vocab_size = engine.config().vocab_size;
    let prompts: Vec<Vec<TokenId>> = (0..args.parallel)
        .map(|_| {
            (0..args.prompt_tokens)
                .map(|_| random.below(vocab_size))
                .collect()
        })
        .collect();
    let params = SamplingParams::greedy().ignore_eos(true);
    let start = Instant::now();
    let streams = prompts.into_iter().map(|prompt| {
        engine.stream_tokens(TokenRequest {
            prompt,
            params: params.clone(),
            max_tokens: Some(generate),
        })
    });
    let streams = streams.collect::<Result<Vec<_>, _>>()?;
    let listen = |stream: TokenStream| -> Result<Vec<f64>, String> {
        let mut arrivals = Vec::with_capacity(generate);
        for event in stream.blocking() {
            if let TokenEvent::Token { .. } = event.map_err(|error| error.to_string())? {
                arrivals.push(start.elapsed().as_secs_f64());
            }
        }
        match arrivals.len() == generate {
            true => Ok(arrivals),
            false => Err(format!(
                "a sequence ended after {} of {generate} tokens",
                arrivals.len()
            )),
        }
    };
    // A listener for each sequence, so that none's tokens wait for another's before they are seen.
    let arrivals: Result<Arrivals, String> = thread::scope(|scope| {
        let listeners: Vec<_> = streams
            .into_iter()
            .map(|stream| scope.spawn(|| listen(stream)))
            .collect();
        let joined = listeners.into_iter().map(|listener| listener.join());
        joined
            .map(|result| result.unwrap_or_else(|_| Err("a listener panicked".to_owned())))
            .collect()
    });
    Ok(arrivals?)
}

/// The highest resident memory of this process so far.
fn peak_rss_bytes() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .ok_or("no VmHWM in /proc/self/status")?;
    Ok(kilobytes.trim().parse::<u64>()? * 1024)
}

/// SplitMix64: the same prompts in every run of the program.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> TokenId {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as TokenId
    }
}

/// One number for each run, or for each sequence of each run.
#[derive(Default)]
struct Samples {
    prefill: Vec<f64>,
    decode: Vec<f64>,
    first_token_ms: Vec<f64>,
    load_ms: Vec<f64>,
    peak_rss_bytes: Vec<f64>,
}

impl Samples {
    fn push(&mut self, args: &Args, arrivals: &Arrivals) {
        let firsts = arrivals.iter().filter_map(|times| times.first().copied());
        let prefill_end = firsts.clone().fold(0.0, f64::max);
        let end = arrivals.iter().flatten().copied().fold(0.0, f64::max);
        let num_after = arrivals
            .iter()
            .flatten()
            .filter(|time| **time > prefill_end)
            .count();
        self.prefill
            .push((args.prompt_tokens * args.parallel) as f64 / prefill_end);
        self.decode.push(num_after as f64 / (end - prefill_end));
        self.first_token_ms.extend(firsts.map(|seconds| seconds * 1e3));
    }

    fn report(&self, args: &Args) -> Report {
        Report {
            model: args.engine.model.to_string(),
            prompt_tokens: args.prompt_tokens,
            generate: args.generate,
            parallel: args.parallel,
            threads: args.engine.threads,
            repeat: args.repeat,
            prefill_tokens_per_second: Spread::of(&self.prefill),
            decode_tokens_per_second: Spread::of(&self.decode),
            time_to_first_token_ms: Spread::of(&self.first_token_ms),
            load_ms: Spread::of(&self.load_ms),
            peak_rss_bytes: Spread::of(&self.peak_rss_bytes),
        }
    }
}

/// What is printed.
#[derive(Serialize)]
struct Report {
    model: String,
    prompt_tokens: usize,
    generate: usize,
    parallel: usize,
    threads: Option<usize>,
    repeat: usize,
    prefill_tokens_per_second: Spread,
    decode_tokens_per_second: Spread,
    time_to_first_token_ms: Spread,
    load_ms: Spread,
    peak_rss_bytes: Spread,
}

impl Report {
    fn print(&self) {
        println!("{:<28}{:>14}{:>14}{:>14}", self.model, "median", "min", "max");
        let rows = [
            ("prefill, tokens/s", &self.prefill_tokens_per_second, 1.0),
            ("decode, tokens/s", &self.decode_tokens_per_second, 1.0),
            ("time to first token, ms", &self.time_to_first_token_ms, 1.0),
            ("load, ms", &self.load_ms, 1.0),
            ("peak resident set, MB", &self.peak_rss_bytes, 1e6),
        ];
        for (name, spread, unit) in rows {
            let [median, min, max] = [spread.median, spread.min, spread.max].map(|value| value / unit);
            println!("{name:<28}{median:>14.1}{min:>14.1}{max:>14.1}");
        }
    }
}

/// The middle and the ends of some measurements.
#[derive(Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    /// Of at least one value.
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Self {
            median: (low + high) / 2.0,
            min: sorted[0],
            max: sorted[sorted.len() - 1],
        }
    }
}

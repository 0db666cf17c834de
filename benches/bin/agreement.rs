//! How well forii agrees with llama.cpp on a text, position by position.
//!
//! `llama-perplexity -m MODEL -f TEXT -c 512 --chunks 4 --kl-divergence-base FILE` writes llama.cpp's
//! log-probabilities; `agreement --model MODEL --base FILE` feeds the same tokens one by one through
//! forii and prints one JSON object: positions compared, share of equal argmax, mean and largest
//! difference of the true next token's log-probability, mean KL divergence, and both perplexities.

// A terminal program prints its result.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;
use forii_core::checkpoint;
use forii_core::hub::{self, ModelSource};
use forii_core::kernels::{BLOCK_LEN, Batch, Compute, DeviceKind, KvCache, Span};
use forii_core::models::{self, Model};

#[derive(Debug, Parser)]
#[command(about = "Compares forii's log-probabilities with those that llama-perplexity wrote")]
struct Args {
    /// A path, a model reference or a catalogue name.
    #[arg(long)]
    model: String,
    /// The file that llama-perplexity wrote with --kl-divergence-base.
    #[arg(long)]
    base: PathBuf,
    /// Threads of the CPU kernels.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Tokens fed in one step: 1 takes the decoding path, more the prefill path.
    #[arg(long, default_value_t = 1)]
    step: usize,
}

/// What llama-perplexity writes: sizes, tokens, then for the second half of each chunk a row of a
/// scale, a minimum, and 16-bit log-probabilities above it.
struct Base {
    bytes: Vec<u8>,
    chunk_len: usize,
    vocab: usize,
    chunks: usize,
}

impl Base {
    fn read(path: &PathBuf) -> Result<Self, Box<dyn Error>> {
        let bytes = std::fs::read(path)?;
        if !bytes.starts_with(b"_logits_") || bytes.len() < 20 {
            return Err("the base file does not start as llama-perplexity writes it".into());
        }
        let int = |at: usize| {
            bytes[at..at + 4]
                .try_into()
                .map(i32::from_le_bytes)
                .map(|v| v as usize)
        };
        let (chunk_len, vocab, chunks) = (int(8)?, int(12)?, int(16)?);
        let base = Self {
            bytes,
            chunk_len,
            vocab,
            chunks,
        };
        let expected = base.row_start(chunks, 0);
        if base.bytes.len() < expected {
            return Err(format!(
                "the base file has {} bytes, expected {expected}",
                base.bytes.len()
            )
            .into());
        }
        Ok(base)
    }

    /// The first position whose prediction is in the file.
    fn first(&self) -> usize {
        self.chunk_len / 2
    }

    fn token(&self, chunk: usize, index: usize) -> u32 {
        let at = 20 + 4 * (chunk * self.chunk_len + index);
        u32::from_le_bytes([
            self.bytes[at],
            self.bytes[at + 1],
            self.bytes[at + 2],
            self.bytes[at + 3],
        ])
    }

    fn row_start(&self, chunk: usize, row: usize) -> usize {
        let row_bytes = 2 * (2 * self.vocab.div_ceil(2) + 4);
        let rows = self.chunk_len - 1 - self.first();
        20 + 4 * self.chunks * self.chunk_len + (chunk * rows + row) * row_bytes
    }

    /// llama.cpp's log-probabilities of one position's next token.
    fn log_probs(&self, chunk: usize, position: usize) -> Vec<f32> {
        let row = &self.bytes[self.row_start(chunk, position - self.first())..];
        let float = |at: usize| f32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]);
        let (scale, min) = (float(0), float(4));
        let codes = row[8..].as_chunks::<2>().0;
        codes[..self.vocab]
            .iter()
            .map(|&code| min + scale * f32::from(u16::from_le_bytes(code)))
            .collect()
    }
}

#[derive(Default)]
struct Sums {
    positions: usize,
    agree: usize,
    difference: f64,
    largest: f64,
    kl: f64,
    ours: f64,
    theirs: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let base = Base::read(&args.base)?;
    let path = hub::resolve(&ModelSource::from(args.model.as_str()), &mut |_| {})?;
    let checkpoint = checkpoint::open(&path)?;
    let compute = Compute::new(DeviceKind::Cpu, args.threads)?;
    let model = models::load(&*checkpoint, &compute)?;
    let num_blocks = base.chunk_len.div_ceil(BLOCK_LEN);
    let mut cache = KvCache::new(&compute, &model.kv_shape(), num_blocks)?;
    let mut sums = Sums::default();
    for chunk in 0..base.chunks {
        let tokens: Vec<u32> = (0..base.chunk_len)
            .map(|index| base.token(chunk, index))
            .collect();
        let mut start = 0;
        while start < base.chunk_len - 1 {
            let end = (start + args.step).min(base.chunk_len - 1);
            let scores = forward(&*model, &mut cache, &tokens, start..end, num_blocks)?;
            for (position, row) in (start..end).zip(scores.chunks_exact(base.vocab)) {
                if position >= base.first() {
                    compare(
                        &mut sums,
                        row,
                        &base.log_probs(chunk, position),
                        tokens[position + 1] as usize,
                    );
                }
            }
            start = end;
        }
    }
    let n = sums.positions as f64;
    let result = serde_json::json!({
        "positions": sums.positions,
        "argmax_agreement": sums.agree as f64 / n,
        "mean_logprob_difference": sums.difference / n,
        "largest_logprob_difference": sums.largest,
        "mean_kl_divergence": sums.kl / n,
        "perplexity": (sums.ours / n).exp(),
        "perplexity_of_base": (sums.theirs / n).exp(),
    });
    println!("{result:#}");
    Ok(())
}

/// The scores of all tokens of a range, the earlier ones being in the cache.
fn forward(
    model: &dyn Model,
    cache: &mut KvCache,
    tokens: &[u32],
    range: std::ops::Range<usize>,
    num_blocks: usize,
) -> Result<Vec<f32>, Box<dyn Error>> {
    let len = range.len();
    let batch = Batch {
        tokens: tokens[range.clone()].to_vec(),
        positions: range.clone().map(|position| position as u32).collect(),
        spans: vec![Span {
            tokens: 0..len,
            context: range.start,
            table: 0..num_blocks,
        }],
        block_tables: (0..num_blocks as u32).collect(),
        outputs: (0..len as u32).collect(),
    };
    let scores = model.forward(&batch, cache);
    scores
        .into_data()
        .try_into_vec::<f32>()
        .map_err(|error| format!("{error:?}").into())
}

fn compare(sums: &mut Sums, scores: &[f32], theirs: &[f32], next: usize) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let log_sum = scores.iter().map(|&s| f64::from(s - max).exp()).sum::<f64>().ln();
    let ours = |token: usize| f64::from(scores[token] - max) - log_sum;
    let difference = (ours(next) - f64::from(theirs[next])).abs();
    sums.positions += 1;
    sums.agree += usize::from(argmax(scores) == argmax(theirs));
    sums.difference += difference;
    sums.largest = sums.largest.max(difference);
    sums.kl += (0..scores.len())
        .map(|t| ours(t).exp() * (ours(t) - f64::from(theirs[t])))
        .sum::<f64>();
    sums.ours -= ours(next);
    sums.theirs -= f64::from(theirs[next]);
}

fn argmax(values: &[f32]) -> usize {
    values
        .iter()
        .enumerate()
        .fold(0, |best, (i, v)| if *v > values[best] { i } else { best })
}

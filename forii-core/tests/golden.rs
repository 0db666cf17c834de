//! Tiny checkpoints against the logits that transformers computed for them, and what must not
//! change a score: other sequences in the batch, the chunks of a prompt, the file's format.
//!
//! `FORII_TEST_DEVICE` chooses the device: `cpu` (also where it is unset: forii's kernels and the
//! reference both) or `wgpu`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use forii_core::checkpoint;
use forii_core::kernels::{BLOCK_LEN, Batch, Compute, DeviceKind, KvCache, Span};
use forii_core::models::{self, Model};
use safetensors::SafeTensors;

/// Tokens of a golden prompt; the rest was decoded one by one.
const PROMPT: usize = 40;
/// Blocks of a test's cache: four sequences of 60 tokens.
const NUM_BLOCKS: u32 = 16;

/// A way to compute, and what is expected of it.
struct Backend {
    name: &'static str,
    compute: Compute,
    /// Whether it rounds the cache to half precision and activations before Q8_0 weights to bytes.
    rounds: bool,
}

/// How far logits may be from those that transformers computes with the same roundings.
const TOLERANCE: f32 = 1e-3;
/// What the cache in half precision may add.
const ROUNDED_CACHE: f32 = 1e-2;
/// What one activation adds that lies between two bytes: noise of 1e-7 decides which one it becomes.
const FLIPPED_BYTE: f32 = 1e-1;

fn backends() -> Vec<Backend> {
    let backend = |name, compute, rounds| Backend {
        name,
        compute,
        rounds,
    };
    match std::env::var("FORII_TEST_DEVICE").as_deref() {
        Err(_) | Ok("cpu") => vec![
            backend("reference", Compute::reference(Device::flex()), false),
            backend("cpu", Compute::new(DeviceKind::Cpu, 2).unwrap(), true),
        ],
        Ok("wgpu") => vec![backend("wgpu", Compute::new(DeviceKind::Wgpu, 1).unwrap(), false)],
        Ok(other) => panic!("FORII_TEST_DEVICE is '{other}', known are cpu and wgpu"),
    }
}

impl Backend {
    /// How far a row alone may be from the same row among others: nothing on the CPU, where each
    /// row has its own order of additions; elsewhere that is the library's choice.
    fn invariance(&self) -> f32 {
        if self.rounds { 0.0 } else { 1e-5 }
    }
}

/// A folder under testdata/checkpoints.
struct Case {
    name: String,
    folder: PathBuf,
    tokens: Vec<u32>,
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/checkpoints");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("golden.safetensors").exists())
        .collect();
    folders.sort();
    assert!(folders.len() >= 13, "testdata/checkpoints is not whole");
    folders
        .into_iter()
        .map(|folder| Case {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            tokens: golden(&folder, "tokens", |bytes| i32::from_le_bytes(bytes) as u32),
            folder,
        })
        .collect()
}

impl Case {
    /// The checkpoint's files, and which golden logits are theirs.
    fn files(&self) -> Vec<(PathBuf, &'static str)> {
        let gguf = ["f32", "f16", "q8_0"].map(|kind| (self.folder.join(format!("{kind}.gguf")), kind));
        let mut files = vec![(self.folder.clone(), "f32")];
        files.extend(gguf.into_iter().filter(|(path, _)| path.exists()));
        files
    }

    fn rows(&self, kind: &str) -> Vec<Vec<f32>> {
        let values = golden(&self.folder, kind, f32::from_le_bytes);
        let first = PROMPT - SHOWN;
        let vocab = values.len() / (self.tokens.len() - first);
        values.chunks(vocab).map(<[f32]>::to_vec).collect()
    }
}

/// Golden logits begin with this many of the prompt's last tokens.
const SHOWN: usize = 4;

fn golden<T>(folder: &Path, name: &str, from_bytes: impl Fn([u8; 4]) -> T) -> Vec<T> {
    let bytes = std::fs::read(folder.join("golden.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor(name).unwrap();
    tensor
        .data()
        .as_chunks()
        .0
        .iter()
        .map(|&bytes| from_bytes(bytes))
        .collect()
}

fn load(path: &Path, compute: &Compute) -> Box<dyn Model> {
    let checkpoint = checkpoint::open(path).unwrap();
    models::load(checkpoint.as_ref(), compute).unwrap()
}

/// A sequence under way: how much of it is cached, and where.
struct Sequence<'a> {
    tokens: &'a [u32],
    context: usize,
    table: Vec<u32>,
}

impl<'a> Sequence<'a> {
    /// The `index`th sequence of a test; its blocks lie scattered among those of the others.
    fn new(tokens: &'a [u32], index: u32) -> Self {
        let blocks = tokens.len().div_ceil(BLOCK_LEN) as u32;
        let table = (0..blocks)
            .map(|block| NUM_BLOCKS - 1 - (4 * block + index) % NUM_BLOCKS)
            .collect();
        Self {
            tokens,
            context: 0,
            table,
        }
    }
}

/// Runs the next tokens of each sequence, `(sequence, count, wanted)`, as one batch; gives the
/// scores of the last `wanted` of each.
fn step(
    model: &dyn Model,
    cache: &mut KvCache,
    work: &mut [(&mut Sequence<'_>, usize, usize)],
) -> Vec<Vec<f32>> {
    let mut batch = Batch::default();
    for (sequence, count, wanted) in work {
        let (first, end) = (sequence.context, sequence.context + *count);
        let start = batch.tokens.len();
        let table = batch.block_tables.len();
        batch.tokens.extend(&sequence.tokens[first..end]);
        batch.positions.extend(first as u32..end as u32);
        batch.block_tables.extend(&sequence.table);
        batch.spans.push(Span {
            tokens: start..start + *count,
            context: first,
            table: table..batch.block_tables.len(),
        });
        batch
            .outputs
            .extend((start + *count - *wanted..start + *count).map(|row| row as u32));
        sequence.context = end;
    }
    if batch.outputs.is_empty() {
        // A piece of a prompt, as the engine runs it: one row goes through, and nobody reads it.
        batch.outputs.push(batch.tokens.len() as u32 - 1);
        model.hidden(&batch, cache);
        return Vec::new();
    }
    let scores = model.forward(&batch, cache);
    let [rows, vocab] = scores.dims();
    assert_eq!(rows, batch.outputs.len());
    let values = scores.try_into_vec_as::<f32>().unwrap();
    values.chunks(vocab).map(<[f32]>::to_vec).collect()
}

/// A prompt in chunks, then the rest token by token: scores of the prompt's last tokens and all others.
fn run(model: &dyn Model, compute: &Compute, tokens: &[u32], chunks: &[usize]) -> Vec<Vec<f32>> {
    let mut cache = KvCache::new(compute, &model.kv_shape(), NUM_BLOCKS as usize).unwrap();
    let mut sequence = Sequence::new(tokens, 0);
    let mut rows = Vec::new();
    for (index, &chunk) in chunks.iter().enumerate() {
        let wanted = if index + 1 == chunks.len() { SHOWN } else { 0 };
        rows.extend(step(model, &mut cache, &mut [(&mut sequence, chunk, wanted)]));
    }
    assert_eq!(sequence.context, PROMPT);
    for _ in PROMPT..tokens.len() {
        rows.extend(step(model, &mut cache, &mut [(&mut sequence, 1, 1)]));
    }
    rows
}

/// The largest difference between two sets of scores.
fn distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b).flat_map(|(a, b)| {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b)
    });
    pairs.fold(0.0, |worst, (a, b)| {
        assert!(a.is_finite() && b.is_finite());
        worst.max((a - b).abs())
    })
}

#[test]
fn logits_are_those_of_transformers() {
    for backend in backends() {
        let (mut quantized, mut close) = (0, 0);
        for case in cases() {
            for (path, kind) in case.files() {
                let model = load(&path, &backend.compute);
                let rows = run(model.as_ref(), &backend.compute, &case.tokens, &[PROMPT]);
                let exact = distance(&rows, &case.rows(kind));
                let message = format!("{} {}: {exact:.1e} off", backend.name, path.display());
                println!("{message}");
                if !backend.rounds {
                    assert!(exact <= TOLERANCE, "{message}");
                    continue;
                }
                let rounded = distance(&rows, &case.rows(&format!("{kind}_cpu")));
                println!("    with the same roundings {rounded:.1e}");
                if kind == "q8_0" {
                    assert!(
                        rounded <= FLIPPED_BYTE,
                        "{message}, {rounded} with the same roundings"
                    );
                    quantized += 1;
                    close += usize::from(rounded <= TOLERANCE);
                } else {
                    assert!(
                        rounded <= TOLERANCE,
                        "{message}, {rounded} with the same roundings"
                    );
                    assert!(exact <= ROUNDED_CACHE, "{message}");
                }
            }
        }
        // A byte flips in one file or another, never in most.
        assert!(
            2 * close >= quantized,
            "{}: {close} of {quantized} are close",
            backend.name
        );
    }
}

#[test]
fn gguf_gives_what_safetensors_gives() {
    for backend in backends() {
        for case in cases()
            .iter()
            .filter(|case| case.folder.join("f32.gguf").exists())
        {
            let rows = [case.folder.clone(), case.folder.join("f32.gguf")].map(|path| {
                let model = load(&path, &backend.compute);
                run(model.as_ref(), &backend.compute, &case.tokens, &[PROMPT])
            });
            let worst = distance(&rows[0], &rows[1]);
            // GGUF keeps the divisors of Llama 3's frequencies, which round once more.
            assert!(
                worst <= 1e-4,
                "{}: {}: {worst} between the formats",
                backend.name,
                case.name
            );
        }
    }
}

#[test]
fn a_prompt_in_chunks_gives_the_same_scores() {
    for backend in backends() {
        // LongRoPE turns by the length that the sequence has in its step: chunks of a long prompt
        // that are still short differ, as they do in transformers.
        for case in cases()
            .iter()
            .filter(|case| case.name != "llama-rope-longrope-long")
        {
            let model = load(&case.folder, &backend.compute);
            let whole = run(model.as_ref(), &backend.compute, &case.tokens, &[PROMPT]);
            for chunks in [&[16, 16, 8][..], &[1, 7, 25, 3, 4]] {
                let chunked = run(model.as_ref(), &backend.compute, &case.tokens, chunks);
                let worst = distance(&whole, &chunked);
                assert!(
                    worst <= backend.invariance(),
                    "{}: {}: {worst} in {chunks:?}",
                    backend.name,
                    case.name
                );
            }
        }
    }
}

#[test]
fn other_sequences_change_nothing() {
    for backend in backends() {
        for case in cases() {
            let model = load(&case.folder, &backend.compute);
            let model = model.as_ref();
            let alone = run(model, &backend.compute, &case.tokens, &[PROMPT]);

            let mut cache = KvCache::new(&backend.compute, &model.kv_shape(), NUM_BLOCKS as usize).unwrap();
            let reversed: Vec<u32> = case.tokens.iter().rev().copied().collect();
            let mut sequence = Sequence::new(&case.tokens, 0);
            let mut before = Sequence::new(&reversed, 1);
            let mut after = Sequence::new(&reversed[3..], 2);
            // Its prompt beside a prompt and a chunk, then its tokens beside a token and chunks.
            let mut work = [
                (&mut before, 33, 1),
                (&mut sequence, PROMPT, SHOWN),
                (&mut after, 5, 0),
            ];
            let mut rows = step(model, &mut cache, &mut work)[1..].to_vec();
            for index in PROMPT..case.tokens.len() {
                let mut work = vec![(&mut after, 1 + index % 3, 1), (&mut sequence, 1, 1)];
                if index % 2 == 0 {
                    work.insert(0, (&mut before, 1, 1));
                }
                rows.push(step(model, &mut cache, &mut work).pop().unwrap());
            }
            let worst = distance(&alone, &rows);
            assert!(
                worst <= backend.invariance(),
                "{}: {}: {worst}",
                backend.name,
                case.name
            );
        }
    }
}

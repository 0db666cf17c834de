//! Attention against a plain reference in double precision, and against itself: a row must come out
//! bit for bit the same however its sequence was cut up, batched or shared out among threads.

use std::ops::Range;

use burn::tensor::{DType, Shape};

use super::*;
use crate::kernels::cpu::simd::Level;
use crate::kernels::{BLOCK_LEN, DeviceKind, KvCache, KvShape, Span};

/// The largest difference from the reference, whose keys and values are rounded to f16 alike. A key
/// that falls on the other side of a rounding boundary in f32 than in f64 is what is left.
const TOLERANCE: f64 = 4e-4;
const EPS: f32 = 1e-6;
const NUM_BLOCKS: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Case {
    num_heads: usize,
    num_kv_heads: usize,
    head_dim: usize,
    window: Option<usize>,
    softcap: Option<f32>,
    norms: bool,
}

const PLAIN: Case = Case {
    num_heads: 9,
    num_kv_heads: 3,
    head_dim: 64,
    window: None,
    softcap: None,
    norms: false,
};

const CASES: [Case; 14] = [
    PLAIN,
    Case {
        num_heads: 14,
        num_kv_heads: 2,
        ..PLAIN
    },
    Case {
        num_heads: 4,
        num_kv_heads: 1,
        head_dim: 128,
        norms: true,
        ..PLAIN
    },
    Case {
        num_heads: 8,
        num_kv_heads: 8,
        head_dim: 32,
        ..PLAIN
    },
    Case {
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 8,
        ..PLAIN
    },
    Case {
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 16,
        norms: true,
        ..PLAIN
    },
    Case {
        num_heads: 2,
        num_kv_heads: 2,
        head_dim: 80,
        softcap: Some(5.0),
        ..PLAIN
    },
    Case {
        num_heads: 4,
        num_kv_heads: 1,
        head_dim: 256,
        window: Some(20),
        norms: true,
        ..PLAIN
    },
    Case {
        num_heads: 8,
        num_kv_heads: 4,
        head_dim: 16,
        window: Some(7),
        ..PLAIN
    },
    Case {
        num_heads: 6,
        num_kv_heads: 1,
        head_dim: 48,
        window: Some(64),
        softcap: Some(2.0),
        ..PLAIN
    },
    Case {
        num_heads: 1,
        num_kv_heads: 1,
        head_dim: 2,
        window: Some(1),
        ..PLAIN
    },
    Case {
        num_heads: 40,
        num_kv_heads: 1,
        head_dim: 24,
        ..PLAIN
    },
    Case {
        num_heads: 130,
        num_kv_heads: 1,
        head_dim: 16,
        ..PLAIN
    },
    Case {
        num_heads: 3,
        num_kv_heads: 1,
        head_dim: 20,
        window: Some(33),
        norms: true,
        ..PLAIN
    },
];

impl Case {
    fn params(&self) -> AttentionParams {
        AttentionParams {
            num_heads: self.num_heads,
            num_kv_heads: self.num_kv_heads,
            head_dim: self.head_dim,
            scale: 1.0 / (self.head_dim as f32).sqrt(),
            window: self.window,
            softcap: self.softcap,
        }
    }

    fn row_len(&self) -> usize {
        (self.num_heads + 2 * self.num_kv_heads) * self.head_dim
    }

    fn out_len(&self) -> usize {
        self.num_heads * self.head_dim
    }

    fn norm(&self, seed: u64) -> Vec<f32> {
        random(seed, self.head_dim)
            .iter()
            .map(|x| 1.0 + 0.3 * x)
            .collect()
    }
}

/// Roughly normal numbers.
fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    };
    (0..len)
        .map(|_| 1.7 * (0..4).map(|_| uniform()).sum::<f32>())
        .collect()
}

/// The tokens of one sequence, with the blocks that it owns.
#[derive(Debug)]
struct Sequence {
    case: Case,
    len: usize,
    qkv: Vec<f32>,
    table: Vec<u32>,
}

/// Sequences of these lengths whose blocks lie about in the cache.
fn sequences(case: Case, lens: &[usize]) -> Vec<Sequence> {
    let mut free: Vec<u32> = (0..NUM_BLOCKS as u32)
        .map(|i| i * 29 % NUM_BLOCKS as u32)
        .collect();
    let make = |(i, &len): (usize, &usize)| Sequence {
        case,
        len,
        qkv: random(7 + i as u64, len * case.row_len()),
        table: free.split_off(free.len() - len.div_ceil(BLOCK_LEN)),
    };
    lens.iter().enumerate().map(make).collect()
}

fn angle(position: usize, i: usize, half: usize) -> f64 {
    position as f64 * 100_f64.powf(-(i as f64) / half as f64)
}

impl Sequence {
    /// All rows by the definition, in double precision.
    fn expected(&self) -> Vec<f64> {
        let Case {
            num_heads,
            num_kv_heads,
            head_dim,
            window,
            softcap,
            norms,
            ..
        } = self.case;
        let norms = norms.then(|| [self.case.norm(1), self.case.norm(2)]);
        let head = |position: usize, head: usize| -> Vec<f64> {
            let at = position * self.case.row_len() + head * head_dim;
            self.qkv[at..][..head_dim].iter().map(|&x| f64::from(x)).collect()
        };
        let turned = |position: usize, index: usize| -> Vec<f64> {
            let mut x = head(position, index);
            if let Some(norms) = &norms {
                let mean = x.iter().map(|x| x * x).sum::<f64>() / head_dim as f64;
                let weight = &norms[usize::from(index >= num_heads)];
                for (x, w) in x.iter_mut().zip(weight) {
                    *x *= f64::from(*w) / (mean + f64::from(EPS)).sqrt();
                }
            }
            let half = head_dim / 2;
            let pair = |i: usize| {
                let (sin, cos) = angle(position, i, half).sin_cos();
                (x[i] * cos - x[i + half] * sin, x[i + half] * cos + x[i] * sin)
            };
            let (first, second): (Vec<_>, Vec<_>) = (0..half).map(pair).unzip();
            [first, second].concat()
        };
        let round = |x: f64| f16::from_f64(x).to_f64();
        let group = num_heads / num_kv_heads;
        let mut out = Vec::new();
        let of_all = |f: &dyn Fn(usize, usize) -> Vec<f64>, base: usize| -> Vec<Vec<Vec<f64>>> {
            let one = |p, h| f(p, base + h).into_iter().map(round).collect();
            (0..self.len)
                .map(|p| (0..num_kv_heads).map(|h| one(p, h)).collect())
                .collect()
        };
        let keys = of_all(&turned, num_heads);
        let values = of_all(&head, num_heads + num_kv_heads);
        for position in 0..self.len {
            let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
            for h in 0..num_heads {
                let query = turned(position, h);
                let score = |key: usize| {
                    let dot: f64 = query.iter().zip(&keys[key][h / group]).map(|(q, k)| q * k).sum();
                    let score = dot / (head_dim as f64).sqrt();
                    softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
                };
                let weights: Vec<f64> = (first..=position).map(|key| score(key).exp()).collect();
                let total: f64 = weights.iter().sum();
                out.extend((0..head_dim).map(|d| {
                    let value = |(i, w): (usize, &f64)| w * values[first + i][h / group][d];
                    weights.iter().enumerate().map(value).sum::<f64>() / total
                }));
            }
        }
        out
    }
}

/// A cache, all of whose contents are left from somebody else: not even numbers.
fn stale_cache(case: Case) -> [FlexTensor; 2] {
    let len = NUM_BLOCKS * BLOCK_LEN * case.num_kv_heads * case.head_dim;
    [f16::NAN, f16::INFINITY].map(|x| FlexTensor::filled_typed(Shape::from([len]), DType::F16, x))
}

fn tensor(x: Vec<f32>, cols: usize) -> FlexTensor {
    let rows = x.len() / cols;
    from_floats(x, [rows, cols])
}

/// One step over parts of sequences; the rows that come out, part after part.
fn step(
    cpu: &Cpu,
    cache: &mut Option<[FlexTensor; 2]>,
    parts: &[(&Sequence, Range<usize>)],
) -> Vec<Vec<f32>> {
    let case = parts[0].0.case;
    let half = case.head_dim / 2;
    let mut batch = Batch::default();
    let (mut qkv, mut cos, mut sin) = (Vec::new(), Vec::new(), Vec::new());
    for (sequence, range) in parts {
        let (start, table) = (batch.tokens.len(), batch.block_tables.len());
        for position in range.clone() {
            batch.tokens.push(0);
            batch.positions.push(position as u32);
            qkv.extend(&sequence.qkv[position * case.row_len()..][..case.row_len()]);
            cos.extend((0..half).map(|i| angle(position, i, half).cos() as f32));
            sin.extend((0..half).map(|i| angle(position, i, half).sin() as f32));
        }
        // Only as many blocks as hold the tokens so far.
        batch
            .block_tables
            .extend(&sequence.table[..range.end.div_ceil(BLOCK_LEN)]);
        let table = table..batch.block_tables.len();
        batch.spans.push(Span {
            tokens: start..batch.tokens.len(),
            context: range.start,
            table,
        });
    }
    let norms = if case.norms {
        HeadNormWeights::PerHead(
            tensor(case.norm(1), case.head_dim),
            tensor(case.norm(2), case.head_dim),
        )
    } else {
        HeadNormWeights::None
    };
    let inputs = [tensor(qkv, case.row_len()), tensor(cos, half), tensor(sin, half)];
    let (out, k, v) = attention_flex(
        inputs,
        norms,
        cache.take().unwrap(),
        EPS,
        &case.params(),
        &batch,
        cpu,
    );
    *cache = Some([k, v]);
    let mut rows = floats(&out);
    let mut out = Vec::new();
    for (_, range) in parts {
        let (part, rest) = rows.split_at(range.len() * case.out_len());
        out.push(part.to_vec());
        rows = rest;
    }
    assert!(rows.is_empty());
    out
}

/// What runs on each kind of instructions that this processor has.
fn cpus(threads: usize) -> Vec<Cpu> {
    Level::available()
        .into_iter()
        .map(|(_, level)| Cpu::with_level(threads, level))
        .collect()
}

/// Each sequence prefilled whole and alone.
fn alone(cpu: &Cpu, sequences: &[Sequence]) -> Vec<Vec<f32>> {
    let one = |s: &Sequence| step(cpu, &mut Some(stale_cache(s.case)), &[(s, 0..s.len)]).remove(0);
    sequences.iter().map(one).collect()
}

#[test]
fn agrees_with_the_reference() {
    for case in CASES {
        let sequences = sequences(case, &[131, 40, 1, 16, 70]);
        let expected: Vec<_> = sequences.iter().map(Sequence::expected).collect();
        for cpu in cpus(2) {
            let mut cache = Some(stale_cache(case));
            let parts: Vec<_> = sequences.iter().map(|s| (s, 0..s.len)).collect();
            let got = step(&cpu, &mut cache, &parts);
            for (expected, got) in expected.iter().zip(got) {
                assert_eq!(expected.len(), got.len());
                let difference = expected
                    .iter()
                    .zip(&got)
                    .map(|(e, g)| (e - f64::from(*g)).abs())
                    .fold(0.0, f64::max);
                assert!(difference < TOLERANCE, "{case:?} {:?}: {difference}", cpu.level);
                assert!(got.iter().all(|x| x.is_finite()));
            }
        }
    }
}

#[test]
fn chunks_of_any_length_change_nothing() {
    for case in CASES {
        let sequences = sequences(case, &[131]);
        for cpu in cpus(1) {
            let whole = alone(&cpu, &sequences).remove(0);
            for chunk in [1, 5, 16, 17, 33] {
                let sequence = &sequences[0];
                let mut cache = Some(stale_cache(case));
                let mut got = Vec::new();
                for from in (0..sequence.len).step_by(chunk) {
                    let part = from..(from + chunk).min(sequence.len);
                    got.extend(step(&cpu, &mut cache, &[(sequence, part)]).remove(0));
                }
                assert_eq!(bits(&whole), bits(&got), "{case:?} {:?} by {chunk}", cpu.level);
            }
        }
    }
}

#[test]
fn company_in_the_batch_changes_nothing() {
    for case in CASES {
        let sequences = sequences(case, &[100, 37, 131, 64, 1]);
        for cpu in cpus(2) {
            let whole = alone(&cpu, &sequences);
            // Each sequence in chunks of another length, so that prefill meets decode.
            let mut cache = Some(stale_cache(case));
            let mut got = vec![Vec::new(); sequences.len()];
            let mut done = vec![0; sequences.len()];
            while sequences.iter().zip(&done).any(|(s, done)| *done < s.len) {
                let mut parts = Vec::new();
                let mut who = Vec::new();
                for (i, sequence) in sequences.iter().enumerate() {
                    let to = (done[i] + [7, 1, 33, 16, 1][i]).min(sequence.len);
                    if to > done[i] {
                        parts.push((sequence, done[i]..to));
                        who.push(i);
                        done[i] = to;
                    }
                }
                for (i, rows) in who.into_iter().zip(step(&cpu, &mut cache, &parts)) {
                    got[i].extend(rows);
                }
            }
            for (whole, got) in whole.iter().zip(&got) {
                assert_eq!(bits(whole), bits(got), "{case:?} {:?}", cpu.level);
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    // Long enough that the work is shared out.
    let sequences = sequences(PLAIN, &[300, 200]);
    let parts: Vec<_> = sequences.iter().map(|s| (s, 0..s.len)).collect();
    let of = |threads| -> Vec<_> {
        let run = |cpu: &Cpu| step(cpu, &mut Some(stale_cache(PLAIN)), &parts);
        cpus(threads)
            .iter()
            .flat_map(run)
            .map(|rows| bits(&rows))
            .collect()
    };
    let one = of(1);
    assert!(one == of(2));
    assert!(one == of(3));
}

#[test]
fn a_value_beyond_half_precision_does_not_reach_rows_before_it() {
    let mut sequences = sequences(PLAIN, &[20]);
    let clean = alone(&Cpu::new(1).unwrap(), &sequences).remove(0);
    let row = PLAIN.row_len();
    sequences[0].qkv[11 * row + 12 * 64..12 * row].fill(1e9);
    let got = alone(&Cpu::new(1).unwrap(), &sequences).remove(0);
    assert_eq!(
        bits(&clean[..11 * PLAIN.out_len()]),
        bits(&got[..11 * PLAIN.out_len()])
    );
    assert!(got.iter().all(|x| x.is_finite()));
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// The address of a layer's keys and of its values.
fn addresses(layer: &KvLayer) -> [usize; 2] {
    [&layer.k, &layer.v].map(|tensor| {
        let tensor = tensor.clone().unwrap().try_into_primitive::<Flex>().unwrap();
        tensor.bytes().as_ptr().addr()
    })
}

#[test]
fn the_cache_is_written_in_place() {
    let compute = Compute::new(DeviceKind::Cpu, 1).unwrap();
    let shape = KvShape {
        layers: vec![
            KvLayerShape::Heads {
                num_kv_heads: 3,
                head_dim: 64
            };
            2
        ],
    };
    assert_eq!(shape.bytes_per_block(), 2 * 2 * 16 * 192 * 2);
    let mut cache = KvCache::new(&compute, &shape, 8).unwrap();
    let layer = &mut cache.layers[1];
    let before = addresses(layer);
    let batch = Batch {
        tokens: vec![0],
        positions: vec![0],
        spans: vec![Span {
            tokens: 0..1,
            context: 0,
            table: 0..1,
        }],
        block_tables: vec![5],
        outputs: vec![0],
    };
    for _ in 0..3 {
        let ones = |cols| Tensor::<2>::ones([1, cols], compute.device());
        let rotation = Rotation {
            cos: ones(32),
            sin: ones(32),
        };
        let params = PLAIN.params();
        let out = attention(
            &compute,
            ones(PLAIN.row_len()),
            &rotation,
            None,
            &params,
            layer,
            &batch,
        );
        assert_eq!(out.dims(), [1, 576]);
        assert_eq!(addresses(layer), before);
    }
    let values = layer.v.clone().unwrap().try_into_primitive::<Flex>().unwrap();
    let values = values.as_slice::<f16>().unwrap();
    assert_eq!(values.iter().filter(|x| **x == f16::ONE).count(), 192);
    assert_eq!(values[5 * 16 * 192], f16::ONE);
}

#[test]
#[cfg(target_os = "linux")]
fn untouched_blocks_take_no_memory() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    };
    let compute = Compute::new(DeviceKind::Cpu, 1).unwrap();
    let shape = KvShape {
        layers: vec![
            KvLayerShape::Heads {
                num_kv_heads: 8,
                head_dim: 128
            };
            32
        ],
    };
    let before = resident();
    // Other tests allocate meanwhile, but not two gigabytes.
    let cache = KvCache::new(&compute, &shape, (2 << 30) / shape.bytes_per_block()).unwrap();
    let grown = resident().saturating_sub(before);
    assert!(grown < 1 << 30, "{grown} bytes for {} blocks", cache.num_blocks);
}

#[test]
fn a_cache_beyond_all_memory_is_refused() {
    let compute = Compute::new(DeviceKind::Cpu, 1).unwrap();
    let shape = KvShape {
        layers: vec![KvLayerShape::Heads {
            num_kv_heads: 8,
            head_dim: 128,
        }],
    };
    for num_blocks in [usize::MAX, usize::MAX / shape.bytes_per_block(), 1 << 50] {
        let error = KvCache::new(&compute, &shape, num_blocks).unwrap_err();
        assert!(error.to_string().contains("no memory for"), "{error}");
    }
}

//! Attention over the paged cache: the write of a step's keys and values, and the reading of them.
//!
//! What one query row computes is fixed by its own sequence: each score is summed over the
//! dimensions in ascending order, keys are taken in chunks of [`CHUNK`] at absolute positions, and
//! the softmax is carried from chunk to chunk. How rows are tiled changes only how often a key is
//! loaded. Keys that a row may not see get the probability zero; values are finite (the write
//! saturates), so that they add nothing, bit for bit.
//!
//! Longer than a file should be: write, scores, softmax and sums share the tile's types and one order
//! of additions, which must be read together to be trusted.
#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use half::f16;

use super::disjoint::Disjoint;
use super::lanes::{Kernel, LANES, Lanes, dispatch};
use super::rows::rms_factor;
use crate::kernels::cpu::Cpu;
use crate::kernels::{AttentionParams, BLOCK_LEN, Batch};

/// Cache blocks whose scores are turned into probabilities together.
const CHUNK_BLOCKS: usize = 4;
/// Keys in a chunk.
const CHUNK: usize = CHUNK_BLOCKS * BLOCK_LEN;
/// Lower than any score; finite, so that differences of two are never NaN.
const NO_SCORE: f32 = f32::MIN;

const _: () = assert!(
    BLOCK_LEN == LANES,
    "one dimension of a block's keys fills one vector"
);

/// Query rows of one task: queries and their sums stay in the first-level cache.
const TASK_ROWS: usize = 64;
/// Multiply-adds below which waking another thread takes longer than the work.
const WORTH_A_THREAD: usize = 800_000;

/// What one step of a layer reads.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels::cpu) struct Inputs<'a> {
    /// `[n, (num_heads + 2 · num_kv_heads) · head_dim]`.
    pub(in crate::kernels::cpu) qkv: &'a [f32],
    /// `[n, head_dim / 2]`.
    pub(in crate::kernels::cpu) cos: &'a [f32],
    /// `[n, head_dim / 2]`.
    pub(in crate::kernels::cpu) sin: &'a [f32],
    /// Weights of the norms on queries and keys.
    pub(in crate::kernels::cpu) norms: Option<(&'a [f32], &'a [f32])>,
    pub(in crate::kernels::cpu) eps: f32,
    pub(in crate::kernels::cpu) params: &'a AttentionParams,
    pub(in crate::kernels::cpu) batch: &'a Batch,
}

/// Writes the keys and values of all tokens to their slots.
///
/// # Panics
/// Where a block lies outside the cache.
pub(in crate::kernels::cpu) fn write(cpu: &Cpu, inputs: Inputs<'_>, k: &mut [f16], v: &mut [f16]) {
    let numbers = inputs.batch.tokens.len() * inputs.params.num_kv_heads * inputs.params.head_dim;
    // Far dearer than a multiply-add each: computed, rounded and scattered.
    let parts = if numbers < WORTH_A_THREAD / 32 {
        1
    } else {
        cpu.pool().threads()
    };
    let (k, v) = (&Disjoint::new(k), &Disjoint::new(v));
    let work = |part| {
        dispatch(
            cpu.level,
            Write {
                inputs,
                part,
                parts,
                k,
                v,
            },
        )
    };
    if parts > 1 { cpu.pool().run(&work) } else { work(0) }
}

/// Computes the attention of all tokens into `out: [n, num_heads · head_dim]`.
///
/// # Panics
/// Where spans overlap or do not ascend.
pub(in crate::kernels::cpu) fn attend(cpu: &Cpu, inputs: Inputs<'_>, k: &[f16], v: &[f16], out: &mut [f32]) {
    let tasks = &plan(inputs.batch, inputs.params);
    let cost: usize = tasks.iter().map(|task| task.cost).sum();
    let cost = cost * 2 * inputs.params.head_dim * (inputs.params.num_heads / inputs.params.num_kv_heads);
    let (next, out) = (&AtomicUsize::new(0), &Disjoint::new(out));
    let work = |_| {
        dispatch(
            cpu.level,
            Attend {
                inputs,
                tasks,
                next,
                k,
                v,
                out,
            },
        )
    };
    let parallel = cpu.pool().threads() > 1 && tasks.len() > 1 && cost >= WORTH_A_THREAD;
    if parallel { cpu.pool().run(&work) } else { work(0) }
}

/// Some tokens of one span, and all query heads that read one key head.
#[derive(Debug)]
struct Task {
    span: usize,
    kv_head: usize,
    /// Counted from the span's first new token.
    tokens: Range<usize>,
    /// Pairs of a token and a key.
    cost: usize,
}

/// Cuts a step into tasks, no two of which share a token and a head; the longest first.
fn plan(batch: &Batch, params: &AttentionParams) -> Vec<Task> {
    let step = (TASK_ROWS / (params.num_heads / params.num_kv_heads)).max(1);
    let mut tasks = Vec::new();
    let mut end = 0;
    for (index, span) in batch.spans.iter().enumerate() {
        assert!(
            end <= span.tokens.start && span.tokens.start <= span.tokens.end,
            "spans overlap"
        );
        end = span.tokens.end;
        for from in (0..span.tokens.len()).step_by(step) {
            let tokens = from..(from + step).min(span.tokens.len());
            let keys = span.context + tokens.end;
            let cost = tokens.len()
                * params
                    .window
                    .map_or(keys, |window| keys.min(window + tokens.len()));
            let task = |kv_head| Task {
                span: index,
                kv_head,
                tokens: tokens.clone(),
                cost,
            };
            tasks.extend((0..params.num_kv_heads).map(task));
        }
    }
    tasks.sort_by_key(|task| std::cmp::Reverse(task.cost));
    tasks
}

/// One thread's part of the cache write: the blocks whose number leaves `part` when divided by `parts`.
struct Write<'a> {
    inputs: Inputs<'a>,
    part: usize,
    parts: usize,
    k: &'a Disjoint<'a, f16>,
    v: &'a Disjoint<'a, f16>,
}

impl Kernel for Write<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Inputs { params, batch, .. } = self.inputs;
        let len = params.num_kv_heads * params.head_dim * BLOCK_LEN;
        let mut head = vec![0.0; params.head_dim];
        for span in &batch.spans {
            for (i, token) in span.tokens.clone().enumerate() {
                let slot = batch.slot(span, span.context + i);
                let block = slot / BLOCK_LEN;
                if block % self.parts == self.part {
                    let range = block * len..(block + 1) * len;
                    // SAFETY: each block belongs to the one thread that its number names, and a
                    // thread holds one part of each tensor at a time.
                    let (k, v) = unsafe { (self.k.part(range.clone()), self.v.part(range)) };
                    write_token(l, &self.inputs, token, slot % BLOCK_LEN, (k, v), &mut head);
                }
            }
        }
    }
}

/// Writes one token's keys and values at its offset in a block. `head` is scratch.
#[inline(always)]
fn write_token<L: Lanes>(
    l: L,
    inputs: &Inputs<'_>,
    token: usize,
    offset: usize,
    (k, v): (&mut [f16], &mut [f16]),
    head: &mut [f32],
) {
    let AttentionParams {
        num_heads,
        num_kv_heads,
        head_dim,
        ..
    } = *inputs.params;
    let row_len = (num_heads + 2 * num_kv_heads) * head_dim;
    let (keys, values) =
        inputs.qkv[token * row_len..][num_heads * head_dim..row_len].split_at(num_kv_heads * head_dim);
    let heads = keys.chunks_exact(head_dim).zip(values.chunks_exact(head_dim));
    let blocks = k
        .chunks_exact_mut(head_dim * BLOCK_LEN)
        .zip(v.chunks_exact_mut(head_dim * BLOCK_LEN));
    for ((key, value), (k, v)) in heads.zip(blocks) {
        turn(l, inputs, token, key, inputs.norms.map(|(_, k)| k), 1.0, head);
        for (x, columns) in head.chunks(LANES).zip(k.chunks_mut(LANES * BLOCK_LEN)) {
            for (x, column) in to_f16(l, x)
                .into_iter()
                .zip(columns.as_chunks_mut::<BLOCK_LEN>().0)
            {
                column[offset] = x;
            }
        }
        let row = &mut v[offset * head_dim..][..head_dim];
        for (x, to) in value.chunks(LANES).zip(row.chunks_mut(LANES)) {
            to.copy_from_slice(&to_f16(l, x)[..to.len()]);
        }
    }
}

/// Up to sixteen numbers in half precision, the largest of which stands for all beyond: an infinite
/// value times a probability of zero would not be zero.
#[inline(always)]
fn to_f16<L: Lanes>(l: L, x: &[f32]) -> [f16; LANES] {
    let largest = l.splat(f16::MAX.to_f32_const());
    let smallest = l.splat(f16::MIN.to_f32_const());
    let mut half = [f16::ZERO; LANES];
    l.store_f16(l.min(largest, l.max(smallest, l.load_part(x))), &mut half);
    half
}

/// One head of one token, normalised where there is a weight, rotated and scaled.
#[inline(always)]
fn turn<L: Lanes>(
    l: L,
    inputs: &Inputs<'_>,
    token: usize,
    x: &[f32],
    norm: Option<&[f32]>,
    scale: f32,
    out: &mut [f32],
) {
    let half = x.len() / 2;
    let cos = inputs.cos[token * half..][..half].chunks(LANES);
    let sin = inputs.sin[token * half..][..half].chunks(LANES);
    let factor = l.splat(if norm.is_some() {
        rms_factor(l, x, inputs.eps)
    } else {
        1.0
    });
    let scale = l.splat(scale);
    for (i, (cos, sin)) in cos.zip(sin).enumerate() {
        let (first, second) = (i * LANES, half + i * LANES);
        let mut a = l.load_part(&x[first..][..cos.len()]);
        let mut b = l.load_part(&x[second..][..cos.len()]);
        if let Some(weight) = norm {
            a = l.mul(l.mul(a, factor), l.load_part(&weight[first..][..cos.len()]));
            b = l.mul(l.mul(b, factor), l.load_part(&weight[second..][..cos.len()]));
        }
        let (c, s) = (l.load_part(cos), l.load_part(sin));
        let turned_a = l.sub(l.mul(a, c), l.mul(b, s));
        let turned_b = l.add(l.mul(b, c), l.mul(a, s));
        l.store_part(l.mul(turned_a, scale), &mut out[first..][..cos.len()]);
        l.store_part(l.mul(turned_b, scale), &mut out[second..][..cos.len()]);
    }
}

/// One thread's part of the attention: tasks until none is left.
struct Attend<'a> {
    inputs: Inputs<'a>,
    tasks: &'a [Task],
    next: &'a AtomicUsize,
    k: &'a [f16],
    v: &'a [f16],
    out: &'a Disjoint<'a, f32>,
}

impl Kernel for Attend<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let group = self.inputs.params.num_heads / self.inputs.params.num_kv_heads;
        while let Some(task) = self.tasks.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            // Tiles that keep the multiply-adds busy and fit the registers.
            match (L::WIDE, task.tokens.len() * group) {
                (true, 1) => self.task::<L, 1, 4>(l, task),
                (true, 2) => self.task::<L, 2, 4>(l, task),
                (true, 3) => self.task::<L, 3, 4>(l, task),
                (true, 4) => self.task::<L, 4, 4>(l, task),
                (true, _) => self.task::<L, 8, 2>(l, task),
                (false, 1) => self.task::<L, 1, 2>(l, task),
                (false, 2) => self.task::<L, 2, 2>(l, task),
                (false, _) => self.task::<L, 4, 1>(l, task),
            }
        }
    }
}

/// The keys `[head_dim]` of [`BLOCK_LEN`] tokens each, and the values of a block's tokens
/// `[BLOCK_LEN, head_dim]`, of one head.
#[derive(Debug, Clone, Copy, Default)]
struct Block<'a> {
    keys: &'a [[f16; BLOCK_LEN]],
    values: &'a [f16],
}

/// The scores or probabilities of `R` rows for one chunk.
type Scores<const R: usize> = [[[f32; LANES]; CHUNK_BLOCKS]; R];

/// The softmax of `R` rows on its way through the chunks.
#[derive(Debug, Clone, Copy)]
struct Softmax<const R: usize> {
    /// The largest score so far.
    largest: [f32; R],
    /// Sums of `e^(score - largest)`, a sum for each place in a block.
    sums: [[f32; LANES]; R],
}

impl Attend<'_> {
    /// Computes one task in tiles of `R` rows, a row being one query head of one token. `W` keys'
    /// blocks, or vectors of values, are held against each row at a time.
    #[inline(always)]
    fn task<L: Lanes, const R: usize, const W: usize>(&self, l: L, task: &Task) {
        let Inputs { params, batch, .. } = self.inputs;
        let head_dim = params.head_dim;
        let group = params.num_heads / params.num_kv_heads;
        let span = &batch.spans[task.span];
        let rows = task.tokens.len() * group;
        let tiles = rows.div_ceil(R);
        let vectors = head_dim.div_ceil(LANES);
        let queries = self.queries::<L, R>(l, task);
        let mut states = vec![
            Softmax {
                largest: [NO_SCORE; R],
                sums: [[0.0; LANES]; R]
            };
            tiles
        ];
        let mut sums = vec![[[0.0; LANES]; R]; tiles * vectors];
        let mut scores: Scores<R> = [[[0.0; LANES]; CHUNK_BLOCKS]; R];

        let position = |row: usize| span.context + task.tokens.start + row / group;
        let visible = |row: usize| {
            let end = position(row) + 1;
            params.window.map_or(0, |window| end.saturating_sub(window))..end
        };
        let (start, end) = (visible(0).start, visible(rows - 1).end);
        for chunk in (start / CHUNK * CHUNK..end).step_by(CHUNK) {
            let mut blocks = [Block::default(); CHUNK_BLOCKS];
            for (i, block) in blocks.iter_mut().enumerate() {
                let position = chunk + i * BLOCK_LEN;
                if start < position + BLOCK_LEN && position < end {
                    *block = self.block(batch.slot(span, position) / BLOCK_LEN, task.kv_head);
                }
            }
            for tile in 0..tiles {
                let seen = visible(tile * R).start..visible((tile * R + R).min(rows) - 1).end;
                let seen = within(chunk, &seen);
                if seen.is_empty() {
                    continue;
                }
                let queries = &queries[tile * head_dim..][..head_dim];
                dot::<L, R, W>(l, queries, &blocks, &seen, &mut scores);
                // Rows that fill up the last tile see nothing.
                let ranges = std::array::from_fn(|r| match tile * R + r {
                    row if row < rows => within(chunk, &visible(row)),
                    _ => 0..0,
                });
                let faded = soften(l, params.softcap, &ranges, &mut scores, &mut states[tile]);
                let sums = &mut sums[tile * vectors..][..vectors];
                add_values::<L, R, W>(l, &scores, &blocks, &seen, head_dim, &faded, sums);
            }
        }

        for row in 0..rows {
            let (tile, r) = (row / R, row % R);
            let token = span.tokens.start + task.tokens.start + row / group;
            let head = task.kv_head * group + row % group;
            let at = (token * params.num_heads + head) * head_dim;
            // SAFETY: no other task has this token and head, see `plan`.
            let out = unsafe { self.out.part(at..at + head_dim) };
            let share = l.splat(1.0 / l.sum(l.load(&states[tile].sums[r])));
            for (out, sum) in out.chunks_mut(LANES).zip(&sums[tile * vectors..]) {
                l.store_part(l.mul(l.load(&sum[r]), share), out);
            }
        }
    }

    /// The queries of a task: for each tile `[head_dim]` of its `R` rows, zeros beyond the last.
    #[inline(always)]
    fn queries<L: Lanes, const R: usize>(&self, l: L, task: &Task) -> Vec<[f32; R]> {
        let Inputs { params, batch, .. } = self.inputs;
        let AttentionParams {
            num_heads,
            num_kv_heads,
            head_dim,
            ..
        } = *params;
        let group = num_heads / num_kv_heads;
        let rows = task.tokens.len() * group;
        let mut queries = vec![[0.0; R]; rows.div_ceil(R) * head_dim];
        let mut head = vec![0.0; head_dim];
        for row in 0..rows {
            let token = batch.spans[task.span].tokens.start + task.tokens.start + row / group;
            let at = token * (num_heads + 2 * num_kv_heads) + task.kv_head * group + row % group;
            let query = &self.inputs.qkv[at * head_dim..][..head_dim];
            turn(
                l,
                &self.inputs,
                token,
                query,
                self.inputs.norms.map(|(q, _)| q),
                params.scale,
                &mut head,
            );
            for (to, x) in queries[row / R * head_dim..].iter_mut().zip(&head) {
                to[row % R] = *x;
            }
        }
        queries
    }

    /// One head of one block.
    #[inline(always)]
    fn block(&self, block: usize, kv_head: usize) -> Block<'_> {
        let AttentionParams {
            num_kv_heads,
            head_dim,
            ..
        } = *self.inputs.params;
        let len = head_dim * BLOCK_LEN;
        let at = (block * num_kv_heads + kv_head) * len;
        Block {
            keys: self.k[at..at + len].as_chunks().0,
            values: &self.v[at..at + len],
        }
    }
}

/// A range of positions as a part of a chunk.
#[inline(always)]
fn within(chunk: usize, range: &Range<usize>) -> Range<usize> {
    range.start.saturating_sub(chunk).min(CHUNK)..range.end.saturating_sub(chunk).min(CHUNK)
}

/// The scores of the blocks that hold `seen`.
#[inline(always)]
fn dot<L: Lanes, const R: usize, const W: usize>(
    l: L,
    queries: &[[f32; R]],
    blocks: &[Block<'_>; CHUNK_BLOCKS],
    seen: &Range<usize>,
    scores: &mut Scores<R>,
) {
    let (mut at, end) = (seen.start / BLOCK_LEN, seen.end.div_ceil(BLOCK_LEN));
    while at < end {
        let left = end - at;
        at += if W >= 4 && left >= 4 {
            dot_blocks::<L, R, 4>(l, queries, blocks, at, scores)
        } else if W >= 2 && left >= 2 {
            dot_blocks::<L, R, 2>(l, queries, blocks, at, scores)
        } else {
            dot_blocks::<L, R, 1>(l, queries, blocks, at, scores)
        };
    }
}

/// The scores of `B` blocks from `at` on; returns `B`.
#[inline(always)]
fn dot_blocks<L: Lanes, const R: usize, const B: usize>(
    l: L,
    queries: &[[f32; R]],
    blocks: &[Block<'_>; CHUNK_BLOCKS],
    at: usize,
    scores: &mut Scores<R>,
) -> usize {
    let mut keys = [blocks[at].keys; B];
    for (b, keys) in keys.iter_mut().enumerate() {
        *keys = &blocks[at + b].keys[..queries.len()];
    }
    let mut sums = [[l.splat(0.0); B]; R];
    for (d, query) in queries.iter().enumerate() {
        let mut key = [l.splat(0.0); B];
        for b in 0..B {
            key[b] = l.load_f16(&keys[b][d]);
        }
        for r in 0..R {
            let x = l.splat(query[r]);
            for b in 0..B {
                sums[r][b] = l.fma(x, key[b], sums[r][b]);
            }
        }
    }
    for r in 0..R {
        for b in 0..B {
            l.store(sums[r][b], &mut scores[r][at + b]);
        }
    }
    B
}

/// Turns scores into `e^(score - largest)`, zero outside each row's range, and returns the factors
/// for what was summed under the largest score of the chunks before.
#[inline(always)]
fn soften<L: Lanes, const R: usize>(
    l: L,
    softcap: Option<f32>,
    ranges: &[Range<usize>; R],
    scores: &mut Scores<R>,
    state: &mut Softmax<R>,
) -> [f32; R] {
    let mut before = [0.0; LANES];
    let mut largest = [0.0; LANES];
    for (r, (range, row)) in ranges.iter().zip(scores.iter_mut()).enumerate() {
        let mut highest = l.splat(NO_SCORE);
        for (b, scores) in row.iter_mut().enumerate() {
            let mut score = l.load(scores);
            if let Some(cap) = softcap {
                score = l.mul(l.tanh(l.div(score, l.splat(cap))), l.splat(cap));
            }
            if range.start > 0 || range.end < CHUNK {
                let place = |position: usize| position.saturating_sub(b * BLOCK_LEN).min(BLOCK_LEN);
                score = l.only(score, place(range.start), place(range.end));
            }
            highest = l.max(highest, score);
            l.store(score, scores);
        }
        before[r] = state.largest[r];
        largest[r] = before[r].max(l.largest(highest));
    }
    let mut faded = [0.0; LANES];
    l.store(l.exp(l.sub(l.load(&before), l.load(&largest))), &mut faded);
    for (r, row) in scores.iter_mut().enumerate() {
        let highest = l.splat(largest[r]);
        let mut sum = l.splat(0.0);
        for scores in row {
            let p = l.exp(l.sub(l.load(scores), highest));
            l.store(p, scores);
            sum = l.add(sum, p);
        }
        let old = l.load(&state.sums[r]);
        l.store(l.fma(old, l.splat(faded[r]), sum), &mut state.sums[r]);
        state.largest[r] = largest[r];
    }
    std::array::from_fn(|r| faded[r])
}

/// `sums = sums · faded + probabilities · values` over the keys in `seen`.
#[inline(always)]
fn add_values<L: Lanes, const R: usize, const W: usize>(
    l: L,
    scores: &Scores<R>,
    blocks: &[Block<'_>; CHUNK_BLOCKS],
    seen: &Range<usize>,
    head_dim: usize,
    faded: &[f32; R],
    sums: &mut [[[f32; LANES]; R]],
) {
    let whole = head_dim / LANES;
    let mut at = 0;
    while at < whole {
        let left = whole - at;
        at += if W >= 4 && left >= 4 {
            add_vectors::<L, R, 4, false>(l, scores, blocks, seen, head_dim, faded, at, sums)
        } else if W >= 2 && left >= 2 {
            add_vectors::<L, R, 2, false>(l, scores, blocks, seen, head_dim, faded, at, sums)
        } else {
            add_vectors::<L, R, 1, false>(l, scores, blocks, seen, head_dim, faded, at, sums)
        };
    }
    if !head_dim.is_multiple_of(LANES) {
        add_vectors::<L, R, 1, true>(l, scores, blocks, seen, head_dim, faded, at, sums);
    }
}

/// The same for `D` vectors of values from `at` on; returns `D`. A `PART` is a row's last vector
/// where it is not full.
#[inline(always)]
// One index walks the keys of two arrays of different shapes.
#[allow(clippy::too_many_arguments, clippy::needless_range_loop)]
fn add_vectors<L: Lanes, const R: usize, const D: usize, const PART: bool>(
    l: L,
    scores: &Scores<R>,
    blocks: &[Block<'_>; CHUNK_BLOCKS],
    seen: &Range<usize>,
    head_dim: usize,
    faded: &[f32; R],
    at: usize,
    sums: &mut [[[f32; LANES]; R]],
) -> usize {
    let sums = &mut sums[at..at + D];
    let mut acc = [[l.splat(0.0); D]; R];
    for r in 0..R {
        for d in 0..D {
            acc[r][d] = l.mul(l.load(&sums[d][r]), l.splat(faded[r]));
        }
    }
    for (b, block) in blocks.iter().enumerate() {
        let from = seen.start.saturating_sub(b * BLOCK_LEN).min(BLOCK_LEN);
        let to = seen.end.saturating_sub(b * BLOCK_LEN).min(BLOCK_LEN);
        #[allow(clippy::needless_range_loop, reason = "a bound that the compiler sees")]
        for key in from..to {
            let row = &block.values[key * head_dim..][at * LANES..head_dim];
            let mut value = [l.splat(0.0); D];
            if PART {
                value[0] = l.load_part_f16(row);
            } else {
                for (value, x) in value.iter_mut().zip(row.as_chunks().0) {
                    *value = l.load_f16(x);
                }
            }
            for r in 0..R {
                let p = l.splat(scores[r][b][key]);
                for d in 0..D {
                    acc[r][d] = l.fma(p, value[d], acc[r][d]);
                }
            }
        }
    }
    for r in 0..R {
        for d in 0..D {
            l.store(acc[r][d], &mut sums[d][r]);
        }
    }
    D
}

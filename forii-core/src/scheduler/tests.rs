//! A model made of integers stands in for the real one: each cache slot holds a hash of its whole
//! prefix, and the next token is a function of that hash. Whatever the scheduler does (chunks, shared
//! prefixes, preemption, cancellation), every sequence must come out as it does alone.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::*;

const EMPTY: u64 = 0x5eed;

fn next_hash(prefix: u64, token: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    (prefix, token).hash(&mut hasher);
    hasher.finish()
}

fn next_token(prefix: u64) -> u32 {
    (prefix % 50) as u32
}

/// What a sequence generates when nothing else runs.
fn alone(prompt: &[u32], generate: usize) -> Vec<u32> {
    let mut hash = prompt.iter().fold(EMPTY, |hash, &token| next_hash(hash, token));
    let mut out = Vec::new();
    for _ in 0..generate {
        let token = next_token(hash);
        out.push(token);
        hash = next_hash(hash, token);
    }
    out
}

struct Engine {
    scheduler: Scheduler,
    /// One hash per slot.
    cache: Vec<u64>,
    limits: Limits,
}

impl Engine {
    fn new(limits: Limits, num_blocks: usize) -> Self {
        Self {
            scheduler: Scheduler::new(limits, num_blocks),
            cache: vec![0; num_blocks * BLOCK_LEN],
            limits,
        }
    }

    /// One step. Returns the tokens sampled, or `None` where there was nothing to do.
    fn step(&mut self) -> Option<Vec<(SequenceId, u32)>> {
        let plan = self.scheduler.plan()?;
        assert!(
            plan.num_tokens() <= self.limits.max_batch_tokens,
            "the token budget holds"
        );
        assert!(plan.entries.len() <= self.limits.max_sequences, "the batch holds");
        let mut sampled = Vec::new();
        for entry in &plan.entries {
            assert!(entry.len() > 0, "an entry computes something");
            let sequence = self
                .scheduler
                .sequence(entry.sequence)
                .expect("a planned sequence runs");
            let blocks = sequence.blocks();
            let slot =
                |position: usize| blocks[position / BLOCK_LEN].0 as usize * BLOCK_LEN + position % BLOCK_LEN;
            // Attention reads every earlier slot, so every one of them must be right.
            let mut hash = EMPTY;
            for position in 0..entry.start {
                hash = next_hash(hash, sequence.tokens()[position]);
                assert_eq!(
                    self.cache[slot(position)],
                    hash,
                    "{:?} reads a stale slot",
                    entry.sequence
                );
            }
            for position in entry.start..entry.end {
                hash = next_hash(hash, sequence.tokens()[position]);
                self.cache[slot(position)] = hash;
            }
            if entry.samples {
                sampled.push((entry.sequence, next_token(hash)));
            }
        }
        let tokens: Vec<u32> = sampled.iter().map(|&(_, token)| token).collect();
        self.scheduler.commit(&plan, &tokens);
        self.scheduler.check().expect("blocks are counted right");
        Some(sampled)
    }
}

fn new_sequence(prompt: Vec<u32>) -> NewSequence {
    NewSequence {
        prompt,
        ..NewSequence::default()
    }
}

/// splitmix64, so that a failing round can be run again from its number.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// One random life of an engine: arrivals, shared prefixes, cancels, too few blocks.
fn round(seed: u64) {
    let mut random = Random(seed);
    let num_blocks = 4 + random.below(30);
    let limits = Limits {
        max_batch_tokens: 8 + random.below(64),
        max_sequences: 1 + random.below(8),
    };
    let mut engine = Engine::new(limits, num_blocks);
    let mut live: HashMap<SequenceId, (Vec<u32>, usize, Vec<u32>)> = HashMap::new();
    let mut arrivals = 1 + random.below(24);
    let mut idle = 0;
    while arrivals > 0 || !live.is_empty() {
        while arrivals > 0 && random.below(3) == 0 {
            arrivals -= 1;
            let generate = 1 + random.below(20);
            let room = num_blocks * BLOCK_LEN - generate;
            let len = 1 + random.below(room.min(100));
            // Few different beginnings, so that prefixes are shared.
            let family = random.below(3) as u32;
            let split = random.below(len + 1);
            let prompt: Vec<u32> = (0..len)
                .map(|i| {
                    if i < split {
                        family * 100 + i as u32 % 7
                    } else {
                        random.below(50) as u32
                    }
                })
                .collect();
            let priority = [Priority::High, Priority::Default, Priority::Low][random.below(3)];
            let cache_key = (random.below(4) == 0).then(|| "other".into());
            let id = engine.scheduler.add(NewSequence {
                prompt: prompt.clone(),
                priority,
                cache_key,
            });
            live.insert(id, (prompt, generate, Vec::new()));
        }
        if random.below(20) == 0
            && let Some(&id) = live.keys().min()
        {
            live.remove(&id);
            engine.scheduler.finish(id);
        }
        let Some(sampled) = engine.step() else {
            assert!(
                live.is_empty(),
                "round {seed}: {} sequences wait for ever",
                live.len()
            );
            continue;
        };
        idle = if sampled.is_empty() { idle + 1 } else { 0 };
        assert!(idle < 200, "round {seed}: no progress");
        for (id, token) in sampled {
            let (prompt, generate, out) = live.get_mut(&id).expect("only live sequences are sampled");
            out.push(token);
            if out.len() == *generate {
                assert_eq!(
                    *out,
                    alone(prompt, *generate),
                    "round {seed}: {id:?} differs from alone"
                );
                live.remove(&id);
                engine.scheduler.finish(id);
            }
        }
    }
    let counts = engine.scheduler.counts();
    assert_eq!(
        counts.free_blocks + counts.cached_blocks,
        num_blocks,
        "round {seed}: blocks leak"
    );
    assert_eq!((counts.running, counts.waiting), (0, 0));
}

#[test]
fn random_lives_leak_nothing_and_change_no_answer() {
    for seed in 0..10_000 {
        round(seed);
    }
}

#[test]
fn a_second_prompt_computes_only_what_is_new() {
    let mut engine = Engine::new(
        Limits {
            max_batch_tokens: 512,
            max_sequences: 4,
        },
        200,
    );
    let prompt: Vec<u32> = (0..1500).collect();
    let first = engine.scheduler.add(new_sequence(prompt.clone()));
    while engine.step().expect("there is work").is_empty() {}
    engine.scheduler.finish(first);
    let second = engine.scheduler.add(new_sequence(prompt));
    let plan = engine.scheduler.plan().expect("the second runs");
    assert_eq!(
        engine.scheduler.sequence(second).expect("runs").cached_tokens(),
        1488
    );
    assert_eq!(plan.num_tokens(), 12);
}

#[test]
fn other_cache_keys_share_nothing() {
    let mut engine = Engine::new(
        Limits {
            max_batch_tokens: 512,
            max_sequences: 4,
        },
        20,
    );
    let prompt: Vec<u32> = (0..64).collect();
    let first = engine.scheduler.add(new_sequence(prompt.clone()));
    engine.step();
    engine.scheduler.finish(first);
    let second = engine.scheduler.add(NewSequence {
        cache_key: Some("tenant".into()),
        ..new_sequence(prompt)
    });
    engine.step();
    assert_eq!(
        engine.scheduler.sequence(second).expect("runs").cached_tokens(),
        0
    );
}

#[test]
fn running_streams_decode_while_a_long_prompt_prefills() {
    let mut engine = Engine::new(
        Limits {
            max_batch_tokens: 64,
            max_sequences: 8,
        },
        400,
    );
    let short = engine.scheduler.add(new_sequence(vec![1, 2, 3]));
    engine.step();
    engine.scheduler.add(new_sequence((0..4000).collect()));
    for _ in 0..60 {
        let sampled = engine.step().expect("there is work");
        assert!(
            sampled.iter().any(|&(id, _)| id == short),
            "the short stream stalls"
        );
    }
}

#[test]
fn priority_is_served_first_and_overtakes_a_bounded_number_of_times() {
    let mut engine = Engine::new(
        Limits {
            max_batch_tokens: 64,
            max_sequences: 1,
        },
        40,
    );
    let low = engine.scheduler.add(NewSequence {
        priority: Priority::Low,
        ..new_sequence(vec![1])
    });
    let mut served_before_low = 0;
    loop {
        engine.scheduler.add(NewSequence {
            priority: Priority::High,
            ..new_sequence(vec![2])
        });
        let (id, _) = engine.step().expect("there is work")[0];
        engine.scheduler.finish(id);
        if id == low {
            break;
        }
        served_before_low += 1;
        assert!(served_before_low < 10_000, "the low class starves");
    }
    assert!(served_before_low > 100, "priority changes nothing");
}

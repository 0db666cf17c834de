//! The engine's thread: admit, plan, forward, sample, commit. Integers and tensors only.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Instant;

use forii_sampling::Sampler;

use super::runner::Runner;
use super::stats::Gauges;
use super::stream::{EngineEvent, TokenEvent};
use super::submission::Submission;
use crate::chat::{FinishReason, Usage};
use crate::error::EngineError;
use crate::scheduler::{NewSequence, Scheduler, SequenceId, StepPlan};

/// The caller's end: where submissions go, and why the thread has stopped if it has.
#[derive(Debug)]
pub(super) struct Handle {
    submissions: Sender<Submission>,
    stopped: Stopped,
}

/// Why the engine's thread has stopped; shared with every stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Stopped(Arc<OnceLock<String>>);

impl Stopped {
    /// The error for whoever finds the thread gone.
    pub(super) fn error(&self) -> EngineError {
        match self.0.get() {
            Some(reason) => EngineError::WorkerStopped {
                reason: reason.clone(),
            },
            None => EngineError::ShuttingDown,
        }
    }
}

impl Handle {
    /// Starts the engine's thread. It ends once this handle is dropped and all streams have ended.
    pub(super) fn spawn(scheduler: Scheduler, runner: Runner, gauges: Arc<Gauges>) -> std::io::Result<Self> {
        let (submissions, receiver) = mpsc::channel();
        let stopped = Stopped::default();
        let reason = stopped.clone();
        let mut worker = Worker {
            receiver,
            scheduler,
            runner,
            gauges,
            live: HashMap::new(),
        };
        thread::Builder::new()
            .name("forii-engine".to_owned())
            .spawn(move || {
                // The worker is dropped after the reason is written, so that a stream which finds its
                // channel closed finds the reason too.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| worker.run())) {
                    let _ = reason.0.set(panic_message(&*panic));
                }
            })?;
        Ok(Self { submissions, stopped })
    }

    pub(super) fn submit(&self, submission: Submission) -> Result<(), EngineError> {
        self.submissions
            .send(submission)
            .map_err(|_| self.stopped.error())
    }

    pub(super) fn stopped(&self) -> Stopped {
        self.stopped.clone()
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// What the engine keeps of a submission beside its tokens.
struct Live {
    sampler: Sampler,
    max_tokens: usize,
    end_tokens: Vec<u32>,
    events: async_channel::Sender<EngineEvent>,
    generated: usize,
    started: bool,
}

struct Worker {
    receiver: Receiver<Submission>,
    scheduler: Scheduler,
    runner: Runner,
    gauges: Arc<Gauges>,
    live: HashMap<SequenceId, Live>,
}

impl Worker {
    fn run(&mut self) {
        while self.admit() {
            self.drop_cancelled();
            let Some(plan) = self.scheduler.plan() else {
                continue;
            };
            let started = Instant::now();
            let mut scores = self.runner.forward(&plan, &self.scheduler);
            let sampled = self.sample(&plan, &mut scores);
            self.scheduler.commit(&plan, &sampled);
            self.send(&plan, &sampled);
            self.gauges.add_step(sampled.len(), started.elapsed());
            self.gauges.set_counts(&self.scheduler.counts());
        }
    }

    /// Takes in what has been submitted; waits where there is nothing to do. Returns false once
    /// nobody can submit any more and all sequences have ended.
    fn admit(&mut self) -> bool {
        if self.live.is_empty() {
            self.gauges.set_counts(&self.scheduler.counts());
            match self.receiver.recv() {
                Ok(submission) => self.take(submission),
                Err(_) => return false,
            }
        }
        while let Ok(submission) = self.receiver.try_recv() {
            self.take(submission);
        }
        true
    }

    fn take(&mut self, submission: Submission) {
        let Submission {
            prompt,
            sampler,
            max_tokens,
            end_tokens,
            events,
        } = submission;
        let id = self.scheduler.add(NewSequence {
            prompt,
            ..NewSequence::default()
        });
        let live = Live {
            sampler,
            max_tokens,
            end_tokens,
            events,
            generated: 0,
            started: false,
        };
        self.live.insert(id, live);
    }

    /// Frees the blocks of sequences that nobody listens to any more.
    fn drop_cancelled(&mut self) {
        let scheduler = &mut self.scheduler;
        self.live.retain(|&id, live| {
            let wanted = !live.events.is_closed();
            if !wanted {
                scheduler.finish(id);
            }
            wanted
        });
    }

    /// One token for each entry that wants one. A row that cannot be sampled ends its own sequence
    /// with an error and no other; its token here is void.
    fn sample(&mut self, plan: &StepPlan, scores: &mut [f32]) -> Vec<u32> {
        let entries = plan.entries.iter().filter(|entry| entry.samples);
        let rows = scores.chunks_exact_mut(self.runner.vocab_size());
        let mut sampled = Vec::with_capacity(rows.len());
        for (entry, row) in entries.zip(rows) {
            let Some(live) = self.live.get_mut(&entry.sequence) else {
                continue;
            };
            match live.sampler.sample(row) {
                Ok(sample) => sampled.push(sample.token),
                Err(error) => {
                    let error = EngineError::Sampling {
                        position: live.generated,
                        reason: error.to_string(),
                    };
                    let _ = live.events.try_send(Err(error));
                    self.live.remove(&entry.sequence);
                    self.scheduler.finish(entry.sequence);
                    sampled.push(0);
                }
            }
        }
        sampled
    }

    /// Tells each caller its news and ends the sequences that have come to their end. A failed send
    /// means that the caller has gone; the next step drops its sequence.
    fn send(&mut self, plan: &StepPlan, sampled: &[u32]) {
        let mut sampled = sampled.iter();
        for entry in &plan.entries {
            let token = if entry.samples { sampled.next() } else { None };
            let Some(live) = self.live.get_mut(&entry.sequence) else {
                continue;
            };
            let Some(sequence) = self.scheduler.sequence(entry.sequence) else {
                continue;
            };
            let (prompt_tokens, cached_tokens) = (sequence.prompt_len(), sequence.cached_tokens());
            if !std::mem::replace(&mut live.started, true) {
                self.gauges.add_prompt(prompt_tokens, cached_tokens);
                let _ = live.events.try_send(Ok(TokenEvent::Started {
                    prompt_tokens,
                    cached_tokens,
                }));
            }
            let Some(&token) = token else { continue };
            live.generated += 1;
            let ended = live.end_tokens.binary_search(&token).is_ok();
            if !ended {
                let _ = live.events.try_send(Ok(TokenEvent::Token { token }));
            }
            if ended || live.generated == live.max_tokens {
                let reason = if ended {
                    FinishReason::Stop
                } else {
                    FinishReason::Length
                };
                let usage = Usage {
                    prompt_tokens,
                    completion_tokens: live.generated,
                    cached_tokens,
                };
                let _ = live.events.try_send(Ok(TokenEvent::Finished { reason, usage }));
                self.live.remove(&entry.sequence);
                self.scheduler.finish(entry.sequence);
            }
        }
    }
}

//! The threads that the kernels share. A step is a hundred short regions and more, so handing out
//! work must cost a microsecond or two; and cores may be shared with others, so nobody spins for
//! long: a thread that waits first spins, then yields, then sleeps.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How long a waiting thread burns its core before it offers it to others, and before it sleeps.
const SPIN: Duration = Duration::from_micros(5);
const YIELD: Duration = Duration::from_micros(50);

/// Stretches of a region, one a thread; more threads share them.
const STRETCHES: usize = 16;

/// A counter on a cache line of its own.
#[repr(align(64))]
struct Counter(AtomicUsize);

type Job = &'static (dyn Fn(usize) + Sync);
type Payload = Box<dyn Any + Send>;

/// A fixed set of threads, the caller among them.
pub(in crate::kernels) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held through a region: a second one at the same time runs on its caller alone.
    region: Mutex<()>,
}

struct Shared {
    /// Counts the jobs; a worker runs when it sees a number that is new to it.
    generation: AtomicUsize,
    /// Written by the caller while no worker runs, read by workers once the generation has moved.
    job: UnsafeCell<Option<Job>>,
    /// The number of the job whose share was last taken, one for each worker. The worker takes its
    /// own share, or the caller does, where the worker is late.
    taken: Vec<AtomicUsize>,
    /// Shares of the current job that are not done.
    pending: AtomicUsize,
    /// The first panic of a worker.
    panic: Mutex<Option<Payload>>,
    stop: AtomicBool,
    /// One flag a worker: it sleeps, or is about to.
    asleep: Vec<AtomicBool>,
    caller: Mutex<Option<Thread>>,
    caller_asleep: AtomicBool,
}

// SAFETY: `job` is the only field that is not `Sync` by itself. It is written only by the thread
// that holds `Pool::region`, and only while `pending` is zero, when all shares are taken; a worker
// reads it after it has taken its share of the new `generation`, which is stored after the write.
unsafe impl Sync for Shared {}
// SAFETY: a `Job` is a reference to a `Sync` closure, which may be used from any thread.
unsafe impl Send for Shared {}

impl Pool {
    /// Starts `threads - 1` workers; fewer where the system has no more threads to give.
    pub(in crate::kernels) fn new(threads: usize) -> Self {
        let wanted = threads.max(1) - 1;
        let shared = Arc::new(Shared {
            generation: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            taken: (0..wanted).map(|_| AtomicUsize::new(0)).collect(),
            pending: AtomicUsize::new(0),
            panic: Mutex::new(None),
            stop: AtomicBool::new(false),
            asleep: (0..wanted).map(|_| AtomicBool::new(false)).collect(),
            caller: Mutex::new(None),
            caller_asleep: AtomicBool::new(false),
        });
        let mut workers = Vec::with_capacity(wanted);
        for index in 1..=wanted {
            let own = Arc::clone(&shared);
            match thread::Builder::new()
                .name(format!("forii-{index}"))
                .spawn(move || own.work(index))
            {
                Ok(worker) => workers.push(worker),
                Err(_) => break,
            }
        }
        Self {
            shared,
            workers,
            region: Mutex::new(()),
        }
    }

    /// Threads that share a region, the caller's among them.
    pub(in crate::kernels) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `f(i)` once for each `i` below [`Pool::threads`] and returns when all are done: `f(0)`
    /// here, the others on the workers, or here where a worker is late.
    ///
    /// # Panics
    /// Where a call of `f` panics, after all calls have ended.
    pub(in crate::kernels) fn run(&self, f: &(dyn Fn(usize) + Sync)) {
        let free = if self.workers.is_empty() {
            None
        } else {
            self.region.try_lock().ok()
        };
        let Some(region) = free else {
            // One thread, or called from within a region: every share of the work, in turn.
            return (0..self.threads()).for_each(f);
        };
        // SAFETY: the lifetime is stretched for the time of this call only: every share is taken
        // and done before this function returns or unwinds, and nobody uses a job without a share.
        let job = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), Job>(f) };
        let generation = self.start(job);
        let here = catch_unwind(AssertUnwindSafe(|| f(0)));
        for index in 1..=self.workers.len() {
            if self.shared.take(index, generation) {
                self.shared.share(job, index);
            }
        }
        wait(&self.shared.caller_asleep, || {
            self.shared.pending.load(SeqCst) == 0
        });
        let there = lock(&self.shared.panic).take();
        drop(region);
        if let Err(payload) = here {
            resume_unwind(payload);
        }
        if let Some(payload) = there {
            resume_unwind(payload);
        }
    }

    fn start(&self, job: Job) -> usize {
        let shared = &*self.shared;
        *lock(&shared.caller) = Some(thread::current());
        // SAFETY: this thread holds `region`, and all shares of the last job are taken and done, so
        // no worker reads the job now.
        unsafe { *shared.job.get() = Some(job) };
        shared.pending.store(self.workers.len(), SeqCst);
        let generation = shared.generation.fetch_add(1, SeqCst).wrapping_add(1);
        self.wake();
        generation
    }

    fn wake(&self) {
        for (asleep, worker) in self.shared.asleep.iter().zip(&self.workers) {
            if asleep.swap(false, SeqCst) {
                worker.thread().unpark();
            }
        }
    }

    /// Calls `f` with ranges that together cover `0..len` once, each at most `chunk` long. Each
    /// thread walks through a stretch of its own, so that what it reads next lies where it reads
    /// now; who is done takes from the others, so a slow core does not hold them up.
    pub(in crate::kernels) fn run_ranges(&self, len: usize, chunk: usize, f: &(dyn Fn(Range<usize>) + Sync)) {
        let chunk = chunk.max(1);
        let chunks = len.div_ceil(chunk);
        let range = |i: usize| i * chunk..len.min((i + 1) * chunk);
        let stretches = self.threads().min(chunks).min(STRETCHES);
        if stretches <= 1 {
            return (0..chunks).for_each(|i| f(range(i)));
        }
        let next: [Counter; STRETCHES] = std::array::from_fn(|s| match s < stretches {
            true => Counter(AtomicUsize::new(split(chunks, stretches, s).start)),
            false => Counter(AtomicUsize::new(0)),
        });
        self.run(&|thread| {
            for stretch in (thread..thread + stretches).map(|s| s % stretches) {
                let end = split(chunks, stretches, stretch).end;
                loop {
                    let i = next[stretch].0.fetch_add(1, SeqCst);
                    if i >= end {
                        break;
                    }
                    f(range(i));
                }
            }
        });
    }

    /// Calls `f(i, part)` for the `i`-th part of `data`, each `chunk` long but the last.
    pub(in crate::kernels) fn run_chunks<T: Send>(
        &self,
        data: &mut [T],
        chunk: usize,
        f: &(dyn Fn(usize, &mut [T]) + Sync),
    ) {
        let chunk = chunk.max(1);
        let len = data.len();
        let bounds = |i: usize| i * chunk..len.min((i + 1) * chunk);
        // SAFETY: these ranges are ascending and end at `len`.
        unsafe {
            self.bands(data, len, len.div_ceil(chunk), &bounds, &|i,
                                                                  mut band: Band<
                '_,
                T,
            >| {
                f(i, band.line(0))
            });
        }
    }

    /// Sees `data` as lines of `stride` values and cuts all of them at the same places: calls
    /// `f(i, band)` for each `i`, the band being the places `ranges[i]` of every line.
    ///
    /// # Panics
    /// Where the ranges are not ascending and within a line.
    pub(in crate::kernels) fn run_bands<T: Send>(
        &self,
        data: &mut [T],
        stride: usize,
        ranges: &[Range<usize>],
        f: &(dyn Fn(usize, Band<'_, T>) + Sync),
    ) {
        let mut end = 0;
        for range in ranges {
            assert!(end <= range.start && range.start <= range.end, "bands overlap");
            end = range.end;
        }
        assert!(end <= stride, "a band ends at {end}, a line at {stride}");
        // SAFETY: just checked.
        unsafe { self.bands(data, stride, ranges.len(), &|i| ranges[i].clone(), f) }
    }

    /// # Safety
    /// `bounds` gives the same range for the same `i` each time, and the ranges for `0..count` are
    /// ascending, do not overlap and end within `stride`.
    unsafe fn bands<T: Send>(
        &self,
        data: &mut [T],
        stride: usize,
        count: usize,
        bounds: &(dyn Fn(usize) -> Range<usize> + Sync),
        f: &(dyn Fn(usize, Band<'_, T>) + Sync),
    ) {
        let lines = data.len().checked_div(stride).unwrap_or(0);
        let base = Base(data.as_mut_ptr());
        self.run_ranges(count, 1, &|items| {
            for i in items {
                let lifetime = PhantomData::<&mut [T]>;
                f(
                    i,
                    Band {
                        base: base.get(),
                        stride,
                        lines,
                        range: bounds(i),
                        lifetime,
                    },
                );
            }
        });
    }
}

/// A pointer that may cross threads: see `Band`.
struct Base<T>(*mut T);

// SAFETY: threads use the pointer through bands only, and bands are disjoint.
unsafe impl<T: Send> Sync for Base<T> {}

impl<T> Base<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

/// The same places of every line, lent to one thread.
pub(in crate::kernels) struct Band<'a, T> {
    base: *mut T,
    stride: usize,
    lines: usize,
    range: Range<usize>,
    lifetime: PhantomData<&'a mut [T]>,
}

impl<T> Band<'_, T> {
    /// The band's places in line `index`.
    ///
    /// # Panics
    /// Where there is no such line.
    pub(in crate::kernels) fn line(&mut self, index: usize) -> &mut [T] {
        assert!(index < self.lines, "no line {index}");
        // SAFETY: the line lies within the data that `bands` holds mutably, and the range within
        // the line. Bands of one region are ascending, so no other band holds these places; and this
        // one is borrowed mutably for as long as the slice lives.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.base.add(index * self.stride + self.range.start),
                self.range.len(),
            )
        }
    }
}

impl Shared {
    fn work(&self, index: usize) {
        let asleep = &self.asleep[index - 1];
        let mut seen = 0;
        loop {
            wait(asleep, || {
                self.generation.load(SeqCst) != seen || self.stop.load(SeqCst)
            });
            if self.stop.load(SeqCst) {
                return;
            }
            seen = self.generation.load(SeqCst);
            if !self.take(index, seen) {
                continue;
            }
            // SAFETY: this worker's share of the current job was not taken, so the caller is still
            // in `run`, and it stays there until the share is done.
            if let Some(job) = unsafe { *self.job.get() } {
                self.share(job, index);
            }
        }
    }

    /// Takes a worker's share of a job, unless it is taken. All shares of the job before are.
    fn take(&self, index: usize, generation: usize) -> bool {
        let before = generation.wrapping_sub(1);
        self.taken[index - 1]
            .compare_exchange(before, generation, SeqCst, SeqCst)
            .is_ok()
    }

    /// Does a share that was taken.
    fn share(&self, job: Job, index: usize) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(index))) {
            lock(&self.panic).get_or_insert(payload);
        }
        if self.pending.fetch_sub(1, SeqCst) == 1
            && self.caller_asleep.swap(false, SeqCst)
            && let Some(caller) = &*lock(&self.caller)
        {
            caller.unpark();
        }
    }
}

/// Waits until `ready`. Whoever makes it ready clears `asleep` afterwards and, if it was set, wakes
/// this thread; the flag is set before the last look, so the news cannot be missed.
fn wait(asleep: &AtomicBool, ready: impl Fn() -> bool) {
    for _ in 0..100 {
        if ready() {
            return;
        }
        std::hint::spin_loop();
    }
    let started = Instant::now();
    while !ready() {
        let waited = started.elapsed();
        if waited < SPIN {
            for _ in 0..16 {
                std::hint::spin_loop();
            }
        } else if waited < YIELD {
            thread::yield_now();
        } else {
            asleep.store(true, SeqCst);
            while asleep.load(SeqCst) && !ready() {
                thread::park();
            }
            asleep.store(false, SeqCst);
        }
    }
}

/// A panic cannot leave these values half written, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.wake();
        for worker in self.workers.drain(..) {
            // A worker catches every panic of a job, so it cannot have ended with one.
            let _ = worker.join();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

/// The `part`-th of `parts` nearly equal ranges that together cover `0..len`.
pub(in crate::kernels) fn split(len: usize, parts: usize, part: usize) -> Range<usize> {
    let (each, rest) = (len / parts, len % parts);
    let start = part * each + part.min(rest);
    start..start + each + usize::from(part < rest)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn every_share_runs_once_in_every_region() {
        for threads in [1, 2, 3, 7] {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads);
            let counts: Vec<_> = (0..threads).map(|_| AtomicU64::new(0)).collect();
            for round in 1..=2000 {
                pool.run(&|i| {
                    counts[i].fetch_add(1, SeqCst);
                });
                assert!(
                    counts.iter().all(|c| c.load(SeqCst) == round),
                    "{threads} threads, round {round}"
                );
            }
        }
    }

    #[test]
    fn a_region_after_a_long_pause_wakes_the_sleepers() {
        let pool = Pool::new(3);
        let count = AtomicU64::new(0);
        for round in 1..=20 {
            thread::sleep(YIELD * 4);
            pool.run(&|i| {
                // The caller waits long enough to fall asleep too.
                if i > 0 {
                    thread::sleep(YIELD * 4);
                }
                count.fetch_add(1, SeqCst);
            });
            assert_eq!(count.load(SeqCst), 3 * round);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3);
        for culprit in 0..3 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|i| assert!(i != culprit, "share {i} failed"));
            }));
            let message = *caught.unwrap_err().downcast::<String>().unwrap();
            assert!(message.contains(&format!("share {culprit} failed")), "{message}");
            let count = AtomicU64::new(0);
            pool.run(&|_| {
                count.fetch_add(1, SeqCst);
            });
            assert_eq!(count.load(SeqCst), 3);
        }
    }

    #[test]
    fn regions_may_nest_and_may_come_from_many_threads() {
        let pool = Pool::new(2);
        let count = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        pool.run(&|_| {
                            pool.run(&|_| {
                                count.fetch_add(1, SeqCst);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(count.load(SeqCst), 4 * 100 * 2 * 2);
    }

    #[test]
    fn ranges_chunks_and_bands_cover_everything_once() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads);
            for (len, chunk) in [(0, 3), (1, 3), (3, 3), (100, 7), (64, 64), (65, 64)] {
                let seen: Vec<_> = (0..len).map(|_| AtomicU64::new(0)).collect();
                pool.run_ranges(len, chunk, &|range| {
                    assert!(range.len() <= chunk);
                    range.for_each(|i| {
                        seen[i].fetch_add(1, SeqCst);
                    });
                });
                assert!(seen.iter().all(|s| s.load(SeqCst) == 1), "{len} by {chunk}");

                let mut data = vec![0; len];
                pool.run_chunks(&mut data, chunk, &|i, part| {
                    for (j, value) in part.iter_mut().enumerate() {
                        *value += i * chunk + j + 1;
                    }
                });
                assert!(
                    data.iter().enumerate().all(|(i, v)| *v == i + 1),
                    "{len} by {chunk}"
                );
            }
            let mut data = vec![0; 4 * 10];
            let bounds = [0..3, 3..3, 3..7, 8..10];
            pool.run_bands(&mut data, 10, &bounds, &|i, mut band| {
                for line in 0..4 {
                    band.line(line).fill(10 * line + i + 1);
                }
            });
            for line in 0..4 {
                let o = 10 * line;
                let expected = [o + 1, o + 1, o + 1, o + 3, o + 3, o + 3, o + 3, 0, o + 4, o + 4];
                assert_eq!(data[line * 10..][..10], expected);
            }
        }
    }

    #[test]
    #[should_panic(expected = "bands overlap")]
    fn overlapping_bands_are_refused() {
        Pool::new(1).run_bands(&mut [0; 8], 8, &[0..2, 1..3], &|_, _| {});
    }

    #[test]
    fn shares_are_nearly_equal() {
        for (len, parts) in [(0, 3), (2, 3), (10, 3), (9, 3), (1000, 7)] {
            let ranges: Vec<_> = (0..parts).map(|p| split(len, parts, p)).collect();
            assert_eq!(ranges[0].start, 0);
            assert_eq!(ranges[parts - 1].end, len);
            assert!(
                ranges
                    .windows(2)
                    .all(|w| w[0].end == w[1].start && w[0].len() - w[1].len() <= 1)
            );
        }
    }
}

//! Stand-in for the thread pool.
use super::simd::Level;

/// The threads that the kernels share.
#[derive(Debug)]
pub(in crate::kernels) struct Pool {
    threads: usize,
    level: Level,
}

impl Pool {
    pub(in crate::kernels) fn new(threads: usize) -> Self {
        Self {
            threads: threads.max(1),
            level: Level::detect(),
        }
    }

    #[cfg(test)]
    pub(in crate::kernels) fn with_level(threads: usize, level: Level) -> Self {
        Self { threads, level }
    }

    pub(in crate::kernels) fn threads(&self) -> usize {
        self.threads
    }

    pub(in crate::kernels) fn level(&self) -> Level {
        self.level
    }

    pub(in crate::kernels) fn run(&self, f: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for i in 1..self.threads {
                scope.spawn(move || f(i));
            }
            f(0);
        });
    }
}

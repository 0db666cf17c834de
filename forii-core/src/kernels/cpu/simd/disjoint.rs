//! One slice written by several threads at places that do not overlap.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::Range;

/// A slice that is handed out in parts to threads.
#[derive(Debug)]
pub(super) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: whoever calls `part` promises that parts do not overlap, so each `T` is reached from one
// thread at a time, as if the slice had been split and its parts sent.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub(super) fn new(slice: &'a mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    /// A part of the slice.
    ///
    /// # Panics
    /// Where the range reaches beyond the slice.
    ///
    /// # Safety
    /// No two parts that overlap may be alive at the same time.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "part outside the slice"
        );
        // SAFETY: inside the slice that `self` borrows, and by contract nobody else's.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

//! A weight matrix in the layout that the kernels of its device read.

use crate::checkpoint::TensorView;
use crate::error::LoadError;

use super::Compute;

/// A weight matrix `[rows, cols]`, packed for its device. Cheap to clone: the weights are shared.
#[derive(Debug, Clone)]
pub struct Matrix {
    rows: usize,
    cols: usize,
}

impl Matrix {
    /// Packs one or more tensors `[rows_i, cols]`, stacked in this order, formats mixed at will.
    ///
    /// # Errors
    /// [`LoadError`] where shapes disagree or a row is no whole number of blocks.
    pub fn load(_compute: &Compute, _parts: &[TensorView<'_>]) -> Result<Self, LoadError> {
        todo!()
    }

    /// Rows of all parts together: the outputs of a linear layer.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: the inputs of a linear layer.
    pub fn cols(&self) -> usize {
        self.cols
    }
}

//! A weight matrix in the layout that the kernels of its device read.

use burn::tensor::{Tensor, TensorData};

use crate::checkpoint::TensorView;
use crate::error::LoadError;
use crate::quant;

use super::Compute;

/// A weight matrix `[rows, cols]`, packed for its device. Cheap to clone: the weights are shared.
#[derive(Debug, Clone)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    dense: Tensor<2>,
}

impl Matrix {
    /// Packs one or more tensors `[rows_i, cols]`, stacked in this order, formats mixed at will.
    ///
    /// # Errors
    /// [`LoadError`] where shapes disagree or a row is no whole number of blocks.
    pub fn load(compute: &Compute, parts: &[TensorView<'_>]) -> Result<Self, LoadError> {
        let rows = parts.iter().map(|part| part.shape[0]).sum();
        let cols = parts.first().map_or(0, |part| part.shape[1]);
        let mut values = vec![0.0; rows * cols];
        let mut rest = values.as_mut_slice();
        for part in parts {
            let (head, tail) = rest.split_at_mut(part.shape[0] * cols);
            let _ = quant::dequantize(part.format, &part.data, head);
            rest = tail;
        }
        let dense = Tensor::from_data(TensorData::new(values, [rows, cols]), compute.device());
        Ok(Self { rows, cols, dense })
    }

    /// The weights as floats, `[rows, cols]`; there on the reference path only.
    pub(super) fn dense(&self) -> Tensor<2> {
        self.dense.clone()
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

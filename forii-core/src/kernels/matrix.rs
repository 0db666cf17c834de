//! A weight matrix in the layout that the kernels of its device read.

use std::path::PathBuf;
#[cfg(feature = "cpu")]
use std::sync::Arc;

#[cfg(feature = "cpu")]
use burn::backend::{Dispatch, tensor::IntTensor};
#[cfg(feature = "cpu")]
use burn::tensor::Int;
use burn::tensor::{Tensor, TensorData};

use super::Compute;
#[cfg(feature = "cpu")]
use super::cpu::Layout;
use crate::checkpoint::TensorView;
use crate::error::LoadError;
use crate::quant;

/// A weight matrix `[rows, cols]`, packed for its device. Cheap to clone: the weights are shared.
#[derive(Debug, Clone)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    weights: Weights,
}

#[derive(Debug, Clone)]
enum Weights {
    /// Sixteen rows interleaved, as large as in the file: for the kernels of the processor.
    #[cfg(feature = "cpu")]
    Packed(Arc<Layout>, Tensor<1, Int>),
    /// Floats, four bytes a weight: for the reference kernels, on any device.
    Dense(Tensor<2>),
}

impl Matrix {
    /// Packs one or more tensors `[rows_i, cols]`, stacked in this order, formats mixed at will.
    /// Without kernels for the device they become floats there, which is slow and large, but right.
    ///
    /// # Errors
    /// [`LoadError`] where shapes disagree or a row is no whole number of blocks.
    pub fn load(compute: &Compute, parts: &[TensorView<'_>]) -> Result<Self, LoadError> {
        let cols = parts
            .first()
            .map_or(0, |part| part.shape.last().copied().unwrap_or(0));
        let rows = parts
            .iter()
            .map(|part| checked_rows(part, cols))
            .sum::<Result<_, _>>()?;
        let weights = Weights::load(compute, parts, rows, cols)?;
        Ok(Self { rows, cols, weights })
    }

    /// Rows of all parts together: the outputs of a linear layer.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: the inputs of a linear layer.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The weights as floats `[rows, cols]`, for the reference kernels.
    ///
    /// # Panics
    /// Where the matrix was packed for other kernels: matrices belong to their `Compute`.
    pub(super) fn dense(&self) -> &Tensor<2> {
        match &self.weights {
            Weights::Dense(weights) => weights,
            #[cfg(feature = "cpu")]
            Weights::Packed(..) => panic!("a matrix of another device"),
        }
    }

    /// The layout and the bytes of packed weights.
    ///
    /// # Panics
    /// Where the matrix was loaded for the reference kernels: matrices belong to their `Compute`.
    #[cfg(feature = "cpu")]
    pub(super) fn packed(&self) -> (&Layout, IntTensor<Dispatch>) {
        match &self.weights {
            Weights::Packed(layout, weights) => (layout, weights.clone().into_dispatch()),
            Weights::Dense(_) => panic!("a matrix of another device"),
        }
    }
}

/// The rows of a part that has `cols` columns and all of its blocks.
fn checked_rows(part: &TensorView<'_>, cols: usize) -> Result<usize, LoadError> {
    let malformed = |problem| LoadError::Malformed {
        path: PathBuf::from("checkpoint"),
        item: format!("the tensor '{}'", part.name),
        problem,
    };
    let &[rows, own] = &*part.shape else {
        return Err(malformed(format!("its shape {:?} is no matrix", part.shape)));
    };
    if own != cols || cols == 0 {
        return Err(malformed(format!(
            "it has {own} columns where {cols} are expected"
        )));
    }
    let Some(row_bytes) = part.format.row_bytes(cols) else {
        return Err(malformed(format!(
            "{cols} columns are no whole number of {} blocks",
            part.format
        )));
    };
    if row_bytes.checked_mul(rows) != Some(part.data.len()) {
        let found = part.data.len();
        return Err(malformed(format!(
            "{rows} rows of {row_bytes} bytes are not the {found} bytes it has"
        )));
    }
    Ok(rows)
}

impl Weights {
    fn load(
        compute: &Compute,
        parts: &[TensorView<'_>],
        rows: usize,
        cols: usize,
    ) -> Result<Self, LoadError> {
        #[cfg(feature = "cpu")]
        if compute.is_cpu() {
            let (layout, weights) = compute.cpu().pack(parts, cols);
            return Ok(Self::Packed(Arc::new(layout), weights));
        }
        let mut floats = vec![0.0; rows * cols];
        let mut rest = &mut *floats;
        for part in parts {
            let (here, behind) = rest.split_at_mut(part.shape[0] * cols);
            quant::dequantize(part.format, &part.data, here).map_err(|error| LoadError::Malformed {
                path: PathBuf::from("checkpoint"),
                item: format!("the tensor '{}'", part.name),
                problem: error.to_string(),
            })?;
            rest = behind;
        }
        Ok(Self::Dense(Tensor::from_data(
            TensorData::new(floats, [rows, cols]),
            compute.device(),
        )))
    }
}

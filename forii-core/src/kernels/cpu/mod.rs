//! The kernels of the processor, for burn's Flex backend: packed weights, threads, and the
//! instruction set chosen at start.

mod arena;
mod attention;
mod pack;
mod pool;
mod quant_matmul;
mod rows;
mod simd;
mod tensor;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use burn::backend::flex::{FlexTensor, Layout as TensorLayout};
use burn::backend::{Dispatch, Flex};
use burn::tensor::{AllocationProperty, Bytes, DType, Int, Tensor};

use super::ops::KernelOps;
use super::{Compute, Matrix};
use crate::checkpoint::TensorView;
use crate::error::LoadError;
pub(in crate::kernels) use attention::{attention, attention_flex};
pub(in crate::kernels) use pack::Layout;
pub(in crate::kernels) use pool::Pool;
pub(in crate::kernels) use rows::{gated, gated_flex, rms_norm, rms_norm_flex};
pub(in crate::kernels) use simd::Level;
pub(in crate::kernels) use tensor::lazy_zeros;

/// What the kernels run on.
#[derive(Debug)]
pub(in crate::kernels) struct Cpu {
    pool: Pool,
    level: Level,
    /// Locked while a matrix is packed, never in a step.
    arena: Mutex<arena::Arena>,
}

impl Cpu {
    /// Starts the threads and chooses the instruction set.
    ///
    /// # Errors
    /// [`LoadError::Setting`] where the environment asks for one that is not there.
    pub(in crate::kernels) fn new(threads: usize) -> Result<Self, LoadError> {
        Ok(Self::with_level(threads, Level::from_env()?))
    }

    fn with_level(threads: usize, level: Level) -> Self {
        Self {
            pool: Pool::new(threads),
            level,
            arena: Mutex::default(),
        }
    }

    /// The threads.
    pub(in crate::kernels) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Packs stacked parts, whose shapes and lengths were checked.
    pub(in crate::kernels) fn pack(&self, parts: &[TensorView<'_>], cols: usize) -> (Layout, Tensor<1, Int>) {
        let shapes: Vec<_> = parts.iter().map(|part| (part.format, part.shape[0])).collect();
        let blocks: Vec<_> = parts.iter().map(|part| &*part.data).collect();
        let layout = Layout::new(&shapes, cols);
        let mut arena = self.arena.lock().unwrap_or_else(PoisonError::into_inner);
        let packed = arena.fill(layout.bytes, |packed| layout.pack(&self.pool, &blocks, packed));
        let shape = TensorLayout::contiguous([layout.bytes].into());
        let bytes = Bytes::from_shared(packed, AllocationProperty::Other);
        let tensor = FlexTensor::new(bytes, shape, DType::U8);
        (layout, Tensor::from_primitive::<Flex>(tensor))
    }

    /// `x · wᵀ (+ bias) (+ residual)`; a residual that nobody else holds becomes the result.
    pub(in crate::kernels) fn linear(
        &self,
        x: &FlexTensor,
        weights: &FlexTensor,
        layout: &Layout,
        bias: Option<&FlexTensor>,
        residual: Option<FlexTensor>,
    ) -> FlexTensor {
        assert_eq!(
            x.layout().shape()[1],
            layout.cols,
            "activations and weights of different widths"
        );
        let (x, bias) = (floats(x), bias.map(floats));
        let columns = x.len() / layout.cols;
        let add = residual.is_some();
        let mut out = match residual {
            Some(residual) => whole(residual),
            None => tensor(vec![0.0; columns * layout.rows], columns, layout.rows),
        };
        let weights = weights.bytes();
        quant_matmul::product(self, layout, weights, &x, bias.as_deref(), out.storage_mut(), add);
        out
    }

    /// Rows of a table.
    pub(in crate::kernels) fn embedding(
        &self,
        weights: &FlexTensor,
        ids: &[u32],
        layout: &Layout,
    ) -> FlexTensor {
        let out = quant_matmul::rows(self, layout, weights.bytes(), ids);
        tensor(out, ids.len(), layout.cols)
    }
}

pub(in crate::kernels) fn linear(
    compute: &Compute,
    x: Tensor<2>,
    weight: &Matrix,
    bias: Option<&Tensor<1>>,
    residual: Option<Tensor<2>>,
) -> Tensor<2> {
    let (cpu, (layout, weights)) = (compute.cpu(), weight.packed());
    let x = x.into_dispatch();
    let out = match (bias, residual) {
        (None, None) => <Dispatch as KernelOps>::linear(x, weights, layout, cpu),
        (Some(bias), None) => {
            <Dispatch as KernelOps>::linear_bias(x, weights, bias.clone().into_dispatch(), layout, cpu)
        }
        (None, Some(residual)) => {
            <Dispatch as KernelOps>::linear_add(x, weights, residual.into_dispatch(), layout, cpu)
        }
        (Some(bias), Some(residual)) => {
            let out = <Dispatch as KernelOps>::linear_add(x, weights, residual.into_dispatch(), layout, cpu);
            return Tensor::from_dispatch(out) + bias.clone().unsqueeze();
        }
    };
    Tensor::from_dispatch(out)
}

pub(in crate::kernels) fn embedding(compute: &Compute, table: &Matrix, ids: &[u32]) -> Tensor<2> {
    let (layout, weights) = table.packed();
    Tensor::from_dispatch(<Dispatch as KernelOps>::embedding(
        weights,
        ids,
        layout,
        compute.cpu(),
    ))
}

/// The floats of a tensor, copied only where they do not lie one after another.
fn floats(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice() {
        Some(floats) => Cow::Borrowed(floats),
        None => Cow::Owned(tensor.to_contiguous().storage::<f32>().to_vec()),
    }
}

/// The same tensor, copied unless its floats lie one after another and are all of its storage.
fn whole(part: FlexTensor) -> FlexTensor {
    let floats = match part.as_slice::<f32>() {
        Some(floats) if size_of_val(floats) == part.bytes().len() => return part,
        _ => floats(&part).into_owned(),
    };
    tensor(floats, part.layout().shape()[0], part.layout().shape()[1])
}

/// A tensor `[lines, len]` that owns these floats.
fn tensor(floats: Vec<f32>, lines: usize, len: usize) -> FlexTensor {
    let layout = TensorLayout::contiguous([lines, len].into());
    FlexTensor::new(Bytes::from_elems(floats), layout, DType::F32)
}

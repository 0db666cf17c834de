//! To be written.
#![allow(unused_variables)]

use burn::tensor::Tensor;

use super::{Compute, Matrix};
use crate::error::LoadError;

mod attention;
mod pool;
mod rows;
mod simd;
mod tensor;

pub(in crate::kernels) use attention::{attention, attention_flex};
pub(in crate::kernels) use pool::Pool;
pub(in crate::kernels) use rows::{gated, gated_flex, rms_norm, rms_norm_flex};
pub(in crate::kernels) use simd::Level;
pub(in crate::kernels) use tensor::lazy_zeros;

/// What the kernels run on.
#[derive(Debug)]
pub(in crate::kernels) struct Cpu {
    pool: Pool,
    level: Level,
}

impl Cpu {
    pub(in crate::kernels) fn new(threads: usize) -> Result<Self, LoadError> {
        Ok(Self::with_level(threads, Level::from_env()?))
    }

    fn with_level(threads: usize, level: Level) -> Self {
        Self {
            pool: Pool::new(threads),
            level,
        }
    }

    pub(in crate::kernels) fn pool(&self) -> &Pool {
        &self.pool
    }
}

pub(in crate::kernels) fn linear(
    compute: &Compute,
    x: Tensor<2>,
    weight: &Matrix,
    bias: Option<&Tensor<1>>,
    residual: Option<Tensor<2>>,
) -> Tensor<2> {
    todo!()
}
pub(in crate::kernels) fn embedding(compute: &Compute, table: &Matrix, ids: &[u32]) -> Tensor<2> {
    todo!()
}

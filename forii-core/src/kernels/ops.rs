//! The door to burn's backends: one operation a method, implemented for each backend that has
//! kernels of its own. `cpu` holds what the methods do.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Flex, backend_extension};

use super::cpu::{Cpu, Layout};

/// Matrix products from packed weights. Shapes as in the functions of [`super`].
#[backend_extension(Flex: cfg(feature = "cpu"))]
pub(super) trait KernelOps: Backend {
    /// `x · wᵀ`
    fn linear(
        x: FloatTensor<Self>,
        weights: IntTensor<Self>,
        layout: &Layout,
        cpu: &Cpu,
    ) -> FloatTensor<Self>;

    /// `x · wᵀ + bias`
    fn linear_bias(
        x: FloatTensor<Self>,
        weights: IntTensor<Self>,
        bias: FloatTensor<Self>,
        layout: &Layout,
        cpu: &Cpu,
    ) -> FloatTensor<Self>;

    /// `x · wᵀ + residual`
    fn linear_add(
        x: FloatTensor<Self>,
        weights: IntTensor<Self>,
        residual: FloatTensor<Self>,
        layout: &Layout,
        cpu: &Cpu,
    ) -> FloatTensor<Self>;

    /// Rows of a table.
    fn embedding(weights: IntTensor<Self>, ids: &[u32], layout: &Layout, cpu: &Cpu) -> FloatTensor<Self>;
}

impl KernelOps for Flex {
    fn linear(
        x: FloatTensor<Self>,
        weights: IntTensor<Self>,
        layout: &Layout,
        cpu: &Cpu,
    ) -> FloatTensor<Self> {
        cpu.linear(&x, &weights, layout, None, None)
    }

    fn linear_bias(
        x: FloatTensor<Self>,
        weights: IntTensor<Self>,
        bias: FloatTensor<Self>,
        layout: &Layout,
        cpu: &Cpu,
    ) -> FloatTensor<Self> {
        cpu.linear(&x, &weights, layout, Some(&bias), None)
    }

    fn linear_add(
        x: FloatTensor<Self>,
        weights: IntTensor<Self>,
        residual: FloatTensor<Self>,
        layout: &Layout,
        cpu: &Cpu,
    ) -> FloatTensor<Self> {
        cpu.linear(&x, &weights, layout, None, Some(residual))
    }

    fn embedding(weights: IntTensor<Self>, ids: &[u32], layout: &Layout, cpu: &Cpu) -> FloatTensor<Self> {
        cpu.embedding(&weights, ids, layout)
    }
}

//! Flex tensors as slices, and back.

use burn::backend::Flex;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape, Tensor, f16};

/// The numbers of a tensor that [`contiguous`] has returned.
///
/// # Panics
/// Where it holds another type, which only a mistake in the code can bring about.
pub(super) fn floats(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("a contiguous tensor of f32")
}

/// A tensor whose numbers lie in a row, copied only where they do not.
pub(super) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// A tensor of these numbers.
pub(super) fn from_floats(x: Vec<f32>, shape: [usize; 2]) -> FlexTensor {
    FlexTensor::new(
        Bytes::from_elems(x),
        Layout::contiguous(Shape::from(shape)),
        DType::F32,
    )
}

/// `len` zeros in half precision whose pages take no memory before they are written to; nothing
/// where the system has no room.
pub(in crate::kernels) fn lazy_zeros(len: usize) -> Option<Tensor<1>> {
    // The widest element that the system still hands out as untouched pages; wider alignment makes
    // the allocator fill them with zeros by hand.
    let words: Vec<u128> =
        bytemuck::try_zeroed_vec(len.div_ceil(size_of::<u128>() / size_of::<f16>())).ok()?;
    let layout = Layout::contiguous(Shape::from([len]));
    Some(Tensor::from_primitive::<Flex>(FlexTensor::new(
        Bytes::from_elems(words),
        layout,
        DType::F16,
    )))
}

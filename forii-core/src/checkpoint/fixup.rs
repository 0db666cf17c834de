//! Undoes what a file does oddly with a tensor's numbers, so that every model sees one layout.

use std::borrow::Cow;

use super::TensorView;
use crate::quant::{QuantFormat, dequantize};

/// Puts the rows of a llama q or k projection (or the numbers of its bias) back into Hugging Face's
/// order. GGUF pairs dimension `2i` of a head with `2i + 1` for its rotation, Hugging Face pairs `i`
/// with `i + head_dim / 2`. Whole rows move, so their blocks stay as they are.
///
/// `num_rows` must be a multiple of `head_dim`, which must be even, and `data` hold `num_rows` rows.
pub(super) fn unpermute_rows(data: &[u8], num_rows: usize, head_dim: usize) -> Vec<u8> {
    let row_len = data.len() / num_rows;
    let half = head_dim / 2;
    let mut rows = Vec::with_capacity(data.len());
    for row in 0..num_rows {
        let (head, within) = (row / head_dim, row % head_dim);
        let source = head * head_dim + 2 * (within % half) + within / half;
        rows.extend_from_slice(&data[source * row_len..(source + 1) * row_len]);
    }
    rows
}

/// Turns norm weights that are stored minus one into the multiplier. In single precision, as the
/// original computes `1.0 + weight.float()`.
pub(super) fn add_one(view: &mut TensorView<'_>) {
    // Only safetensors store norms this way, and they are never quantized.
    let Some(weights) = dense_floats(view) else { return };
    view.data = Cow::Owned(
        weights
            .iter()
            .flat_map(|weight| (1.0 + weight).to_le_bytes())
            .collect(),
    );
    view.format = QuantFormat::F32;
}

/// The numbers of a tensor that is not quantized.
pub(super) fn dense_floats(view: &TensorView<'_>) -> Option<Vec<f32>> {
    if view.format.block_len() != 1 {
        return None;
    }
    let mut floats = vec![0.0; view.data.len() / view.format.block_bytes()];
    dequantize(view.format, &view.data, &mut floats).ok()?;
    Some(floats)
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    /// What convert_hf_to_gguf does: `reshape(heads, 2, head_dim / 2, cols).swapaxes(1, 2)`.
    fn permute(rows: &[u8], head_dim: usize) -> Vec<u8> {
        let half = head_dim / 2;
        let mut permuted = rows.to_vec();
        for (row, value) in rows.iter().enumerate() {
            let (head, pair, index) = (row / head_dim, row % head_dim / half, row % half);
            permuted[head * head_dim + index * 2 + pair] = *value;
        }
        permuted
    }

    #[test]
    fn unpermuting_undoes_the_converter() {
        for (heads, head_dim) in [(1, 2), (3, 4), (2, 6), (9, 64)] {
            let rows: Vec<u8> = (0..heads * head_dim).map(|row| row as u8).collect();
            assert_eq!(
                unpermute_rows(&permute(&rows, head_dim), rows.len(), head_dim),
                rows
            );
        }
        // Two bytes a row.
        let moved = unpermute_rows(&[0, 1, 2, 3, 4, 5, 6, 7], 4, 4);
        assert_eq!(moved, [0, 1, 4, 5, 2, 3, 6, 7]);
    }

    #[test]
    fn norms_gain_one() {
        let weights = [0.5_f32, -0.25, 0.0];
        let stored: [(QuantFormat, Vec<u8>); 3] = [
            (
                QuantFormat::F32,
                weights.iter().flat_map(|w| w.to_le_bytes()).collect(),
            ),
            (
                QuantFormat::F16,
                weights
                    .iter()
                    .flat_map(|w| f16::from_f32(*w).to_le_bytes())
                    .collect(),
            ),
            (
                QuantFormat::BF16,
                weights
                    .iter()
                    .flat_map(|w| bf16::from_f32(*w).to_le_bytes())
                    .collect(),
            ),
        ];
        for (format, data) in stored {
            let mut view = TensorView {
                name: "n".into(),
                format,
                shape: vec![3],
                data: Cow::Owned(data),
            };
            add_one(&mut view);
            let expected: Vec<u8> = [1.5_f32, 0.75, 1.0]
                .iter()
                .flat_map(|w| w.to_le_bytes())
                .collect();
            assert_eq!(
                (view.format, view.data.as_ref()),
                (QuantFormat::F32, expected.as_slice())
            );
        }
    }
}

//! Matrix products and table look-ups straight from packed weights.

use std::borrow::Cow;

use super::Cpu;
use super::pack::Layout;
use super::pool::Band;
use super::simd::activations::{self, Activations};
use super::simd::format::BLOCK;
use super::simd::is_dense;
use super::simd::kernel::{self, Input, Product};

/// `x · wᵀ (+ bias)` into `out`, or added to what it holds: `x` is `[columns, layout.cols]`, `out`
/// `[columns, layout.rows]`.
pub(super) fn product(
    cpu: &Cpu,
    layout: &Layout,
    weights: &[u8],
    x: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
    add: bool,
) {
    let (rows, cols) = (layout.rows, layout.cols);
    if out.is_empty() {
        return;
    }
    let columns = x.len() / cols;
    assert_eq!(out.len(), columns * rows, "an output of another size");
    let width = kernel::width(cpu.level, columns);
    let any = |dense| layout.segments.iter().any(|s| is_dense(s.format) == dense);
    let quantized = if any(false) {
        quantize(cpu, x, cols, width)
    } else {
        Vec::new()
    };
    let floats = if any(true) {
        interleave(cpu, x, cols, width)
    } else {
        Cow::Borrowed(x)
    };
    cpu.pool
        .run_bands(out, rows, &layout.bands, &|index, mut band: Band<'_, f32>| {
            let item = &layout.items[index];
            let segment = &layout.segments[item.segment];
            let dense = is_dense(segment.format);
            let product = Product {
                format: segment.format,
                tiles: &weights[item.bytes.clone()],
                tile_bytes: segment.tile_bytes,
                len: cols,
                input: if dense {
                    Input::Floats(&floats)
                } else {
                    Input::Quantized(&quantized)
                },
                width,
                columns,
                bias: bias.map(|bias| &bias[layout.bands[index].clone()]),
                add,
                rows: layout.bands[index].len(),
            };
            kernel::multiply(cpu.level, &product, &mut band);
        });
}

/// Activations as signed bytes, in panels of `width` columns.
fn quantize(cpu: &Cpu, x: &[f32], cols: usize, width: usize) -> Vec<Activations> {
    let panel = cols / BLOCK * width;
    let panels = (x.len() / cols).div_ceil(width);
    let mut records = vec![Activations::default(); panels * panel];
    cpu.pool.run_chunks(&mut records, panel, &|index, records| {
        let x = &x[index * width * cols..x.len().min((index + 1) * width * cols)];
        activations::quantize(cpu.level, x, cols, width, records);
    });
    records
}

/// Activations place by place, in panels of `width` columns.
fn interleave<'a>(cpu: &Cpu, x: &'a [f32], cols: usize, width: usize) -> Cow<'a, [f32]> {
    if width == 1 {
        return Cow::Borrowed(x);
    }
    let panels = (x.len() / cols).div_ceil(width);
    let mut out = vec![0.0; panels * cols * width];
    cpu.pool.run_chunks(&mut out, cols * width, &|index, out| {
        let columns: Vec<_> = x[index * width * cols..].chunks_exact(cols).take(width).collect();
        for (place, out) in out.chunks_exact_mut(width).enumerate() {
            for (out, x) in out.iter_mut().zip(&columns) {
                *out = x[place];
            }
        }
    });
    Cow::Owned(out)
}

/// Rows of a table: `[ids, layout.cols]`.
pub(super) fn rows(cpu: &Cpu, layout: &Layout, weights: &[u8], ids: &[u32]) -> Vec<f32> {
    let mut out = vec![0.0; ids.len() * layout.cols];
    // A few rows a turn: one is a matter of a microsecond.
    const TURN: usize = 8;
    cpu.pool.run_chunks(&mut out, TURN * layout.cols, &|index, out| {
        for (id, out) in ids[index * TURN..].iter().zip(out.chunks_exact_mut(layout.cols)) {
            let (format, tile, lane) = layout.tile(weights, *id as usize);
            kernel::row(format, tile, lane, out);
        }
    });
    out
}

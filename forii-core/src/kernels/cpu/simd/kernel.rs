//! The matrix kernel, once for all formats and instruction sets: a tile of sixteen rows times a few
//! columns, and rows read back as floats.
//!
//! A column's sum over the blocks of a row is taken in their order, each block's exact integers
//! turned into floats once, so it has the same bits whatever else is computed beside it.

use super::activations::Activations;
use super::format::{BLOCK, Format, PANEL, panel_bytes, split_panel, with_format};
#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::scalar::Scalar;
use super::{Isa, Level, dense};
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};
use crate::kernels::cpu::pool::Band;
use crate::quant::QuantFormat;

/// The widths, in columns, of the passes that a level has kernels for. The widest is what its
/// registers hold.
const fn widths(level: Level) -> &'static [usize] {
    match level {
        Level::Scalar => &[1, 4],
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) => &[1, 2, 4],
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) => &[1, 2, 4, 6, 8],
        #[cfg(target_arch = "aarch64")]
        Level::Neon(_) => &[1, 4, 8],
    }
}

/// How many columns each pass takes: no more passes than the widest would need, each as narrow as
/// that allows.
pub(in crate::kernels::cpu) fn width(level: Level, columns: usize) -> usize {
    let widths = widths(level);
    let most = widths[widths.len() - 1];
    let each = columns.div_ceil(columns.div_ceil(most).max(1));
    widths
        .iter()
        .copied()
        .find(|width| each <= *width)
        .unwrap_or(most)
}

/// What a product is taken with, in panels of `width` columns.
#[derive(Clone, Copy)]
pub(in crate::kernels::cpu) enum Input<'a> {
    /// For block formats: `[panels, blocks, width]`.
    Quantized(&'a [Activations]),
    /// For dense formats: `[panels, len, width]`.
    Floats(&'a [f32]),
}

/// Some tiles of one format, times all columns.
#[derive(Clone, Copy)]
pub(in crate::kernels::cpu) struct Product<'a> {
    pub(in crate::kernels::cpu) format: QuantFormat,
    /// The tiles, one after another.
    pub(in crate::kernels::cpu) tiles: &'a [u8],
    pub(in crate::kernels::cpu) tile_bytes: usize,
    /// The length of a row.
    pub(in crate::kernels::cpu) len: usize,
    pub(in crate::kernels::cpu) input: Input<'a>,
    /// Columns in a panel.
    pub(in crate::kernels::cpu) width: usize,
    /// Columns in all panels that are asked for.
    pub(in crate::kernels::cpu) columns: usize,
    /// Added to each row.
    pub(in crate::kernels::cpu) bias: Option<&'a [f32]>,
    /// Whether the result is added to what is there.
    pub(in crate::kernels::cpu) add: bool,
    /// How many rows the tiles hold; the rest fills up the last one.
    pub(in crate::kernels::cpu) rows: usize,
}

/// Computes a product into `out`, a line for each column.
pub(in crate::kernels::cpu) fn multiply(level: Level, product: &Product<'_>, out: &mut Band<'_, f32>) {
    macro_rules! dispatch {
        ($isa_type:ty, $isa:expr, [$($width:literal),*]) => {
            match product.input {
                Input::Quantized(x) => with_format!(
                    product.format,
                    F => dispatch!(blocks, $isa_type, F, $isa, x, [$($width),*]),
                    dense => unreachable!("{} with quantized activations", product.format)
                ),
                Input::Floats(x) => match product.format {
                    QuantFormat::F32 => dispatch!(floats, $isa_type, dense::F32, $isa, x, [$($width),*]),
                    QuantFormat::F16 => dispatch!(floats, $isa_type, dense::F16, $isa, x, [$($width),*]),
                    QuantFormat::BF16 => dispatch!(floats, $isa_type, dense::BF16, $isa, x, [$($width),*]),
                    format => unreachable!("{format} with floats"),
                },
            }
        };
        ($kernel:ident, $isa_type:ty, $format:ty, $isa:expr, $x:expr, [$($width:literal),*]) => {
            match product.width {
                $($width => $kernel::<$isa_type, $format, $width>($isa, product, $x, out),)*
                width => unreachable!("no kernel for {width} columns"),
            }
        };
    }
    // The widths are those of `widths`.
    match level {
        Level::Scalar => dispatch!(Scalar, Scalar, [1, 4]),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(isa) => dispatch!(Avx2, isa, [1, 2, 4]),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(isa) => dispatch!(Avx512, isa, [1, 2, 4, 6, 8]),
        #[cfg(target_arch = "aarch64")]
        Level::Neon(isa) => dispatch!(Neon, isa, [1, 4, 8]),
    }
}

fn blocks<I: Isa, F: Format, const N: usize>(
    isa: I,
    product: &Product<'_>,
    x: &[Activations],
    out: &mut Band<'_, f32>,
) {
    isa.vectorize(
        #[inline(always)]
        || {
            let per_panel = product.len / BLOCK;
            for (panel, x) in x.as_chunks::<N>().0.chunks_exact(per_panel).enumerate() {
                for (t, tile) in product.tiles.chunks_exact(product.tile_bytes).enumerate() {
                    let mut sums = [[0.0; 16]; N];
                    block_tile::<I, F, N>(isa, tile, x, &mut sums);
                    finish(product, panel * N, t, &mut sums, out);
                }
            }
        },
    );
}

fn floats<I: Isa, F: dense::Dense, const N: usize>(
    isa: I,
    product: &Product<'_>,
    x: &[f32],
    out: &mut Band<'_, f32>,
) {
    isa.vectorize(
        #[inline(always)]
        || {
            for (panel, x) in x.as_chunks::<N>().0.chunks_exact(product.len).enumerate() {
                for (t, tile) in product.tiles.chunks_exact(product.tile_bytes).enumerate() {
                    let mut sums = [[0.0; 16]; N];
                    dense::tile::<I, F, N>(isa, tile, x, &mut sums);
                    finish(product, panel * N, t, &mut sums, out);
                }
            }
        },
    );
}

/// Adds the bias to a tile's results and writes them, without the rows and columns that only fill up
/// the tile and the panel.
#[inline(always)]
fn finish(product: &Product<'_>, first: usize, tile: usize, sums: &mut [[f32; 16]], out: &mut Band<'_, f32>) {
    let rows = 16 * tile..product.rows.min(16 * tile + 16);
    for (column, sums) in (first..product.columns).zip(sums) {
        let line = &mut out.line(column)[rows.clone()];
        if let Some(bias) = product.bias {
            sums.iter_mut()
                .zip(&bias[rows.clone()])
                .for_each(|(y, bias)| *y += bias);
        }
        if product.add {
            line.iter_mut().zip(sums).for_each(|(line, y)| *line += *y);
        } else {
            line.copy_from_slice(&sums[..line.len()]);
        }
    }
}

/// One tile of a block format times `N` columns: `x` holds the records of each block.
#[inline(always)]
fn block_tile<I: Isa, F: Format, const N: usize>(
    isa: I,
    tile: &[u8],
    x: &[[Activations; N]],
    sums: &mut [[f32; 16]; N],
) {
    for part in 0..16 / I::LANES {
        let mut acc = [isa.splat(0.0); N];
        let mut rest = tile;
        for x in x.chunks(PANEL) {
            let panel;
            (panel, rest) = rest.split_at(panel_bytes::<F>(x.len()));
            let (codes, scales, head) = split_panel::<F>(panel, x.len());
            for ((codes, scales), x) in codes.iter().zip(scales).zip(x) {
                if part == 0 {
                    // PERF: 8 columns of Q4_1 out of memory take 5.3 ms so, and 15.8 ms without.
                    for line in 0..size_of::<F::Codes>() / 64 {
                        isa.prefetch(codes, AHEAD + 64 * line);
                    }
                    isa.prefetch(scales, AHEAD);
                }
                block::<I, F, N>(isa, codes, scales, head, x, part, &mut acc);
            }
        }
        for (sums, acc) in sums.iter_mut().zip(acc) {
            isa.store(acc, sums, part);
        }
    }
}

/// How far ahead weights are asked for: well over the 2 KB that a panel's scales lie behind its first
/// codes. PERF: one column of Q4_1 streams at 23 GB/s with 2 KB, 28 with 4, 33 with 6, 28 with 8.
pub(super) const AHEAD: usize = 6144;

#[inline(always)]
fn block<I: Isa, F: Format, const N: usize>(
    isa: I,
    codes: &F::Codes,
    scales: &F::Scales,
    head: &F::Head,
    x: &[Activations; N],
    part: usize,
    acc: &mut [I::Floats; N],
) {
    // Written out, as closures and iterators are not always inlined, and then all speed is gone.
    let low = [
        F::group(isa, codes, 0, part),
        F::group(isa, codes, 1, part),
        F::group(isa, codes, 2, part),
        F::group(isa, codes, 3, part),
    ];
    let high = [
        F::group(isa, codes, 4, part),
        F::group(isa, codes, 5, part),
        F::group(isa, codes, 6, part),
        F::group(isa, codes, 7, part),
    ];
    if F::SUBS == 1 {
        let scale = F::scale(isa, scales, head, 0, part);
        for c in 0..N {
            let [x0, x1] = halves(&x[c].codes);
            let sum = isa.offset(x[c].negated[0], F::OFFSET);
            let sum = isa.dot(sum, &low, x0, F::BITS);
            let sum = isa.dot(sum, &high, x1, F::BITS);
            let sum = isa.mul(isa.to_floats(sum), scale);
            acc[c] = isa.fma(sum, isa.splat(x[c].scales[0]), acc[c]);
        }
        if F::MINS {
            let min = F::min(isa, scales, head, 0, part);
            for c in 0..N {
                acc[c] = isa.fma(min, isa.splat(x[c].scales[1]), acc[c]);
            }
        }
    } else {
        let scale = [
            F::scale(isa, scales, head, 0, part),
            F::scale(isa, scales, head, 1, part),
        ];
        for c in 0..N {
            let [x0, x1] = halves(&x[c].codes);
            let first = isa.dot(isa.offset(x[c].negated[1], F::OFFSET), &low, x0, F::BITS);
            let second = isa.dot(isa.offset(x[c].negated[2], F::OFFSET), &high, x1, F::BITS);
            let sum = isa.mul(isa.to_floats(first), scale[0]);
            let sum = isa.fma(isa.to_floats(second), scale[1], sum);
            acc[c] = isa.fma(sum, isa.splat(x[c].scales[0]), acc[c]);
        }
        if F::MINS {
            let min = [
                F::min(isa, scales, head, 0, part),
                F::min(isa, scales, head, 1, part),
            ];
            for c in 0..N {
                acc[c] = isa.fma(min[0], isa.splat(x[c].scales[2]), acc[c]);
                acc[c] = isa.fma(min[1], isa.splat(x[c].scales[3]), acc[c]);
            }
        }
    }
}

#[inline(always)]
fn halves(codes: &[i32; 8]) -> [&[i32; 4]; 2] {
    let halves = codes.as_chunks().0;
    [&halves[0], &halves[1]]
}

/// Row `lane` of a tile as floats, bit for bit what the format's blocks stand for.
pub(in crate::kernels::cpu) fn row(format: QuantFormat, tile: &[u8], lane: usize, out: &mut [f32]) {
    with_format!(format, F => block_row::<F>(tile, lane, out), dense => dense::row(format, tile, lane, out))
}

/// The code that stands for the weight zero.
const fn zero<F: Format>() -> i32 {
    if F::OFFSET == 0 { 0 } else { 1 << F::OFFSET }
}

fn block_row<F: Format>(tile: &[u8], lane: usize, out: &mut [f32]) {
    let isa = Scalar;
    let mut rest = tile;
    for out in out.chunks_mut(BLOCK * PANEL) {
        let blocks = out.len() / BLOCK;
        let panel;
        (panel, rest) = rest.split_at(panel_bytes::<F>(blocks));
        let (codes, scales, head) = split_panel::<F>(panel, blocks);
        for ((codes, scales), out) in codes.iter().zip(scales).zip(out.chunks_exact_mut(BLOCK)) {
            for (g, out) in out.chunks_exact_mut(4).enumerate() {
                let sub = g / 4 * (F::SUBS - 1);
                let scale = F::scale(isa, scales, head, sub, lane);
                let min = F::min(isa, scales, head, sub, lane);
                for (out, code) in out.iter_mut().zip(F::group(isa, codes, g, lane).to_le_bytes()) {
                    let centred = i32::from(code) - zero::<F>();
                    *out = scale * centred as f32;
                    if F::MINS {
                        *out += min;
                    }
                }
            }
        }
    }
}

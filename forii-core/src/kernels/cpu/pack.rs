//! Weights from the file's blocks to tiles of sixteen interleaved rows, and what lies where.

use std::ops::Range;
use std::slice::ChunksExact;

use super::pool::Pool;
use super::simd::format::{BLOCK, Format, PANEL, panel_bytes, split_panel_mut, tile_bytes, with_format};
use crate::quant::QuantFormat;

/// Rows of a tile.
pub(super) const TILE: usize = 16;

/// Weights that a thread takes at a time: a good part of a core's second-level cache, so that they
/// stay there while one panel of activations after another is multiplied with them.
const ITEM_BYTES: usize = 192 << 10;
/// A matrix is cut into at least so many items where it has the tiles, so that threads end together.
const ITEMS: usize = 16;

/// What lies where in a packed matrix.
#[derive(Debug)]
pub(in crate::kernels) struct Layout {
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) segments: Vec<Segment>,
    /// The shares of the matrix that threads take, in order of rows.
    pub(super) items: Vec<Item>,
    /// The rows of each item.
    pub(super) bands: Vec<Range<usize>>,
    pub(super) bytes: usize,
}

/// Rows of one format, one after another.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) format: QuantFormat,
    pub(super) rows: Range<usize>,
    /// The first tile's place.
    pub(super) offset: usize,
    pub(super) tile_bytes: usize,
}

/// Some tiles of one segment.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) segment: usize,
    pub(super) bytes: Range<usize>,
}

impl Layout {
    /// Lays out stacked parts that are in memory, each given by its format and number of rows. A row
    /// of `cols` weights is a whole number of blocks.
    pub(super) fn new(parts: &[(QuantFormat, usize)], cols: usize) -> Self {
        let (mut rows, mut bytes) = (0_usize, 0_usize);
        let mut segments = Vec::with_capacity(parts.len());
        for &(format, count) in parts {
            let tile_bytes = with_format!(
                format,
                F => tile_bytes::<F>(cols),
                dense => cols * TILE * format.block_bytes()
            );
            segments.push(Segment {
                format,
                rows: rows..rows + count,
                offset: bytes,
                tile_bytes,
            });
            bytes = (bytes + count.div_ceil(TILE) * tile_bytes).next_multiple_of(64);
            rows += count;
        }
        let mut layout = Self {
            rows,
            cols,
            segments,
            items: Vec::new(),
            bands: Vec::new(),
            bytes,
        };
        layout.cut();
        layout
    }

    fn cut(&mut self) {
        let tiles: usize = self.segments.iter().map(|s| s.rows.len().div_ceil(TILE)).sum();
        for (index, segment) in self.segments.iter().enumerate() {
            let each = (ITEM_BYTES / segment.tile_bytes.max(1)).min(tiles / ITEMS).max(1);
            for start in segment.rows.clone().step_by(each * TILE) {
                let end = segment.rows.end.min(start + each * TILE);
                let tile = (start - segment.rows.start) / TILE;
                let from = segment.offset + tile * segment.tile_bytes;
                let to = from + (end - start).div_ceil(TILE) * segment.tile_bytes;
                self.items.push(Item {
                    segment: index,
                    bytes: from..to,
                });
                self.bands.push(start..end);
            }
        }
    }

    /// The tile that holds a row, and the row's place in it.
    pub(super) fn tile<'a>(&self, packed: &'a [u8], row: usize) -> (QuantFormat, &'a [u8], usize) {
        let index = self.segments.partition_point(|s| s.rows.end <= row);
        let segment = &self.segments[index];
        let row = row - segment.rows.start;
        let start = segment.offset + row / TILE * segment.tile_bytes;
        (
            segment.format,
            &packed[start..start + segment.tile_bytes],
            row % TILE,
        )
    }

    /// Packs the rows of all parts, given as they lie in the file, into `packed`, which is zero.
    pub(super) fn pack(&self, pool: &Pool, parts: &[&[u8]], packed: &mut [u8]) {
        for (segment, part) in self.segments.iter().zip(parts) {
            let bytes = segment.rows.len().div_ceil(TILE) * segment.tile_bytes;
            let packed = &mut packed[segment.offset..segment.offset + bytes];
            let row_bytes = part.len() / segment.rows.len().max(1);
            // Whole tiles, a few at a time.
            let tiles = (ITEM_BYTES / segment.tile_bytes.max(1)).max(1);
            pool.run_chunks(packed, tiles * segment.tile_bytes, &|index, packed| {
                let rows = part[index * tiles * TILE * row_bytes..].chunks(TILE * row_bytes);
                for (tile, rows) in packed.chunks_exact_mut(segment.tile_bytes).zip(rows) {
                    let rows = rows.chunks_exact(row_bytes);
                    with_format!(
                        segment.format,
                        F => pack_tile::<F>(rows, self.cols, tile),
                        dense => match segment.format.block_bytes() {
                            4 => interleave::<4>(rows, tile),
                            _ => interleave::<2>(rows, tile),
                        }
                    );
                }
            });
        }
    }
}

/// One tile of a block format out of at most sixteen rows.
fn pack_tile<F: Format>(rows: ChunksExact<'_, u8>, cols: usize, tile: &mut [u8]) {
    let mut rest = tile;
    let mut first = 0;
    while first < cols / BLOCK {
        let blocks = PANEL.min(cols / BLOCK - first);
        let panel;
        (panel, rest) = rest.split_at_mut(panel_bytes::<F>(blocks));
        let (codes, scales, head) = split_panel_mut::<F>(panel, blocks);
        for (lane, row) in rows.clone().enumerate() {
            // A block of the file is one of ours, or a whole panel.
            let row = F::blocks(row);
            let per_block = cols / BLOCK / row.len();
            let row = &row[first / per_block..(first + blocks) / per_block];
            let places = codes.chunks_mut(per_block).zip(scales.chunks_mut(per_block));
            for (block, (codes, scales)) in row.iter().zip(places) {
                F::pack(block, lane, codes, scales, head);
            }
        }
        first += blocks;
    }
}

/// One tile of a dense format with weights of `SIZE` bytes: all rows' first weights, then all second
/// ones.
fn interleave<const SIZE: usize>(rows: ChunksExact<'_, u8>, tile: &mut [u8]) {
    let columns = tile.as_chunks_mut::<SIZE>().0;
    for (lane, row) in rows.enumerate() {
        for (weight, column) in row
            .as_chunks::<SIZE>()
            .0
            .iter()
            .zip(columns.chunks_exact_mut(TILE))
        {
            column[lane] = *weight;
        }
    }
}

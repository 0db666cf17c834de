//! How each block format lies in a packed tile, and how its codes and scales come out of it.
//!
//! A tile is sixteen rows. Eight blocks of 32 columns make a panel (the last one of a row may be
//! shorter): the codes of its blocks, then the scales of its blocks, then the scales of the panel.
//! Codes are unsigned. A 64-byte vector holds, for each row, four bytes: bits of columns
//! `4g..4g + 4` for one group `g` or for several, each at its own place in the bytes.

mod big;
mod small;

use bytemuck::Pod;

use super::Isa;
pub(in crate::kernels::cpu) use big::{Q2K, Q3K, Q4K, Q5K, Q6K};
pub(in crate::kernels::cpu) use small::{IQ4NL, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};

/// Columns of one block of a packed tile.
pub(in crate::kernels::cpu) const BLOCK: usize = 32;
/// Blocks in a panel.
pub(in crate::kernels::cpu) const PANEL: usize = 8;

/// Sixteen half floats, one a row.
type Halves = [u8; 32];
/// Sixteen bytes, one a row.
type Bytes = [u8; 16];
type Vectors<const N: usize> = [[u8; 64]; N];

/// One block format. A weight is `scale · (code − 2^OFFSET) + min`.
pub(in crate::kernels::cpu) trait Format: 'static {
    /// The file's block.
    type Block;
    /// Codes of one block of a tile.
    type Codes: Pod;
    /// Scales of one block of a tile.
    type Scales: Pod;
    /// Scales of a whole panel, for formats with blocks of 256.
    type Head: Pod;

    /// Bits of a code.
    const BITS: u32;
    /// Codes are stored `2^OFFSET` too large; zero stands for not at all.
    const OFFSET: u32 = 0;
    /// Sub-blocks of a block, each with its own scale: 1 or 2.
    const SUBS: usize = 1;
    /// Whether there are minimums.
    const MINS: bool = false;

    /// The codes of columns `4g..4g + 4`.
    fn group<I: Isa>(isa: I, codes: &Self::Codes, g: usize, part: usize) -> I::Codes;
    /// The scales of a sub-block.
    fn scale<I: Isa>(isa: I, scales: &Self::Scales, head: &Self::Head, sub: usize, part: usize) -> I::Floats;
    /// The minimums of a sub-block; not called without `MINS`.
    fn min<I: Isa>(isa: I, _: &Self::Scales, _: &Self::Head, _sub: usize, _part: usize) -> I::Floats {
        isa.splat(0.0)
    }

    /// The blocks of a row of the file.
    fn blocks(row: &[u8]) -> &[Self::Block];
    /// Packs one block of the file as row `lane` of a tile: as many blocks of 32 columns as it has.
    fn pack(
        block: &Self::Block,
        lane: usize,
        codes: &mut [Self::Codes],
        scales: &mut [Self::Scales],
        head: &mut Self::Head,
    );
}

/// The parts of a panel of `blocks` blocks.
#[inline(always)]
pub(in crate::kernels::cpu) fn split_panel<F: Format>(
    panel: &[u8],
    blocks: usize,
) -> (&[F::Codes], &[F::Scales], &F::Head) {
    let (codes, rest) = panel.split_at(blocks * size_of::<F::Codes>());
    let (scales, head) = rest.split_at(blocks * size_of::<F::Scales>());
    (
        bytemuck::cast_slice(codes),
        bytemuck::cast_slice(scales),
        bytemuck::from_bytes(head),
    )
}

/// As [`split_panel`], to write to.
pub(in crate::kernels::cpu) fn split_panel_mut<F: Format>(
    panel: &mut [u8],
    blocks: usize,
) -> (&mut [F::Codes], &mut [F::Scales], &mut F::Head) {
    let (codes, rest) = panel.split_at_mut(blocks * size_of::<F::Codes>());
    let (scales, head) = rest.split_at_mut(blocks * size_of::<F::Scales>());
    (
        bytemuck::cast_slice_mut(codes),
        bytemuck::cast_slice_mut(scales),
        bytemuck::from_bytes_mut(head),
    )
}

/// Bytes of a panel of `blocks` blocks.
#[inline(always)]
pub(in crate::kernels::cpu) const fn panel_bytes<F: Format>(blocks: usize) -> usize {
    blocks * (size_of::<F::Codes>() + size_of::<F::Scales>()) + size_of::<F::Head>()
}

/// Bytes of a tile of `cols` columns.
pub(in crate::kernels::cpu) const fn tile_bytes<F: Format>(cols: usize) -> usize {
    let blocks = cols / BLOCK;
    let rest = blocks % PANEL;
    blocks / PANEL * panel_bytes::<F>(PANEL) + if rest == 0 { 0 } else { panel_bytes::<F>(rest) }
}

// Unpacking. `v[i]` holds the low four bits of groups i and i + 4.

#[inline(always)]
fn four<I: Isa>(isa: I, v: &[[u8; 64]], g: usize, part: usize) -> I::Codes {
    isa.field(isa.codes(&v[g % 4], part), if g < 4 { 0 } else { 4 }, 15)
}

/// `bit g` of each byte belongs to group g; it lands at `to`.
#[inline(always)]
fn one<I: Isa>(isa: I, v: &[u8; 64], g: usize, part: usize, to: i32) -> I::Codes {
    isa.field(isa.codes(v, part), g as i32 - to, 1 << to)
}

/// Bits `2·(g % 4)..` of the bytes of `v[g / 4]` belong to group g; they land at `to`.
#[inline(always)]
fn two<I: Isa>(isa: I, v: &[[u8; 64]], g: usize, part: usize, to: i32) -> I::Codes {
    isa.field(isa.codes(&v[g / 4], part), 2 * (g % 4) as i32 - to, 3 << to)
}

#[inline(always)]
fn four_group<I: Isa>(isa: I, v: &Vectors<4>, g: usize, part: usize) -> I::Codes {
    four(isa, v, g, part)
}

#[inline(always)]
fn five_group<I: Isa>(isa: I, v: &Vectors<5>, g: usize, part: usize) -> I::Codes {
    isa.or(four(isa, v, g, part), one(isa, &v[4], g, part, 4))
}

// Packing: the same places, for the eight groups of one row as 32-bit words.

fn words(codes: &[u8; 32]) -> [u32; 8] {
    std::array::from_fn(|g| {
        u32::from_le_bytes([codes[4 * g], codes[4 * g + 1], codes[4 * g + 2], codes[4 * g + 3]])
    })
}

fn put(v: &mut [u8; 64], lane: usize, word: u32) {
    v.as_chunks_mut().0[lane] = word.to_le_bytes();
}

fn put_four(v: &mut [[u8; 64]], lane: usize, words: &[u32; 8]) {
    for (i, v) in v.iter_mut().enumerate() {
        put(
            v,
            lane,
            words[i] & 0x0f0f_0f0f | (words[i + 4] & 0x0f0f_0f0f) << 4,
        );
    }
}

fn put_one(v: &mut [u8; 64], lane: usize, words: &[u32; 8], from: u32) {
    let bits = (0..8).fold(0, |bits, g| bits | (words[g] >> from & 0x0101_0101) << g);
    put(v, lane, bits);
}

fn put_two(v: &mut [[u8; 64]], lane: usize, words: &[u32; 8], from: u32) {
    for (v, words) in v.iter_mut().zip(words.as_chunks::<4>().0) {
        put(
            v,
            lane,
            (0..4).fold(0, |bits, f| bits | (words[f] >> from & 0x0303_0303) << (2 * f)),
        );
    }
}

fn put_half(halves: &mut Halves, lane: usize, block: &[u8], at: usize) {
    halves.as_chunks_mut().0[lane] = [block[at], block[at + 1]];
}

fn put_five(v: &mut Vectors<5>, lane: usize, words: &[u32; 8]) {
    put_four(&mut v[..4], lane, words);
    put_one(&mut v[4], lane, words, 4);
}

/// Evaluates an expression with `$f` standing for the type of a block format.
macro_rules! with_format {
    ($format:expr, $f:ident => $body:expr, dense => $dense:expr) => {{
        use crate::kernels::cpu::simd::format as formats;
        use crate::quant::QuantFormat;
        match $format {
            QuantFormat::Q4_0 => {
                type $f = formats::Q4_0;
                $body
            }
            QuantFormat::Q4_1 => {
                type $f = formats::Q4_1;
                $body
            }
            QuantFormat::Q5_0 => {
                type $f = formats::Q5_0;
                $body
            }
            QuantFormat::Q5_1 => {
                type $f = formats::Q5_1;
                $body
            }
            QuantFormat::Q8_0 => {
                type $f = formats::Q8_0;
                $body
            }
            QuantFormat::Q2_K => {
                type $f = formats::Q2K;
                $body
            }
            QuantFormat::Q3_K => {
                type $f = formats::Q3K;
                $body
            }
            QuantFormat::Q4_K => {
                type $f = formats::Q4K;
                $body
            }
            QuantFormat::Q5_K => {
                type $f = formats::Q5K;
                $body
            }
            QuantFormat::Q6_K => {
                type $f = formats::Q6K;
                $body
            }
            QuantFormat::IQ4_NL => {
                type $f = formats::IQ4NL;
                $body
            }
            QuantFormat::F32 | QuantFormat::F16 | QuantFormat::BF16 => $dense,
        }
    }};
}
pub(in crate::kernels::cpu) use with_format;

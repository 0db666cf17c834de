//! How each block format lies in a packed tile, and how its codes and scales come out of it.
//!
//! A tile is sixteen rows. Eight blocks of 32 columns make a panel (the last one of a row may be
//! shorter): the codes of its blocks, then the scales of its blocks, then the scales of the panel.
//! Codes are unsigned. A 64-byte vector holds, for each row, four bytes: bits of columns
//! `4g..4g + 4` for one group `g` or for several, each at its own place in the bytes.

use bytemuck::Pod;

use super::Isa;
use crate::quant;

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

/// A format with blocks of 32: a half float scale at byte 0 and, if `mins`, a minimum at byte 2.
macro_rules! small_format {
    (
        $name:ident, $module:ident, bits: $bits:literal, offset: $offset:literal, mins: $mins:literal,
        vectors: $vectors:literal, group: $group:expr, put: $put:expr $(,)?
    ) => {
        pub(in crate::kernels::cpu) struct $name;

        impl Format for $name {
            type Block = [u8; quant::$module::BYTES];
            type Codes = Vectors<$vectors>;
            type Scales = [Halves; 1 + $mins as usize];
            type Head = [u8; 0];
            const BITS: u32 = $bits;
            const OFFSET: u32 = $offset;
            const MINS: bool = $mins;

            #[inline(always)]
            fn group<I: Isa>(isa: I, codes: &Self::Codes, g: usize, part: usize) -> I::Codes {
                $group(isa, codes, g, part)
            }

            #[inline(always)]
            fn scale<I: Isa>(
                isa: I,
                scales: &Self::Scales,
                _: &Self::Head,
                _: usize,
                part: usize,
            ) -> I::Floats {
                isa.halves(&scales[0], part)
            }

            #[inline(always)]
            fn min<I: Isa>(
                isa: I,
                scales: &Self::Scales,
                _: &Self::Head,
                _: usize,
                part: usize,
            ) -> I::Floats {
                isa.halves(&scales[scales.len() - 1], part)
            }

            fn blocks(row: &[u8]) -> &[Self::Block] {
                row.as_chunks().0
            }

            fn pack(
                block: &Self::Block,
                lane: usize,
                codes: &mut [Self::Codes],
                scales: &mut [Self::Scales],
                _: &mut Self::Head,
            ) {
                $put(&mut codes[0], lane, &words(&quant::$module::codes(block)));
                for (i, halves) in scales[0].iter_mut().enumerate() {
                    put_half(halves, lane, block, 2 * i);
                }
            }
        }
    };
}

#[inline(always)]
fn four_group<I: Isa>(isa: I, v: &Vectors<4>, g: usize, part: usize) -> I::Codes {
    four(isa, v, g, part)
}

#[inline(always)]
fn five_group<I: Isa>(isa: I, v: &Vectors<5>, g: usize, part: usize) -> I::Codes {
    isa.or(four(isa, v, g, part), one(isa, &v[4], g, part, 4))
}

#[inline(always)]
fn table_group<I: Isa>(isa: I, v: &Vectors<4>, g: usize, part: usize) -> I::Codes {
    const TABLE: [u8; 16] = {
        let mut table = [0; 16];
        let mut i = 0;
        while i < 16 {
            table[i] = quant::iq4_nl::TABLE[i] as u8 ^ 0x80;
            i += 1;
        }
        table
    };
    isa.lookup(four(isa, v, g, part), &TABLE)
}

#[inline(always)]
fn eight_group<I: Isa>(isa: I, v: &Vectors<8>, g: usize, part: usize) -> I::Codes {
    isa.codes(&v[g], part)
}

fn put_five(v: &mut Vectors<5>, lane: usize, words: &[u32; 8]) {
    put_four(&mut v[..4], lane, words);
    put_one(&mut v[4], lane, words, 4);
}

fn put_eight(v: &mut Vectors<8>, lane: usize, words: &[u32; 8]) {
    for (v, word) in v.iter_mut().zip(words) {
        put(v, lane, *word);
    }
}

small_format!(Q4_0, q4_0, bits: 4, offset: 3, mins: false, vectors: 4, group: four_group, put: put_four);
small_format!(Q4_1, q4_1, bits: 4, offset: 0, mins: true, vectors: 4, group: four_group, put: put_four);
small_format!(Q5_0, q5_0, bits: 5, offset: 4, mins: false, vectors: 5, group: five_group, put: put_five);
small_format!(Q5_1, q5_1, bits: 5, offset: 0, mins: true, vectors: 5, group: five_group, put: put_five);
small_format!(Q8_0, q8_0, bits: 8, offset: 7, mins: false, vectors: 8, group: eight_group, put: put_eight);
// The table is the unpacked code, offset by 128.
small_format!(IQ4NL, iq4_nl, bits: 8, offset: 7, mins: false, vectors: 4, group: table_group, put: put_four);

/// A format with blocks of 256: a panel is one block of each row.
macro_rules! big_format {
    (
        $name:ident, $module:ident, bits: $bits:literal, offset: $offset:literal, subs: $subs:literal,
        mins: $mins:literal, vectors: $vectors:literal, scales: $scales:ty, halves: $halves:expr,
        group: $group:expr, scale: $scale:expr, min: $min:expr, put: $put:expr, put_scales: $put_scales:expr $(,)?
    ) => {
        pub(in crate::kernels::cpu) struct $name;

        impl Format for $name {
            type Block = [u8; quant::$module::BYTES];
            type Codes = Vectors<$vectors>;
            type Scales = $scales;
            type Head = [Halves; 1 + $mins as usize];
            const BITS: u32 = $bits;
            const OFFSET: u32 = $offset;
            const SUBS: usize = $subs;
            const MINS: bool = $mins;

            #[inline(always)]
            fn group<I: Isa>(isa: I, codes: &Self::Codes, g: usize, part: usize) -> I::Codes {
                $group(isa, codes, g, part)
            }

            #[inline(always)]
            fn scale<I: Isa>(
                isa: I,
                scales: &Self::Scales,
                head: &Self::Head,
                sub: usize,
                part: usize,
            ) -> I::Floats {
                isa.mul(isa.halves(&head[0], part), $scale(isa, scales, sub, part))
            }

            #[inline(always)]
            fn min<I: Isa>(
                isa: I,
                scales: &Self::Scales,
                head: &Self::Head,
                sub: usize,
                part: usize,
            ) -> I::Floats {
                let min = isa.mul(
                    isa.halves(&head[head.len() - 1], part),
                    $min(isa, scales, sub, part),
                );
                isa.mul(isa.splat(-1.0), min)
            }

            fn blocks(row: &[u8]) -> &[Self::Block] {
                row.as_chunks().0
            }

            fn pack(
                block: &Self::Block,
                lane: usize,
                codes: &mut [Self::Codes],
                scales: &mut [Self::Scales],
                head: &mut Self::Head,
            ) {
                let unpacked = quant::$module::codes(block);
                for (codes, unpacked) in codes.iter_mut().zip(unpacked.as_chunks().0) {
                    $put(codes, lane, &words(unpacked));
                }
                $put_scales(block, lane, scales);
                for (halves, at) in head.iter_mut().zip($halves) {
                    put_half(halves, lane, block, at);
                }
            }
        }
    };
}

/// Sub-scales as they lie in a tile: one array of sixteen rows for each.
type Two = [Bytes; 2];

#[inline(always)]
fn low_half<I: Isa>(isa: I, scales: &Two, sub: usize, part: usize) -> I::Floats {
    isa.unsigned(&scales[sub].map(|both| both & 15), part)
}

#[inline(always)]
fn high_half<I: Isa>(isa: I, scales: &Two, sub: usize, part: usize) -> I::Floats {
    isa.unsigned(&scales[sub].map(|both| both >> 4), part)
}

#[inline(always)]
fn first<I: Isa>(isa: I, scales: &Two, _: usize, part: usize) -> I::Floats {
    isa.unsigned(&scales[0], part)
}

#[inline(always)]
fn second<I: Isa>(isa: I, scales: &Two, _: usize, part: usize) -> I::Floats {
    isa.unsigned(&scales[1], part)
}

#[inline(always)]
fn signed<I: Isa>(isa: I, scales: &Two, sub: usize, part: usize) -> I::Floats {
    isa.signed(&scales[sub], part)
}

#[inline(always)]
fn none<I: Isa>(isa: I, _: &Two, _: usize, _: usize) -> I::Floats {
    isa.splat(0.0)
}

/// Two sub-scales for each block of 32, in order.
fn put_pairs(values: &[u8], lane: usize, scales: &mut [Two]) {
    for (scales, pair) in scales.iter_mut().zip(values.as_chunks::<2>().0) {
        scales[0][lane] = pair[0];
        scales[1][lane] = pair[1];
    }
}

/// A scale and a minimum for each block of 32.
fn put_scale_min(block: &[u8], lane: usize, scales: &mut [Two]) {
    let (values, mins) = quant::q4_k::scales(block);
    for (scales, (scale, min)) in scales.iter_mut().zip(values.into_iter().zip(mins)) {
        scales[0][lane] = scale;
        scales[1][lane] = min;
    }
}

#[inline(always)]
fn two_group<I: Isa>(isa: I, v: &Vectors<2>, g: usize, part: usize) -> I::Codes {
    two(isa, v, g, part, 0)
}

#[inline(always)]
fn three_group<I: Isa>(isa: I, v: &Vectors<3>, g: usize, part: usize) -> I::Codes {
    isa.or(two(isa, v, g, part, 0), one(isa, &v[2], g, part, 2))
}

#[inline(always)]
fn six_group<I: Isa>(isa: I, v: &Vectors<6>, g: usize, part: usize) -> I::Codes {
    isa.or(four(isa, v, g, part), two(isa, &v[4..], g, part, 4))
}

fn put_two_bits(v: &mut Vectors<2>, lane: usize, words: &[u32; 8]) {
    put_two(v, lane, words, 0);
}

fn put_three(v: &mut Vectors<3>, lane: usize, words: &[u32; 8]) {
    put_two(&mut v[..2], lane, words, 0);
    put_one(&mut v[2], lane, words, 2);
}

fn put_six(v: &mut Vectors<6>, lane: usize, words: &[u32; 8]) {
    put_four(&mut v[..4], lane, words);
    put_two(&mut v[4..], lane, words, 4);
}

big_format!(
    Q2K, q2_k, bits: 2, offset: 0, subs: 2, mins: true, vectors: 2, scales: Two,
    halves: [quant::q2_k::D, quant::q2_k::DMIN],
    group: two_group, scale: low_half, min: high_half, put: put_two_bits,
    put_scales: |block: &[u8], lane, scales| put_pairs(&block[quant::q2_k::SCALES..][..16], lane, scales),
);
big_format!(
    Q3K, q3_k, bits: 3, offset: 2, subs: 2, mins: false, vectors: 3, scales: Two,
    halves: [quant::q3_k::D],
    group: three_group, scale: signed, min: none, put: put_three,
    put_scales: |block, lane, scales| put_pairs(&quant::q3_k::scales(block).map(|s| s as u8), lane, scales),
);
big_format!(
    Q4K, q4_k, bits: 4, offset: 0, subs: 1, mins: true, vectors: 4, scales: Two,
    halves: [quant::q4_k::D, quant::q4_k::DMIN],
    group: four_group, scale: first, min: second, put: put_four,
    put_scales: put_scale_min,
);
big_format!(
    Q5K, q5_k, bits: 5, offset: 0, subs: 1, mins: true, vectors: 5, scales: Two,
    halves: [quant::q4_k::D, quant::q4_k::DMIN],
    group: five_group, scale: first, min: second, put: put_five,
    put_scales: put_scale_min,
);
big_format!(
    Q6K, q6_k, bits: 6, offset: 5, subs: 2, mins: false, vectors: 6, scales: Two,
    halves: [quant::q6_k::D],
    group: six_group, scale: signed, min: none, put: put_six,
    put_scales: |block: &[u8], lane, scales| put_pairs(&block[quant::q6_k::SCALES..][..16], lane, scales),
);

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

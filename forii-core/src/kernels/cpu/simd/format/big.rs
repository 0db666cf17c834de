//! Formats with blocks of 256 weights: sub-blocks with small integer scales, and half floats that
//! multiply these. A panel is one block of each row.

use super::{
    Bytes, Format, Halves, Isa, Vectors, five_group, four, four_group, one, put_five, put_four, put_half,
    put_one, put_two, two, words,
};
use crate::quant;

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

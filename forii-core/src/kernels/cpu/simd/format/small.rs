//! Formats with blocks of 32 weights, each with a half float scale and perhaps a minimum.

use super::{
    Format, Halves, Isa, Vectors, five_group, four, four_group, put, put_five, put_four, put_half, words,
};
use crate::quant;

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

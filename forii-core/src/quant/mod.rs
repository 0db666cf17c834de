//! How a tensor's numbers are stored: block formats under ggml's names, their geometry, and safe
//! scalar code that turns blocks into floats. One file per format. This is the oracle that every
//! kernel is tested against; it knows neither files nor devices.

mod dense;
pub(crate) mod iq4_nl;
pub(crate) mod q2_k;
pub(crate) mod q3_k;
pub(crate) mod q4_0;
pub(crate) mod q4_1;
pub(crate) mod q4_k;
pub(crate) mod q5_0;
pub(crate) mod q5_1;
pub(crate) mod q5_k;
pub(crate) mod q6_k;
pub(crate) mod q8_0;
#[cfg(test)]
mod tests;

use half::f16;

/// A storage format, under ggml's name. Dense formats are blocks of one weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types)]
#[non_exhaustive]
pub enum QuantFormat {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// bfloat16: the upper half of an F32.
    BF16,
    /// 32 weights: f16 scale, 4-bit quants minus 8.
    Q4_0,
    /// 32 weights: f16 scale, f16 minimum, 4-bit quants.
    Q4_1,
    /// 32 weights: f16 scale, 5-bit quants minus 16.
    Q5_0,
    /// 32 weights: f16 scale, f16 minimum, 5-bit quants.
    Q5_1,
    /// 32 weights: f16 scale, 8-bit signed quants.
    Q8_0,
    /// 256 weights in 16 sub-blocks with 4-bit scales and minimums, 2-bit quants.
    Q2_K,
    /// 256 weights in 16 sub-blocks with 6-bit scales, 3-bit quants minus 4.
    Q3_K,
    /// 256 weights in 8 sub-blocks with 6-bit scales and minimums, 4-bit quants.
    Q4_K,
    /// 256 weights in 8 sub-blocks with 6-bit scales and minimums, 5-bit quants.
    Q5_K,
    /// 256 weights in 16 sub-blocks with 8-bit scales, 6-bit quants minus 32.
    Q6_K,
    /// 32 weights: f16 scale, 4-bit indices into a fixed table of 16 values.
    IQ4_NL,
}

impl QuantFormat {
    /// Every format.
    pub const ALL: [Self; 14] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
    ];

    /// Weights in one block.
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 | Self::IQ4_NL => 32,
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K => 256,
        }
    }

    /// Bytes of one block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => q4_0::BYTES,
            Self::Q4_1 => q4_1::BYTES,
            Self::Q5_0 => q5_0::BYTES,
            Self::Q5_1 => q5_1::BYTES,
            Self::Q8_0 => q8_0::BYTES,
            Self::Q2_K => q2_k::BYTES,
            Self::Q3_K => q3_k::BYTES,
            Self::Q4_K => q4_k::BYTES,
            Self::Q5_K => q5_k::BYTES,
            Self::Q6_K => q6_k::BYTES,
            Self::IQ4_NL => iq4_nl::BYTES,
        }
    }

    /// ggml's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2_K => "Q2_K",
            Self::Q3_K => "Q3_K",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
            Self::IQ4_NL => "IQ4_NL",
        }
    }

    /// The format behind ggml's type number, as GGUF files store it.
    pub const fn from_ggml_type(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2_K,
            11 => Self::Q3_K,
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            20 => Self::IQ4_NL,
            30 => Self::BF16,
            _ => return None,
        })
    }

    /// Bytes of a row of `len` weights; `None` where that is no whole number of blocks, or more
    /// bytes than can be counted.
    pub const fn row_bytes(self, len: usize) -> Option<usize> {
        if !len.is_multiple_of(self.block_len()) {
            return None;
        }
        (len / self.block_len()).checked_mul(self.block_bytes())
    }
}

impl std::fmt::Display for QuantFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Blocks and floats that do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantError {
    /// The bytes are no whole number of blocks.
    #[error("{len} bytes are no whole number of {format} blocks")]
    Blocks {
        /// The blocks' format.
        format: QuantFormat,
        /// The bytes given.
        len: usize,
    },
    /// The output has not one place for each weight.
    #[error("the blocks hold {expected} weights, the output {found}")]
    Output {
        /// Weights in the blocks.
        expected: usize,
        /// Places in the output.
        found: usize,
    },
}

/// Turns blocks into floats, bit for bit as ggml does.
///
/// # Errors
/// [`QuantError`] where `blocks` is no whole number of blocks or `out` has another length.
pub fn dequantize(format: QuantFormat, blocks: &[u8], out: &mut [f32]) -> Result<(), QuantError> {
    if !blocks.len().is_multiple_of(format.block_bytes()) {
        return Err(QuantError::Blocks {
            format,
            len: blocks.len(),
        });
    }
    let expected = (blocks.len() / format.block_bytes()).saturating_mul(format.block_len());
    if out.len() != expected {
        return Err(QuantError::Output {
            expected,
            found: out.len(),
        });
    }
    match format {
        QuantFormat::F32 => each(blocks, out, dense::f32),
        QuantFormat::F16 => each(blocks, out, dense::f16),
        QuantFormat::BF16 => each(blocks, out, dense::bf16),
        QuantFormat::Q4_0 => each(blocks, out, q4_0::dequantize),
        QuantFormat::Q4_1 => each(blocks, out, q4_1::dequantize),
        QuantFormat::Q5_0 => each(blocks, out, q5_0::dequantize),
        QuantFormat::Q5_1 => each(blocks, out, q5_1::dequantize),
        QuantFormat::Q8_0 => each(blocks, out, q8_0::dequantize),
        QuantFormat::Q2_K => each(blocks, out, q2_k::dequantize),
        QuantFormat::Q3_K => each(blocks, out, q3_k::dequantize),
        QuantFormat::Q4_K => each(blocks, out, q4_k::dequantize),
        QuantFormat::Q5_K => each(blocks, out, q5_k::dequantize),
        QuantFormat::Q6_K => each(blocks, out, q6_k::dequantize),
        QuantFormat::IQ4_NL => each(blocks, out, iq4_nl::dequantize),
    }
    Ok(())
}

#[inline]
fn each<const BYTES: usize, const LEN: usize>(
    blocks: &[u8],
    out: &mut [f32],
    dequantize: impl Fn(&[u8; BYTES], &mut [f32; LEN]),
) {
    for (block, out) in blocks.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        dequantize(block, out);
    }
}

/// The half float at byte `at` of a block.
#[inline]
fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Sixteen bytes as 32 codes of 4 bits: the low halves first, then the high ones.
#[inline]
fn nibbles(bytes: &[u8]) -> [u8; 32] {
    let mut codes = [0; 32];
    for (i, byte) in bytes[..16].iter().enumerate() {
        codes[i] = byte & 15;
        codes[i + 16] = byte >> 4;
    }
    codes
}

/// As [`nibbles`], with a fifth bit for each code from the 32 bits of `high`.
#[inline]
fn five_bits(bytes: &[u8], high: &[u8]) -> [u8; 32] {
    let mut codes = nibbles(bytes);
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    for (i, code) in codes.iter_mut().enumerate() {
        *code |= ((high >> i & 1) << 4) as u8;
    }
    codes
}

/// `d · (code − offset)` for a block of one scale.
#[inline]
fn centred<const LEN: usize>(d: f32, offset: i32, codes: &[u8; LEN], out: &mut [f32; LEN]) {
    for (out, &code) in out.iter_mut().zip(codes) {
        *out = d * (i32::from(code) - offset) as f32;
    }
}

/// `d · code + min` for a block of one scale and one minimum.
#[inline]
fn with_min(d: f32, min: f32, codes: &[u8], out: &mut [f32]) {
    for (out, &code) in out.iter_mut().zip(codes) {
        *out = d * f32::from(code) + min;
    }
}

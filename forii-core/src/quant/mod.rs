//! How a tensor's numbers are stored: block formats under ggml's names, their geometry, and safe
//! scalar code that turns blocks into floats. One file per format. This is the oracle that every
//! kernel is tested against; it knows neither files nor devices.

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
            Self::Q4_0 | Self::IQ4_NL => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2_K => 84,
            Self::Q3_K => 110,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }
}

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

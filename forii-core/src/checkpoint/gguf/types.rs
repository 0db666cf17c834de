//! ggml's tensor types by number.

use crate::quant::QuantFormat;

/// ggml's types by number, those that forii does not read included, so that errors can name them.
const GGML_TYPES: [(u32, Result<QuantFormat, &str>); 36] = [
    (0, Ok(QuantFormat::F32)),
    (1, Ok(QuantFormat::F16)),
    (2, Ok(QuantFormat::Q4_0)),
    (3, Ok(QuantFormat::Q4_1)),
    (6, Ok(QuantFormat::Q5_0)),
    (7, Ok(QuantFormat::Q5_1)),
    (8, Ok(QuantFormat::Q8_0)),
    (9, Err("Q8_1")),
    (10, Ok(QuantFormat::Q2_K)),
    (11, Ok(QuantFormat::Q3_K)),
    (12, Ok(QuantFormat::Q4_K)),
    (13, Ok(QuantFormat::Q5_K)),
    (14, Ok(QuantFormat::Q6_K)),
    (15, Err("Q8_K")),
    (16, Err("IQ2_XXS")),
    (17, Err("IQ2_XS")),
    (18, Err("IQ3_XXS")),
    (19, Err("IQ1_S")),
    (20, Ok(QuantFormat::IQ4_NL)),
    (21, Err("IQ3_S")),
    (22, Err("IQ2_S")),
    (23, Err("IQ4_XS")),
    (24, Err("I8")),
    (25, Err("I16")),
    (26, Err("I32")),
    (27, Err("I64")),
    (28, Err("F64")),
    (29, Err("IQ1_M")),
    (30, Ok(QuantFormat::BF16)),
    (31, Err("Q4_0_4_4")),
    (32, Err("Q4_0_4_8")),
    (33, Err("Q4_0_8_8")),
    (34, Err("TQ1_0")),
    (35, Err("TQ2_0")),
    (39, Err("MXFP4")),
    (40, Err("NVFP4")),
];

/// The format with this number, or what to say about a number that is none.
pub(super) fn format_of(id: u32) -> Result<QuantFormat, String> {
    let known = GGML_TYPES.iter().find(|entry| entry.0 == id);
    let name = match known {
        Some((_, Ok(format))) => return Ok(*format),
        Some((_, Err(name))) => format!("ggml type {name}"),
        None => format!("ggml type {id}"),
    };
    let supported = QuantFormat::ALL.map(QuantFormat::name).join(", ");
    Err(format!("{name}; the supported types are {supported}"))
}

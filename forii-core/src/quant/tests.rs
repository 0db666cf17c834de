use std::path::PathBuf;

use super::*;

fn golden(file: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata/quant")
        .join(file);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_format_dequantizes_bit_for_bit_as_ggml() {
    for format in QuantFormat::ALL {
        let blocks = golden(&format!("{format}.blocks"));
        let expected: Vec<u32> = golden(&format!("{format}.f32"))
            .as_chunks()
            .0
            .iter()
            .map(|b| u32::from_le_bytes(*b))
            .collect();
        assert!(blocks.len() / format.block_bytes() >= 64, "{format}");
        let mut found = vec![0.0; expected.len()];
        dequantize(format, &blocks, &mut found).unwrap();
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found.to_bits(), *expected, "{format}, weight {i}");
        }
    }
}

#[test]
fn ggml_type_numbers_lead_to_each_format_once() {
    let found: Vec<_> = (0..64).filter_map(QuantFormat::from_ggml_type).collect();
    assert_eq!(found.len(), QuantFormat::ALL.len());
    for format in QuantFormat::ALL {
        assert!(found.contains(&format), "{format}");
    }
    assert_eq!(QuantFormat::from_ggml_type(u32::MAX), None);
}

#[test]
fn rows_are_whole_numbers_of_blocks() {
    assert_eq!(QuantFormat::F32.row_bytes(3), Some(12));
    assert_eq!(QuantFormat::Q4_1.row_bytes(576), Some(360));
    assert_eq!(QuantFormat::Q4_1.row_bytes(577), None);
    assert_eq!(QuantFormat::Q6_K.row_bytes(896), None);
    assert_eq!(QuantFormat::Q6_K.row_bytes(1024), Some(840));
    assert_eq!(QuantFormat::F32.row_bytes(usize::MAX), None);
}

#[test]
fn wrong_lengths_are_refused() {
    let mut out = vec![0.0; 32];
    assert_eq!(
        dequantize(QuantFormat::Q8_0, &[0; 33], &mut out),
        Err(QuantError::Blocks {
            format: QuantFormat::Q8_0,
            len: 33
        })
    );
    assert_eq!(
        dequantize(QuantFormat::Q8_0, &[0; 68], &mut out),
        Err(QuantError::Output {
            expected: 64,
            found: 32
        })
    );
}

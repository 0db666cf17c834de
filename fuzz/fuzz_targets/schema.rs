//! Any JSON as a schema, strict or not: it compiles or is refused in time, and what compiled leads through
//! an answer whose end, where it comes, is JSON.
#![no_main]

mod walk;

use forii_sampling::constraint::Grammar;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (strict, data) = data.split_first().map_or((true, data), |(first, rest)| (first % 2 == 0, rest));
    let end = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let Ok(schema) = serde_json::from_slice(&data[..end]) else { return };
    if let Some(answer) = walk::walk(&Grammar::JsonSchema { schema, strict }, &data[end..]) {
        assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&answer).is_ok(), "{answer:?}");
    }
});

//! Any text as a regular expression: it compiles or is refused in time, and leads through an answer.
#![no_main]

mod walk;

use forii_sampling::constraint::Grammar;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    if let Ok(regex) = std::str::from_utf8(&data[..end]) {
        walk::walk(&Grammar::Regex(regex.to_owned()), &data[end..]);
    }
});

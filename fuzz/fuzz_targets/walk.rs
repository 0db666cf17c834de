//! Compiles a grammar over single bytes and walks through it as the fuzzer's bytes choose.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use forii_sampling::constraint::{Grammar, GrammarCompiler, Vocabulary};

const EOS: u32 = 256;

static COMPILER: LazyLock<GrammarCompiler> = LazyLock::new(|| {
    let bytes = (0..=255u8).map(|b| (vec![b], false)).chain([(b"<end>".to_vec(), true)]);
    GrammarCompiler::new(Vocabulary::new(bytes, &[EOS]).expect("a valid vocabulary"))
});

/// The answer, where the walk came to its end.
pub fn walk(grammar: &Grammar, choices: &[u8]) -> Option<Vec<u8>> {
    let start = Instant::now();
    let compiled = COMPILER.compile(grammar);
    assert!(start.elapsed() < Duration::from_secs(2), "compiling took {:?}", start.elapsed());
    let mut constraint = compiled.ok()?.start();
    let mut answer = Vec::new();
    for &choice in choices {
        let start = Instant::now();
        let allowed: Vec<u32> = constraint.mask().ok()?.iter().collect();
        assert!(start.elapsed() < Duration::from_secs(2), "a mask took {:?}", start.elapsed());
        assert!(!allowed.is_empty(), "nothing is allowed");
        let token = allowed[usize::from(choice) % allowed.len()];
        if token == EOS {
            return Some(answer);
        }
        constraint.accept(token).ok()?;
        answer.push(token as u8);
    }
    None
}

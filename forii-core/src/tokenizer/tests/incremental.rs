//! Decoding one token at a time.

use proptest::prelude::*;

use super::{byte_level_vocab, from_gguf, real, sentencepiece_vocab, texts};
use crate::tokenizer::{IncrementalDecoder, Special, Tokenizer};

/// What the decoder must yield: all bytes together, SentencePiece's leading space dropped.
fn whole(tokenizer: &Tokenizer, tokens: &[u32], strip: bool) -> String {
    let bytes: Vec<u8> = tokens
        .iter()
        .filter(|&&token| !tokenizer.is_special(token))
        .flat_map(|&token| tokenizer.token_bytes(token).unwrap_or_default().to_vec())
        .collect();
    let bytes = if strip {
        bytes.strip_prefix(b" ").unwrap_or(&bytes)
    } else {
        &bytes
    };
    String::from_utf8_lossy(bytes).into_owned()
}

fn one_by_one(tokenizer: &Tokenizer, tokens: &[u32]) -> String {
    let mut decoder = IncrementalDecoder::new(tokenizer);
    let mut text = String::new();
    for &token in tokens {
        decoder.push(token, &mut text);
    }
    decoder.finish(&mut text);
    text
}

#[test]
fn never_yields_half_a_character() {
    let tokenizer = from_gguf(byte_level_vocab("gpt-2"));
    let tokens = tokenizer.encode("🇫🇷 ฉ", Special::AsText);
    let mut decoder = IncrementalDecoder::new(&tokenizer);
    let mut seen = String::new();
    for token in tokens {
        decoder.push(token, &mut seen);
        assert!("🇫🇷 ฉ".starts_with(seen.as_str()), "{seen:?}");
    }
    assert_eq!(seen, "🇫🇷 ฉ");
}

#[test]
fn an_unfinished_character_is_replaced_once() {
    let tokenizer = from_gguf(byte_level_vocab("gpt-2"));
    let tokens = tokenizer.encode("a🙃", Special::AsText);
    assert_eq!(one_by_one(&tokenizer, &tokens[..tokens.len() - 1]), "a\u{fffd}");
}

#[test]
fn special_tokens_are_skipped_and_ids_without_a_token_add_nothing() {
    let tokenizer = from_gguf(byte_level_vocab("gpt-2"));
    let mut tokens = tokenizer.encode("<|im_start|>hi<|im_end|>", Special::Parse);
    tokens.push(1_000_000);
    assert_eq!(tokenizer.decode(&tokens), "hi");
}

#[test]
fn only_the_first_space_of_a_sentencepiece_text_is_dropped() {
    let tokenizer = from_gguf(sentencepiece_vocab());
    let tokens = tokenizer.encode("</s>  two words ", Special::Parse);
    assert_eq!(tokens.first(), Some(&2));
    assert_eq!(tokenizer.decode(&tokens), "  two words ");
}

#[test]
fn every_text_survives() {
    let byte_level = from_gguf(byte_level_vocab("qwen2"));
    let sentencepiece = from_gguf(sentencepiece_vocab());
    let qwen = real("qwen2.5-coder-0.5b-instruct");
    for text in texts() {
        // SentencePiece cannot tell `▁` from a space, and puts a space after an added token.
        if !text.contains("<tool_call>") {
            let tokens = sentencepiece.encode(&text, Special::AsText);
            assert_eq!(sentencepiece.decode(&tokens), text.replace('▁', " "));
        }
        for tokenizer in [Some(&byte_level), qwen.as_ref()].into_iter().flatten() {
            assert_eq!(tokenizer.decode(&tokenizer.encode(&text, Special::AsText)), text);
        }
    }
}

proptest! {
    #[test]
    fn any_sequence_is_its_bytes_decoded(tokens in proptest::collection::vec(0_u32..520, 0..60)) {
        let byte_level = from_gguf(byte_level_vocab("gpt-2"));
        prop_assert_eq!(one_by_one(&byte_level, &tokens), whole(&byte_level, &tokens, false));
        let sentencepiece = from_gguf(sentencepiece_vocab());
        prop_assert_eq!(one_by_one(&sentencepiece, &tokens), whole(&sentencepiece, &tokens, true));
    }

    /// Bytes chosen where UTF-8 is subtle: lead bytes, continuations, surrogates, overlong forms.
    #[test]
    fn any_bytes_are_decoded_as_the_standard_library_does(
        bytes in proptest::collection::vec(
            prop_oneof![
                Just(0xE2_u8), Just(0xF0), Just(0xED), Just(0xF4), Just(0xE0), Just(0xC2), Just(0xC0),
                Just(0x80), Just(0x9F), Just(0xA0), Just(0xBF), Just(0x90), Just(b'a'), any::<u8>(),
            ],
            0..40,
        ),
    ) {
        let tokenizer = from_gguf(sentencepiece_vocab());
        let tokens: Vec<u32> = std::iter::once(3 + u32::from(b'x'))
            .chain(bytes.iter().map(|&byte| 3 + u32::from(byte)))
            .collect();
        let expected = [b"x".as_slice(), &bytes].concat();
        prop_assert_eq!(one_by_one(&tokenizer, &tokens), String::from_utf8_lossy(&expected));
    }
}

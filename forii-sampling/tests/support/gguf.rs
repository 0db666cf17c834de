//! The vocabulary of a byte-level BPE model out of a GGUF file's metadata; no more of the format than that.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use forii_sampling::constraint::Vocabulary;

enum Value {
    Number(u64),
    Text(Vec<u8>),
    Array(Vec<Self>),
}

struct Reader(BufReader<File>);

impl Reader {
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn number(&mut self, len: usize) -> u64 {
        self.bytes(len)
            .iter()
            .rev()
            .fold(0, |n, &b| n << 8 | u64::from(b))
    }

    fn text(&mut self) -> Vec<u8> {
        let len = self.number(8) as usize;
        self.bytes(len)
    }

    fn value(&mut self, kind: u64) -> Value {
        match kind {
            0 | 1 | 7 => Value::Number(self.number(1)),
            2 | 3 => Value::Number(self.number(2)),
            4..=6 => Value::Number(self.number(4)),
            8 => Value::Text(self.text()),
            9 => {
                let kind = self.number(4);
                let len = self.number(8);
                Value::Array((0..len).map(|_| self.value(kind)).collect())
            }
            10..=12 => Value::Number(self.number(8)),
            _ => panic!("unknown kind of value {kind}"),
        }
    }
}

pub(crate) fn vocabulary(path: &Path) -> Vocabulary {
    let mut reader = Reader(BufReader::new(File::open(path).unwrap()));
    assert_eq!(reader.bytes(4), b"GGUF");
    reader.number(4);
    reader.number(8);
    let mut metadata = HashMap::new();
    for _ in 0..reader.number(8) {
        let key = String::from_utf8(reader.text()).unwrap();
        let kind = reader.number(4);
        metadata.insert(key, reader.value(kind));
    }
    let array = |key: &str| match &metadata[key] {
        Value::Array(items) => items,
        _ => panic!("{key} is no array"),
    };
    let number = |v: &Value| match v {
        Value::Number(n) => *n,
        _ => panic!("not a number"),
    };
    let spelled = spelled_bytes();
    let tokens = array("tokenizer.ggml.tokens")
        .iter()
        .zip(array("tokenizer.ggml.token_type"))
        .map(|(token, kind)| {
            let Value::Text(text) = token else {
                panic!("a token is no text")
            };
            // 3 is a control token, 5 an unused one; 4 is user-defined and spelled as it is.
            match number(kind) {
                3 | 5 => (text.clone(), true),
                4 => (text.clone(), false),
                _ => {
                    let text = std::str::from_utf8(text).unwrap();
                    (text.chars().map(|c| spelled[&c]).collect(), false)
                }
            }
        });
    let eos = number(&metadata["tokenizer.ggml.eos_token_id"]) as u32;
    Vocabulary::new(tokens, &[eos]).unwrap()
}

/// The characters that byte-level BPE spells bytes with: the printable ones of Latin-1 for themselves, the
/// others in order from U+0100.
fn spelled_bytes() -> HashMap<char, u8> {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut next = 0x100;
    (0..=255u8)
        .map(|b| {
            if printable(b) {
                return (char::from(b), b);
            }
            next += 1;
            (char::from_u32(next - 1).unwrap(), b)
        })
        .collect()
}

//! Just enough of a GGUF reader to get at a real file's vocabulary. Trusts the file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::tokenizer::GgufVocab;

enum Value {
    Number(u64),
    Float(f32),
    Text(Vec<u8>),
    List(Vec<Self>),
}

struct Reader(BufReader<File>);

impl Reader {
    fn number(&mut self, bytes: usize) -> u64 {
        let mut buffer = [0; 8];
        self.0.read_exact(&mut buffer[..bytes]).unwrap();
        u64::from_le_bytes(buffer)
    }

    fn text(&mut self) -> Vec<u8> {
        let mut text = vec![0; self.number(8) as usize];
        self.0.read_exact(&mut text).unwrap();
        text
    }

    fn value(&mut self, kind: u64) -> Value {
        match kind {
            0 | 1 | 7 => Value::Number(self.number(1)),
            2 | 3 => Value::Number(self.number(2)),
            4 | 5 => Value::Number(self.number(4)),
            6 => Value::Float(f32::from_bits(self.number(4) as u32)),
            8 => Value::Text(self.text()),
            9 => {
                let kind = self.number(4);
                let count = self.number(8);
                Value::List((0..count).map(|_| self.value(kind)).collect())
            }
            10..=12 => Value::Number(self.number(8)),
            other => panic!("no such value type: {other}"),
        }
    }
}

/// The `tokenizer.ggml.*` metadata of a well-formed GGUF file.
pub(super) fn read_vocab(path: &Path) -> GgufVocab {
    let mut reader = Reader(BufReader::new(File::open(path).unwrap()));
    assert_eq!(reader.number(4), u64::from(u32::from_le_bytes(*b"GGUF")));
    reader.number(4);
    reader.number(8);
    let count = reader.number(8);
    let mut values = HashMap::new();
    for _ in 0..count {
        let key = String::from_utf8(reader.text()).unwrap();
        let kind = reader.number(4);
        let value = reader.value(kind);
        if let Some(key) = key.strip_prefix("tokenizer.ggml.") {
            values.insert(key.to_owned(), value);
        }
    }
    let mut take = |key: &str| values.remove(key);
    let utf8 = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let mut vocab = GgufVocab::default();
    if let Some(Value::Text(model)) = take("model") {
        vocab.model = utf8(model);
    }
    if let Some(Value::Text(pre)) = take("pre") {
        vocab.pre = Some(utf8(pre));
    }
    if let Some(Value::List(tokens)) = take("tokens") {
        vocab.tokens = tokens.into_iter().filter_map(text).collect();
    }
    if let Some(Value::List(types)) = take("token_type") {
        vocab.token_types = types.iter().filter_map(number).map(|kind| kind as i32).collect();
    }
    if let Some(Value::List(scores)) = take("scores") {
        let score = |value: &Value| {
            if let Value::Float(score) = value {
                Some(*score)
            } else {
                None
            }
        };
        vocab.scores = scores.iter().filter_map(score).collect();
    }
    if let Some(Value::List(merges)) = take("merges") {
        vocab.merges = merges.into_iter().filter_map(text).map(utf8).collect();
    }
    let mut id = |key: &str| take(key).as_ref().and_then(number).map(|id| id as u32);
    vocab.bos_token_id = id("bos_token_id");
    vocab.eos_token_id = id("eos_token_id");
    vocab.eot_token_id = id("eot_token_id");
    vocab.unknown_token_id = id("unknown_token_id");
    vocab.padding_token_id = id("padding_token_id");
    let mut flag = |key: &str| id(key).map(|flag| flag != 0);
    vocab.add_bos_token = flag("add_bos_token");
    vocab.add_eos_token = flag("add_eos_token");
    vocab.add_space_prefix = flag("add_space_prefix");
    vocab
}

fn text(value: Value) -> Option<Vec<u8>> {
    if let Value::Text(text) = value {
        Some(text)
    } else {
        None
    }
}

fn number(value: &Value) -> Option<u64> {
    if let Value::Number(number) = value {
        Some(*number)
    } else {
        None
    }
}

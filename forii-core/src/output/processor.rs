//! One answer's way from token ids to text.

use super::stop::StopMatcher;
use crate::chat::Delta;
use crate::tokenizer::{IncrementalDecoder, Tokenizer};

/// Turns an answer's tokens into pieces of text, until it ends or a stop string ends it.
#[derive(Debug)]
pub struct OutputProcessor {
    decoder: IncrementalDecoder,
    stop: StopMatcher,
    decoded: String,
}

impl OutputProcessor {
    /// A processor for one answer.
    pub fn new(tokenizer: &Tokenizer, stop: Vec<String>) -> Self {
        Self {
            decoder: IncrementalDecoder::new(tokenizer),
            stop: StopMatcher::new(stop),
            decoded: String::new(),
        }
    }

    /// Takes one token. Appends pieces, none of them empty. Returns whether a stop string was found:
    /// then nothing more comes.
    pub fn push(&mut self, token: u32, out: &mut Vec<Delta>) -> bool {
        self.decoded.clear();
        self.decoder.push(token, &mut self.decoded);
        let mut text = String::new();
        self.stop.push(&self.decoded, &mut text);
        emit(text, out);
        self.stop.matched()
    }

    /// Ends the answer: what was held back comes out. Returns whether a stop string was found in it.
    pub fn finish(&mut self, out: &mut Vec<Delta>) -> bool {
        self.decoded.clear();
        self.decoder.finish(&mut self.decoded);
        let mut text = String::new();
        self.stop.push(&self.decoded, &mut text);
        self.stop.finish(&mut text);
        emit(text, out);
        self.stop.matched()
    }
}

fn emit(text: String, out: &mut Vec<Delta>) {
    if !text.is_empty() {
        out.push(Delta::Text(text));
    }
}

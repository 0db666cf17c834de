//! What each token id stands for: its bytes, in one allocation, and whether it is special.
//! Spellings (byte-level letters, `▁`, `<0x41>`) are undone here, once, while loading.

use std::sync::LazyLock;

use forii_sampling::TokenId;

/// How a vocabulary spells bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// GPT-2's: every byte is a printable letter, a space is `Ġ`.
    ByteLevel,
    /// SentencePiece's: a space is this character, `▁`.
    Metaspace(char),
    /// As it reads.
    Plain,
}

/// Bytes and kind of every token.
#[derive(Debug, Default)]
pub(super) struct TokenTable {
    bytes: Vec<u8>,
    /// Where each token's bytes end; they begin where the one before ends.
    ends: Vec<u32>,
    kinds: Vec<Kind>,
}

/// What an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An id that no token has.
    Hole,
    /// Text.
    Text,
    /// Control.
    Special,
}

impl TokenTable {
    pub(super) fn with_capacity(tokens: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(tokens),
            kinds: Vec::with_capacity(tokens),
        }
    }

    /// Appends the next id. Callers keep the sum of all bytes below 4 GiB: it comes out of one file.
    pub(super) fn push(&mut self, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len() as u32);
        self.kinds.push(kind);
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn bytes(&self, id: TokenId) -> Option<&[u8]> {
        let index = id as usize;
        if *self.kinds.get(index)? == Kind::Hole {
            return None;
        }
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.bytes[start as usize..self.ends[index] as usize])
    }

    pub(super) fn is_special(&self, id: TokenId) -> bool {
        self.kinds.get(id as usize) == Some(&Kind::Special)
    }
}

impl Spelling {
    /// Appends what `token` stands for. In a byte-level vocabulary a token with a letter outside
    /// the byte alphabet is taken as it reads, as transformers does.
    pub(super) fn write_bytes(self, token: &str, out: &mut Vec<u8>) {
        match self {
            Self::Plain => out.extend_from_slice(token.as_bytes()),
            Self::ByteLevel => {
                let start = out.len();
                for letter in token.chars() {
                    let Some(byte) = byte_of_letter(letter) else {
                        out.truncate(start);
                        out.extend_from_slice(token.as_bytes());
                        return;
                    };
                    out.push(byte);
                }
            }
            Self::Metaspace(space) => {
                for (index, part) in token.split(space).enumerate() {
                    if index > 0 {
                        out.push(b' ');
                    }
                    out.extend_from_slice(part.as_bytes());
                }
            }
        }
    }
}

/// The byte that a token of the form `<0x41>` stands for.
pub(super) fn byte_token(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let exact = hex.len() == 2
        && hex
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
    exact.then(|| u8::from_str_radix(hex, 16).ok())?
}

/// GPT-2's alphabet: printable Latin-1 letters stand for themselves, the other bytes follow from
/// U+0100 in order.
fn byte_of_letter(letter: char) -> Option<u8> {
    const LETTERS: usize = 324;
    static BYTES: LazyLock<[Option<u8>; LETTERS]> = LazyLock::new(|| {
        let mut table = [None; LETTERS];
        let mut next = 256;
        for byte in 0..=255_u8 {
            let printable = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
            let letter = if printable { usize::from(byte) } else { next };
            next += usize::from(!printable);
            table[letter] = Some(byte);
        }
        table
    });
    BYTES.get(letter as usize).copied().flatten()
}

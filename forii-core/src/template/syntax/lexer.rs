//! Cuts the inside of a Jinja tag into tokens, as far as rewriting needs them.

use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    /// A string or number.
    Literal,
    Operator,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Where it stands in the source.
    pub(super) span: Range<usize>,
}

/// The tokens of a tag from `at` on, and where the tag ends.
pub(super) fn tokens(source: &str, at: usize, block: bool) -> Option<(Vec<Token>, usize)> {
    let bytes = source.as_bytes();
    let end: &[u8] = if block { b"%}" } else { b"}}" };
    let mut tokens = Vec::new();
    let mut depth = 0_usize;
    let mut at = at + usize::from(matches!(bytes.get(at), Some(b'-' | b'+')));
    loop {
        let rest = &bytes[at..];
        let first = *rest.first()?;
        if depth == 0 {
            if rest.starts_with(end) {
                return Some((tokens, at + 2));
            }
            if matches!(first, b'-' | b'+') && rest[1..].starts_with(end) {
                return Some((tokens, at + 3));
            }
        }
        let (kind, len) = match first {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                continue;
            }
            b'\'' | b'"' => (Kind::Literal, string_len(rest)?),
            b'0'..=b'9' => (Kind::Literal, number_len(rest)),
            byte if is_name_byte(byte) => (
                Kind::Name,
                rest.iter().take_while(|&&byte| is_name_byte(byte)).count(),
            ),
            byte => {
                match byte {
                    b'(' | b'[' | b'{' => depth += 1,
                    b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                let pair = matches!(
                    rest,
                    [b'=' | b'!' | b'<' | b'>', b'=', ..] | [b'*', b'*', ..] | [b'/', b'/', ..]
                );
                (Kind::Operator, 1 + usize::from(pair))
            }
        };
        tokens.push(Token {
            kind,
            span: at..at + len,
        });
        at += len;
    }
}

/// Letters, digits, underscores and everything beyond ASCII, which the compiler judges.
fn is_name_byte(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

fn string_len(bytes: &[u8]) -> Option<usize> {
    let quote = bytes[0];
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

fn number_len(bytes: &[u8]) -> usize {
    let mut len = bytes.iter().take_while(|&&byte| is_name_byte(byte)).count();
    if let [b'.', b'0'..=b'9', ..] = bytes[len..] {
        len += 1 + bytes[len + 1..]
            .iter()
            .take_while(|&&byte| is_name_byte(byte))
            .count();
    }
    if let ([.., b'e' | b'E'], [b'+' | b'-', b'0'..=b'9', ..]) = (&bytes[..len], &bytes[len..]) {
        len += 1 + bytes[len + 1..]
            .iter()
            .take_while(|&&byte| is_name_byte(byte))
            .count();
    }
    len
}

/// Where the tag that ends a raw block ends.
pub(super) fn end_of_raw(source: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += source[at..].find("{%")? + 2;
        let inner = source[at..].trim_start_matches(['-', '+']).trim_start();
        if let Some(rest) = inner.strip_prefix("endraw") {
            let rest = rest.trim_start().trim_start_matches(['-', '+']);
            if rest.starts_with("%}") {
                return Some(source.len() - rest.len() + 2);
            }
        }
    }
}

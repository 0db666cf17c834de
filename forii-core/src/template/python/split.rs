//! How Python's `str` strips and splits.

use minijinja::Error;
use minijinja::value::{Tuple, Value};

use super::invalid;
use super::methods::Args;
use super::strings::{is_space, position, string};

pub(super) fn strip(text: &str, args: &Args<'_>, left: bool, right: bool) -> Result<Value, Error> {
    let chars = args.get(0, "chars");
    let chars = chars.as_ref().map(string).transpose()?;
    let matches = |char: char| chars.map_or_else(|| is_space(char), |chars| chars.contains(char));
    let text = if left {
        text.trim_start_matches(matches)
    } else {
        text
    };
    Ok(if right {
        text.trim_end_matches(matches)
    } else {
        text
    }
    .into())
}

pub(super) fn split(text: &str, args: &Args<'_>, from_right: bool) -> Result<Value, Error> {
    let separator = args.get(0, "sep");
    let separator = separator.as_ref().map(string).transpose()?;
    // A negative limit is none; otherwise there is one part more than splits.
    let most = match position(args.get(1, "maxsplit"))? {
        Some(splits) => usize::try_from(splits).map_or(usize::MAX, |splits| splits.saturating_add(1)),
        None => usize::MAX,
    };
    let mut parts: Vec<Value> = match (separator, from_right) {
        (Some(""), _) => return Err(invalid("empty separator")),
        (Some(separator), false) => text.splitn(most, separator).map(Value::from).collect(),
        (Some(separator), true) => text.rsplitn(most, separator).map(Value::from).collect(),
        (None, false) => split_spaces(text, most),
        (None, true) => split_spaces_right(text, most),
    };
    if from_right {
        parts.reverse();
    }
    Ok(parts.into())
}

fn split_spaces(text: &str, most: usize) -> Vec<Value> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        match rest.find(is_space) {
            Some(index) if parts.len() + 1 < most => {
                parts.push(Value::from(&rest[..index]));
                rest = rest[index..].trim_start_matches(is_space);
            }
            _ => {
                parts.push(Value::from(rest));
                break;
            }
        }
    }
    // Without a limit, spaces at the end make no part.
    if most == usize::MAX
        && let Some(last) = parts.last_mut()
    {
        *last = Value::from(last.as_str().unwrap_or_default().trim_end_matches(is_space));
    }
    parts
}

/// From the right, so the last part comes first.
fn split_spaces_right(text: &str, most: usize) -> Vec<Value> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        match rest.char_indices().rev().find(|(_, char)| is_space(*char)) {
            Some((index, char)) if parts.len() + 1 < most => {
                parts.push(Value::from(&rest[index + char.len_utf8()..]));
                rest = rest[..index].trim_end_matches(is_space);
            }
            _ => {
                parts.push(Value::from(rest));
                break;
            }
        }
    }
    parts
}

pub(super) fn split_lines(text: &str, keep_ends: bool) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((index, char)) = chars.next() {
        let breaks = matches!(char, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
        if !breaks {
            continue;
        }
        let mut end = index + char.len_utf8();
        if char == '\r' && chars.next_if(|next| next.1 == '\n').is_some() {
            end += 1;
        }
        lines.push(Value::from(&text[start..if keep_ends { end } else { index }]));
        start = end;
    }
    if start < text.len() {
        lines.push(Value::from(&text[start..]));
    }
    lines
}

pub(super) fn partition(text: &str, separator: &str, from_right: bool) -> Result<Value, Error> {
    if separator.is_empty() {
        return Err(invalid("empty separator"));
    }
    let found = if from_right {
        text.rfind(separator)
    } else {
        text.find(separator)
    };
    let parts = match (found, from_right) {
        (Some(index), _) => [&text[..index], separator, &text[index + separator.len()..]],
        (None, false) => [text, "", ""],
        (None, true) => ["", "", text],
    };
    Ok(Tuple::from(parts.map(Value::from).to_vec()).into())
}

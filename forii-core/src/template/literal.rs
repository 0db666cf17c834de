//! Tells special tokens that a template writes from look-alikes in the caller's text.
//!
//! Look-alikes in input strings are set between two marks (characters that occur in no input) before
//! rendering; afterwards the marks are taken out again and what they enclosed is reported. Strings
//! without look-alikes stay as they are, so an ordinary prompt renders as if nothing looked at it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use aho_corasick::AhoCorasick;
use minijinja::State;

use super::Prompt;

/// The variable under which a render's marks can be looked up.
pub(super) const VARIABLE: &str = "__marks";

/// The two characters around a piece of the caller's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    open: char,
    close: char,
}

impl Marks {
    /// The first of Unicode's non-characters that `used` leaves free; `None` where it leaves none.
    /// Bit `i` of `used` stands for U+FDD0 + i.
    pub(super) fn unlike(used: u32) -> Option<Self> {
        let mut free = NON_CHARACTERS
            .enumerate()
            .filter(|(bit, _)| used & (1 << bit) == 0)
            .map(|(_, char)| char);
        Some(Self {
            open: free.next()?,
            close: free.next()?,
        })
    }

    /// The marks of a render under way, if it has any.
    pub(super) fn of(state: &State<'_, '_>) -> Option<Self> {
        let marks = state.lookup(VARIABLE)?;
        let mut chars = marks.as_str()?.chars();
        Some(Self {
            open: chars.next()?,
            close: chars.next()?,
        })
    }

    /// How `token` stands in the caller's text.
    pub(super) fn around(self, token: &str) -> String {
        format!("{}{token}{}", self.open, self.close)
    }

    /// For [`VARIABLE`].
    pub(super) fn to_text(self) -> String {
        String::from_iter([self.open, self.close])
    }

    pub(super) fn contain(self, char: char) -> bool {
        char == self.open || char == self.close
    }
}

/// `text` without the marks of the render under way.
pub(super) fn unmarked<'a>(state: &State<'_, '_>, text: &'a str) -> Cow<'a, str> {
    if non_characters(text) == 0 {
        return Cow::Borrowed(text);
    }
    match Marks::of(state) {
        Some(marks) => Cow::Owned(text.replace([marks.open, marks.close], "")),
        None => Cow::Borrowed(text),
    }
}

const NON_CHARACTERS: std::ops::RangeInclusive<char> = '\u{fdd0}'..='\u{fdef}';

/// Which non-characters `text` holds, as [`Marks::unlike`] takes them.
pub(super) fn non_characters(text: &str) -> u32 {
    // All of them begin with these two bytes in UTF-8; most texts do not have them.
    let bytes = text.as_bytes();
    if !bytes.contains(&0xef) || !bytes.windows(2).any(|pair| pair == [0xef, 0xb7]) {
        return 0;
    }
    let bits = text
        .chars()
        .filter(|char| NON_CHARACTERS.contains(char))
        .map(|char| 1 << (char as u32 - 0xfdd0));
    bits.fold(0, |all, bit| all | bit)
}

/// The special tokens of a model, ready to be looked for.
#[derive(Debug)]
pub(super) struct SpecialTokens {
    /// `None` where there is none.
    matcher: Option<AhoCorasick>,
    /// Sorted.
    tokens: Vec<String>,
    /// The same spelled backwards, sorted.
    backwards: Vec<String>,
    /// The characters that they begin and end with.
    firsts: Vec<char>,
    lasts: Vec<char>,
    /// Characters of the longest.
    longest: usize,
}

impl SpecialTokens {
    pub(super) fn new(tokens: &[String]) -> Result<Self, String> {
        let mut tokens: Vec<String> = tokens.iter().filter(|token| !token.is_empty()).cloned().collect();
        tokens.sort_unstable();
        tokens.dedup();
        let mut backwards: Vec<String> = tokens.iter().map(|token| token.chars().rev().collect()).collect();
        backwards.sort_unstable();
        let matcher = if tokens.is_empty() {
            None
        } else {
            Some(AhoCorasick::new(&tokens))
        };
        let matcher = matcher.transpose().map_err(|error| error.to_string())?;
        let longest = tokens
            .iter()
            .map(|token| token.chars().count())
            .max()
            .unwrap_or(0);
        let distinct = |tokens: &[String]| {
            let chars: BTreeSet<char> = tokens.iter().filter_map(|token| token.chars().next()).collect();
            chars.into_iter().collect()
        };
        let (firsts, lasts) = (distinct(&tokens), distinct(&backwards));
        Ok(Self {
            matcher,
            tokens,
            backwards,
            firsts,
            lasts,
            longest,
        })
    }

    /// The pieces of `text` that are special tokens, or could become ones together with text beside
    /// it (of two strings that a template writes one after the other): ascending and disjoint.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let Some(matcher) = &self.matcher else {
            return Vec::new();
        };
        let mut found: Vec<Range<usize>> = match matcher.is_match(text) {
            true => matcher
                .find_overlapping_iter(text)
                .map(|found| found.range())
                .collect(),
            false => Vec::new(),
        };
        found.extend(self.head(text).map(|end| 0..end));
        found.extend(self.tail(text).map(|start| start..text.len()));
        merge(found, false)
    }

    /// Where the longest start of `text` ends that a token could end with.
    fn head(&self, text: &str) -> Option<usize> {
        let chars = text.char_indices().take(self.longest);
        let ends = chars
            .filter(|(_, char)| self.lasts.contains(char))
            .map(|(index, char)| index + char.len_utf8());
        ends.filter(|&end| {
            let piece: String = text[..end].chars().rev().collect();
            is_telling(&piece) && begins_one(&self.backwards, &piece)
        })
        .last()
    }

    /// Where the longest end of `text` starts that a token could start with.
    fn tail(&self, text: &str) -> Option<usize> {
        let chars = text.char_indices().rev().take(self.longest);
        let starts = chars
            .filter(|(_, char)| self.firsts.contains(char))
            .map(|(index, _)| index);
        starts
            .filter(|&start| is_telling(&text[start..]) && begins_one(&self.tokens, &text[start..]))
            .last()
    }

    /// Sets the look-alikes in `text` between marks; `None` where there are none.
    pub(super) fn mark(&self, text: &str, marks: Marks) -> Option<String> {
        let found = self.find(text);
        if found.is_empty() {
            return None;
        }
        let mut marked = String::with_capacity(text.len() + 6 * found.len());
        let mut at = 0;
        for range in found {
            marked.push_str(&text[at..range.start]);
            marked.push(marks.open);
            marked.push_str(&text[range.clone()]);
            marked.push(marks.close);
            at = range.end;
        }
        marked.push_str(&text[at..]);
        Some(marked)
    }

    /// Takes the marks out of a rendered text. What a special token shares a byte with a marked piece is
    /// literal. A template that cuts or splits strings may lose one of two marks: the character
    /// beside the other then counts as marked.
    pub(super) fn unmark(&self, rendered: &str, marks: Marks) -> Prompt {
        let mut text = String::with_capacity(rendered.len());
        let mut pieces: Vec<Range<usize>> = Vec::new();
        let mut open = None;
        for char in rendered.chars() {
            if char == marks.open {
                pieces.extend(open.map(|start| start..start + 1));
                open = Some(text.len());
            } else if char == marks.close {
                pieces.push(open.take().unwrap_or(text.len().saturating_sub(1))..text.len());
            } else {
                text.push(char);
            }
        }
        pieces.extend(open.map(|start| start..start + 1));
        let touches = |found: &Range<usize>| {
            let next = pieces.partition_point(|piece| piece.end <= found.start);
            pieces.get(next).is_some_and(|piece| piece.start < found.end)
        };
        let matcher = self.matcher.iter();
        let found = matcher
            .flat_map(|matcher| matcher.find_overlapping_iter(&text))
            .map(|found| found.range());
        let literal = merge(found.filter(touches).collect(), true);
        Prompt { text, literal }
    }
}

/// Letters alone are everywhere, and the names that templates compare are made of them.
fn is_telling(piece: &str) -> bool {
    !piece.chars().all(char::is_alphanumeric)
}

/// Whether a longer one of the sorted `tokens` begins with `piece`.
fn begins_one(tokens: &[String], piece: &str) -> bool {
    let next = tokens.partition_point(|token| token.as_str() <= piece);
    tokens.get(next).is_some_and(|token| token.starts_with(piece))
}

/// Sorts ranges and joins those that overlap, and if asked those that touch.
fn merge(mut ranges: Vec<Range<usize>>, touching: bool) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start < last.end + usize::from(touching) => {
                last.end = last.end.max(range.end)
            }
            _ => merged.push(range),
        }
    }
    merged
}

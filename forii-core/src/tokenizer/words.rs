//! Cutting text into words, the step before merging. Regexes run here and not in the crate, whose
//! way to run them panics where a text makes one backtrace without end.

use onig::{MatchParam, Regex, Region, SearchOptions};
use tokenizers::pattern::{Invert, Pattern};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{Offsets, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior};

/// One step of a pre-tokenizer.
#[derive(Debug)]
pub(super) enum Step {
    /// Cuts at the matches of a regex.
    Regex(RegexSplit),
    /// One of the crate's; none of those that are let in backtraces.
    Crate(PreTokenizerWrapper),
}

/// The crate's `Split` over a regex.
#[derive(Debug)]
pub(super) struct RegexSplit {
    regex: Regex,
    behavior: SplitDelimiterBehavior,
    invert: bool,
}

impl Step {
    pub(super) fn regex(
        pattern: &str,
        behavior: SplitDelimiterBehavior,
        invert: bool,
    ) -> Result<Self, String> {
        let regex = Regex::new(pattern)
            .map_err(|error| format!("the pre-tokenizer's pattern does not compile: {error}"))?;
        Ok(Self::Regex(RegexSplit {
            regex,
            behavior,
            invert,
        }))
    }

    pub(super) fn apply(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        match self {
            Self::Crate(step) => step.pre_tokenize(text),
            Self::Regex(split) if split.invert => {
                text.split(|_, piece| piece.split(Invert(split), split.behavior))
            }
            Self::Regex(split) => text.split(|_, piece| piece.split(split, split.behavior)),
        }
    }
}

impl Pattern for &RegexSplit {
    /// Every part of `inside`, and whether it is a match. Where the regex gives up (after ten million
    /// steps back), what is left is one part.
    fn find_matches(&self, inside: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        if inside.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let mut parts = Vec::new();
        let mut region = Region::new();
        let (mut done, mut from, mut last_match) = (0, 0, None);
        while from <= inside.len() {
            region.clear();
            let options = SearchOptions::SEARCH_OPTION_NONE;
            let limits = MatchParam::default();
            let to = inside.len();
            match self
                .regex
                .search_with_param(inside, from, to, options, Some(&mut region), limits)
            {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "the pre-tokenizer's pattern gave up on a text");
                    break;
                }
            }
            let Some((start, end)) = region.pos(0) else { break };
            if start == end && last_match == Some(end) {
                // An empty match right after a match is none.
                from += inside[from..].chars().next().map_or(1, char::len_utf8);
                continue;
            }
            (from, last_match) = (end, Some(end));
            if done != start {
                parts.push(((done, start), false));
            }
            parts.push(((start, end), true));
            done = end;
        }
        if done != inside.len() {
            parts.push(((done, inside.len()), false));
        }
        Ok(parts)
    }
}

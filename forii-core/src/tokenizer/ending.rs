//! Which tokens end an answer. Files name one or two; models use more, known by their spelling.
//! The list is llama.cpp's end-of-generation rule, so that both stop at the same place.

use forii_sampling::TokenId;

/// Control tokens that end an answer or a turn wherever they occur.
const ENDINGS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    // What follows a finished file in code models.
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

/// The ids that end an answer, ascending: `named` by the file, and every special token of the list.
/// `special_id` looks a special token up.
pub(super) fn eos_token_ids(
    named: impl IntoIterator<Item = TokenId>,
    special_id: impl Fn(&str) -> Option<TokenId>,
) -> Vec<TokenId> {
    let has = |token: &str| special_id(token).is_some();
    // In these two formats <|end|> ends a part of an answer, not the answer.
    let inner_end =
        (has("<|return|>") && has("<|call|>")) || ((has("<|call|>") || has("<|calls|>")) && has("<|flush|>"));
    let mut ids: Vec<TokenId> = ENDINGS
        .iter()
        .filter(|token| !(inner_end && **token == "<|end|>"))
        .filter_map(|token| special_id(token))
        .chain(named)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

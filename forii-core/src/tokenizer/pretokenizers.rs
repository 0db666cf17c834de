//! How text is cut into words before merging, by the name that GGUF files give it. The patterns are
//! those of the tokenizer.json files of the models' makers (facts that the merges were learned with).

use tokenizers::SplitDelimiterBehavior;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;

use super::words::Step;

/// A byte-level vocabulary's way to cut text.
pub(super) struct WordSplit {
    /// The cutting, and the change to the byte alphabet.
    pub(super) steps: Vec<Step>,
    /// Whether a word that is in the vocabulary is one token even where no merges lead to it.
    pub(super) ignore_merges: bool,
    /// Whether texts begin with the beginning-of-sequence token where the file does not say.
    pub(super) add_bos: bool,
}

/// The names of `tokenizer.ggml.pre` that are known, for the error message.
const SUPPORTED: &str =
    "default, gpt-2, smollm, qwen2, deepseek-r1-qwen, llama-bpe, llama3, llama-v3, deepseek-llm, deepseek-v3";

const QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const LLAMA3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const DEEPSEEK_LLM: [&str; 5] = [
    r"[\r\n]",
    // Letters that have case, as of the Unicode version that DeepSeek listed.
    concat!(
        r"\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}",
        r"\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}",
        r"\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}",
        r"\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}",
        r"\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}",
        r"\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}",
        r"\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}",
        r"\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}",
        r"\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}",
        r"\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}",
        r"\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}",
        r"\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}",
        r"\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}",
        r"\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+"
    ),
    r"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+",
    // DeepSeek writes `\s+$`, which tries every space of a long run; this finds the same in one go.
    r"(?<!\s)\s++$",
    r"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+",
];
const DEEPSEEK_V3: [&str; 3] = [
    r"\p{N}{1,3}",
    r"[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+",
    concat!(
        r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##,
        r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
];

/// The cutting that `tokenizer.ggml.pre` names.
pub(super) fn by_name(pre: Option<&str>) -> Result<WordSplit, String> {
    let (steps, llama3) = match pre {
        // Files that do not say, or say "default", get GPT-2's pattern, as in transformers.
        None | Some("default" | "gpt-2") => (vec![gpt2()], false),
        Some("smollm") => (vec![digits(), gpt2()], false),
        Some("qwen2" | "deepseek-r1-qwen") => (vec![split(QWEN2)?, bytes()], false),
        Some("llama-bpe" | "llama3" | "llama-v3") => (vec![split(LLAMA3)?, bytes()], true),
        Some("deepseek-llm") => {
            let mut steps = DEEPSEEK_LLM
                .into_iter()
                .map(split)
                .collect::<Result<Vec<_>, _>>()?;
            steps.extend([digits(), bytes()]);
            (steps, false)
        }
        Some("deepseek-v3") => {
            let mut steps = DEEPSEEK_V3
                .into_iter()
                .map(split)
                .collect::<Result<Vec<_>, _>>()?;
            steps.push(bytes());
            (steps, false)
        }
        Some(other) => {
            return Err(format!(
                "the pre-tokenizer '{other}' (tokenizer.ggml.pre) is not supported; supported are {SUPPORTED}"
            ));
        }
    };
    Ok(WordSplit {
        steps,
        ignore_merges: llama3,
        add_bos: llama3,
    })
}

fn gpt2() -> Step {
    Step::Crate(ByteLevel::new(false, true, true).into())
}

/// The change to the byte alphabet alone.
fn bytes() -> Step {
    Step::Crate(ByteLevel::new(false, true, false).into())
}

/// Every digit a word.
fn digits() -> Step {
    Step::Crate(Digits::new(true).into())
}

fn split(pattern: &str) -> Result<Step, String> {
    Step::regex(pattern, SplitDelimiterBehavior::Isolated, false)
}

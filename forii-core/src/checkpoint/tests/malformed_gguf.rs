//! Broken GGUF files. Each must give an error that names the file and the thing in it.

use std::fs;
use std::path::Path;

use bytes::Bytes;

use super::writer::{Gguf, Tensor, Val, Written, text, texts, tiny};
use super::{assert_names, read_everything};
use crate::checkpoint::{GgufCheckpoint, open};
use crate::error::LoadError;

const NAME: &str = "broken-model.gguf";

/// Opens a file in memory and reads all that there is.
fn read(bytes: Vec<u8>) -> Result<(), LoadError> {
    let checkpoint = GgufCheckpoint::from_bytes(Path::new(NAME), Bytes::from(bytes))?;
    checkpoint.vocab()?;
    read_everything(&checkpoint)
}

type Case = (&'static str, fn(&mut Gguf), &'static [&'static str]);

/// Changes to a good llama file, and what the error must say.
const CASES: &[Case] = &[
    // Preamble.
    ("wrong magic", |f| f.magic = *b"GGML", &["magic", "GGML"]),
    ("zero magic", |f| f.magic = [0; 4], &["magic", "no GGUF file"]),
    ("swapped magic", |f| f.magic = *b"FUGG", &["big-endian"]),
    (
        "big-endian version",
        |f| f.version = 3_u32.swap_bytes(),
        &["big-endian"],
    ),
    ("version 0", |f| f.version = 0, &["version", "0"]),
    (
        "version 1",
        |f| f.version = 1,
        &["version", "1; versions 2 and 3"],
    ),
    ("version 4", |f| f.version = 4, &["version", "4"]),
    (
        "2^60 tensors",
        |f| f.num_tensors = Some(1 << 60),
        &["tensor count", "1152921504606846976"],
    ),
    (
        "2^60 keys",
        |f| f.num_entries = Some(1 << 60),
        &["metadata count", "1152921504606846976"],
    ),
    (
        "all bits in the tensor count",
        |f| f.num_tensors = Some(u64::MAX),
        &["tensor count"],
    ),
    (
        "all bits in the metadata count",
        |f| f.num_entries = Some(u64::MAX),
        &["metadata count"],
    ),
    (
        "one key too many",
        |f| f.num_entries = Some(f.entries.len() as u64 + 1),
        &["entry 1 of 20 in the tensor table"],
    ),
    (
        "one key too few",
        |f| f.num_entries = Some(f.entries.len() as u64 - 1),
        &["tokenizer.chat_template", "8 dimensions"],
    ),
    (
        "one tensor too many",
        |f| f.num_tensors = Some(f.tensors.len() as u64 + 1),
        &["tensor table"],
    ),
    // Metadata entries.
    ("empty key", |f| f.add("", Val::U8(0)), &["entry 20", "empty"]),
    (
        "bad UTF-8 in a key",
        |f| f.entries.push((b"a\xff".to_vec(), Val::U8(0))),
        &["entry 20", "UTF-8"],
    ),
    (
        "endless key",
        |f| f.add(&"k".repeat(70_000), Val::U8(0)),
        &["entry 20", "65,535"],
    ),
    (
        "duplicate key",
        |f| f.add("llama.block_count", Val::U32(2)),
        &["llama.block_count", "twice"],
    ),
    (
        "unknown value type",
        |f| f.add("x", Val::Raw(13, vec![0; 8])),
        &["'x'", "13"],
    ),
    (
        "value type 2^32 - 1",
        |f| f.add("x", Val::Raw(u32::MAX, vec![])),
        &["'x'", "4294967295"],
    ),
    (
        "bool of 2",
        |f| f.add("x", Val::Bool(2)),
        &["'x'", "2 is no bool"],
    ),
    (
        "bool of 7 in an array",
        |f| f.add("x", Val::Bools(vec![0, 1, 7])),
        &["'x'", "7 is no bool"],
    ),
    (
        "string of 2^60",
        |f| f.add("x", Val::Raw(8, (1_u64 << 60).to_le_bytes().to_vec())),
        &["'x'", "115292150"],
    ),
    (
        "string of 2^64 - 1",
        |f| f.add("x", Val::Raw(8, vec![0xff; 8])),
        &["'x'", "18446744073709551615"],
    ),
    (
        "array of 2^60 numbers",
        |f| f.add("x", raw_array(4, 1 << 60)),
        &["'x'", "1152921504606846976"],
    ),
    (
        "array of 2^60 strings",
        |f| f.add("x", raw_array(8, 1 << 60)),
        &["'x'", "1152921504606846976"],
    ),
    (
        "array of 2^60 bools",
        |f| f.add("x", raw_array(7, 1 << 60)),
        &["'x'", "1152921504606846976"],
    ),
    (
        "array of 2^62 doubles",
        |f| f.add("x", raw_array(12, 1 << 62)),
        &["'x'", "cannot fit"],
    ),
    (
        "nested array",
        |f| f.add("x", raw_array(9, 1)),
        &["'x'", "array of arrays"],
    ),
    (
        "array of unknown type",
        |f| f.add("x", raw_array(77, 1)),
        &["'x'", "77"],
    ),
    // Alignment.
    (
        "alignment 0",
        |f| f.add("general.alignment", Val::U32(0)),
        &["general.alignment"],
    ),
    (
        "alignment 3",
        |f| f.add("general.alignment", Val::U32(3)),
        &["general.alignment", "power of two"],
    ),
    (
        "alignment 2^31",
        |f| f.add("general.alignment", Val::U32(1 << 31)),
        &["general.alignment"],
    ),
    (
        "alignment -8",
        |f| f.add("general.alignment", Val::I32(-8)),
        &["general.alignment"],
    ),
    (
        "alignment as text",
        |f| f.add("general.alignment", text("32")),
        &["general.alignment"],
    ),
    (
        "alignment that moves the weights",
        |f| f.add("general.alignment", Val::U32(4096)),
        &["not aligned"],
    ),
    // Tensor table.
    (
        "empty tensor name",
        |f| f.tensors[0].name.clear(),
        &["entry 1 of 20", "empty"],
    ),
    (
        "bad UTF-8 in a tensor name",
        |f| f.tensors[2].name = b"\xc3\x28".to_vec(),
        &["entry 3", "UTF-8"],
    ),
    (
        "duplicate tensor",
        |f| f.tensors[1].name = b"token_embd.weight".to_vec(),
        &["token_embd.weight", "twice"],
    ),
    (
        "no dimensions",
        |f| f.tensors[0].dims.clear(),
        &["token_embd.weight", "0 dimensions"],
    ),
    (
        "5 dimensions",
        |f| f.tensors[0].dims = vec![1; 5],
        &["token_embd.weight", "5 dimensions"],
    ),
    (
        "zero dimension",
        |f| f.tensors[0].dims = vec![8, 0],
        &["token_embd.weight", "zero"],
    ),
    (
        "dimension of 2^60",
        |f| f.tensors[0].dims = vec![1 << 60],
        &["token_embd.weight", "multiply"],
    ),
    (
        "dimensions that overflow",
        |f| f.tensors[0].dims = vec![1 << 32, 1 << 32],
        &["token_embd.weight", "multiply"],
    ),
    (
        "dimensions that overflow to 0",
        |f| f.tensors[0].dims = vec![1 << 16; 4],
        &["token_embd.weight", "multiply"],
    ),
    (
        "dimension of 2^64 - 1",
        |f| f.tensors[0].dims = vec![u64::MAX],
        &["token_embd.weight", "multiply"],
    ),
    (
        "unsupported type",
        |f| f.tensors[0].ty = 16,
        &["token_embd.weight", "IQ2_XXS", "Q4_K"],
    ),
    (
        "removed type",
        |f| f.tensors[0].ty = 4,
        &["token_embd.weight", "ggml type 4;"],
    ),
    (
        "unknown type",
        |f| f.tensors[0].ty = 9999,
        &["token_embd.weight", "9999"],
    ),
    (
        "half a block",
        |f| f.tensors[0].ty = 8,
        &["token_embd.weight", "rows of 8", "Q8_0"],
    ),
    (
        "offset beyond the file",
        |f| f.tensors[0].offset = Some(1 << 40),
        &["token_embd.weight", "file ends"],
    ),
    (
        "offset of 2^64 - 32",
        |f| f.tensors[0].offset = Some(u64::MAX - 31),
        &["token_embd.weight"],
    ),
    (
        "offset between alignments",
        |f| f.tensors[0].offset = Some(4),
        &["token_embd.weight", "aligned to 32"],
    ),
    (
        "overlapping tensors",
        |f| f.tensors[1].offset = Some(0),
        &["output_norm.weight", "overlaps"],
    ),
    (
        "overlap by one block",
        |f| f.tensors[1].offset = Some(160),
        &["output_norm.weight", "token_embd"],
    ),
    (
        "tensor beyond the last layer",
        |f| f.f32("blk.2.attn_q.weight", &[8, 8]),
        &["blk.2.attn_q.weight", "2 layers"],
    ),
    (
        "bias that nobody reads",
        |f| f.f32("blk.0.ffn_up.bias", &[12]),
        &["blk.0.ffn_up.bias", "no place"],
    ),
    // Configuration.
    (
        "no architecture",
        |f| f.remove("general.architecture"),
        &["general.architecture", "missing"],
    ),
    (
        "foreign architecture",
        |f| f.set("general.architecture", text("mamba")),
        &["mamba", "qwen3"],
    ),
    (
        "architecture as number",
        |f| f.set("general.architecture", Val::U32(1)),
        &["general.architecture"],
    ),
    (
        "bad UTF-8 in a value",
        |f| f.set("general.architecture", Val::Str(vec![0xff])),
        &["general.architecture"],
    ),
    (
        "no layers key",
        |f| f.remove("llama.block_count"),
        &["llama.block_count", "missing"],
    ),
    (
        "no width",
        |f| f.remove("llama.embedding_length"),
        &["llama.embedding_length", "missing"],
    ),
    (
        "no feed-forward width",
        |f| f.remove("llama.feed_forward_length"),
        &["llama.feed_forward_length"],
    ),
    (
        "no heads",
        |f| f.remove("llama.attention.head_count"),
        &["llama.attention.head_count"],
    ),
    (
        "no context",
        |f| f.remove("llama.context_length"),
        &["llama.context_length"],
    ),
    (
        "no epsilon",
        |f| f.remove("llama.attention.layer_norm_rms_epsilon"),
        &["llama.attention.layer_norm_rms_epsilon"],
    ),
    (
        "zero layers",
        |f| f.set("llama.block_count", Val::U32(0)),
        &["llama.block_count", "0"],
    ),
    (
        "2^60 layers",
        |f| f.set("llama.block_count", Val::U64(1 << 60)),
        &["llama.block_count", "1152921504606846976"],
    ),
    (
        "layers as text",
        |f| f.set("llama.block_count", text("2")),
        &["llama.block_count", "a string"],
    ),
    (
        "layers negative",
        |f| f.set("llama.block_count", Val::I32(-2)),
        &["llama.block_count"],
    ),
    (
        "zero heads",
        |f| f.set("llama.attention.head_count", Val::U32(0)),
        &["llama.attention.head_count"],
    ),
    (
        "heads that do not divide",
        |f| f.set("llama.attention.head_count_kv", Val::U32(3)),
        &["llama.attention.head_count_kv"],
    ),
    (
        "zero key heads",
        |f| f.set("llama.attention.head_count_kv", Val::U32(0)),
        &["llama.attention.head_count_kv"],
    ),
    (
        "odd heads",
        |f| f.set("llama.attention.key_length", Val::U32(3)),
        &["llama.attention.key_length", "odd"],
    ),
    (
        "heads of 2^60",
        |f| f.set("llama.attention.key_length", Val::U64(1 << 60)),
        &["llama.attention.key_length"],
    ),
    (
        "value heads of their own",
        |f| f.set("llama.attention.value_length", Val::U32(6)),
        &["llama.attention.value_length"],
    ),
    (
        "partial rotation",
        |f| f.set("llama.rope.dimension_count", Val::U32(2)),
        &["llama.rope.dimension_count"],
    ),
    (
        "zero width",
        |f| f.set("llama.embedding_length", Val::U32(0)),
        &["llama.embedding_length"],
    ),
    (
        "zero context",
        |f| f.set("llama.context_length", Val::U32(0)),
        &["llama.context_length"],
    ),
    (
        "epsilon not a number",
        |f| f.set("llama.attention.layer_norm_rms_epsilon", Val::F32(f32::NAN)),
        &["epsilon", "NaN"],
    ),
    (
        "base of zero",
        |f| f.set("llama.rope.freq_base", Val::F32(0.0)),
        &["llama.rope.freq_base"],
    ),
    (
        "infinite base",
        |f| f.set("llama.rope.freq_base", Val::F32(f32::INFINITY)),
        &["llama.rope.freq_base", "inf"],
    ),
    (
        "unknown scaling",
        |f| f.add("llama.rope.scaling.type", text("ntk")),
        &["llama.rope.scaling.type", "ntk"],
    ),
    (
        "yarn without factor",
        |f| f.add("llama.rope.scaling.type", text("yarn")),
        &["llama.rope.scaling.factor", "missing"],
    ),
    (
        "negative factor",
        |f| f.add("llama.rope.scaling.factor", Val::F32(-2.0)),
        &["llama.rope.scaling", "-2"],
    ),
    (
        "longrope without factors",
        |f| f.add("llama.rope.scaling.type", text("longrope")),
        &["rope_factors_short.weight"],
    ),
    (
        "too many frequencies",
        |f| f.f32("rope_freqs.weight", &[3]),
        &["rope_freqs.weight", "[3]", "[2]"],
    ),
    (
        "frequencies in F16",
        |f| half_freqs(f),
        &["rope_freqs.weight", "F16"],
    ),
    (
        "experts",
        |f| f.add("llama.expert_count", Val::U32(8)),
        &["llama.expert_count", "8"],
    ),
    (
        "window pattern of a wrong length",
        |f| window(f),
        &["llama.attention.sliding_window_pattern", "3 entries"],
    ),
    (
        "end token out of range",
        |f| f.set("tokenizer.ggml.eos_token_id", Val::U32(6)),
        &["tokenizer.ggml.eos_token_id", "6"],
    ),
    (
        "start token out of range",
        |f| f.set("tokenizer.ggml.bos_token_id", Val::U32(u32::MAX)),
        &["tokenizer.ggml.bos_token_id"],
    ),
    (
        "start token as text",
        |f| f.set("tokenizer.ggml.bos_token_id", text("<s>")),
        &["tokenizer.ggml.bos_token_id"],
    ),
    // Tokenizer.
    (
        "no tokenizer model",
        |f| f.remove("tokenizer.ggml.model"),
        &["tokenizer.ggml.model", "missing"],
    ),
    (
        "no tokens",
        |f| f.remove("tokenizer.ggml.tokens"),
        &["llama.vocab_size", "missing"],
    ),
    (
        "tokens as numbers",
        |f| f.set("tokenizer.ggml.tokens", Val::I32s(vec![1])),
        &["tokenizer.ggml.tokens", "strings"],
    ),
    (
        "token types as text",
        |f| f.set("tokenizer.ggml.token_type", texts(&["a"])),
        &["tokenizer.ggml.token_type", "entry 0"],
    ),
    (
        "scores as bools",
        |f| f.set("tokenizer.ggml.scores", Val::Bools(vec![1])),
        &["tokenizer.ggml.scores", "entry 0"],
    ),
    (
        "bad UTF-8 in a merge",
        |f| f.set("tokenizer.ggml.merges", Val::Strs(vec![vec![0xff]])),
        &["tokenizer.ggml.merges", "entry 0"],
    ),
    (
        "template as number",
        |f| f.set("tokenizer.chat_template", Val::F64(1.0)),
        &["tokenizer.chat_template"],
    ),
    // Tensors against the configuration.
    (
        "missing tensor",
        |f| f.tensors.retain(|t| t.name != b"blk.1.ffn_up.weight"),
        &["model.layers.1.mlp.up_proj.weight", "missing"],
    ),
    (
        "missing embedding",
        |f| drop(f.tensors.remove(0)),
        &["model.embed_tokens.weight", "missing"],
    ),
    (
        "no tensors at all",
        |f| f.tensors.clear(),
        &["llama.block_count", "0 tensors"],
    ),
    (
        "wrong shape",
        |f| f.tensor("blk.0.ffn_up.weight").dims = vec![12, 8],
        &["mlp.up_proj.weight", "[8, 12]", "[12, 8]"],
    ),
    (
        "one dimension too many",
        |f| f.tensor("output_norm.weight").dims = vec![8, 1],
        &["model.norm.weight", "[1, 8]"],
    ),
    (
        "q that does not divide into heads",
        |f| f.tensor("blk.0.attn_q.weight").dims = vec![8, 6],
        &["q_proj.weight", "heads of 4"],
    ),
    ("quantized norm", quantized_norm, &["model.norm.weight", "Q8_0"]),
    // Splits.
    (
        "split in memory",
        |f| split(f, 0, 2),
        &["split.count", "-00001-of-00002"],
    ),
    ("a later part", |f| split(f, 1, 2), &["split.no", "file 2 of 2"]),
    (
        "a split without number",
        |f| f.add("split.count", Val::U16(2)),
        &["split.no", "missing"],
    ),
    (
        "2^60 splits",
        |f| split(f, 0, 1 << 60),
        &["split.count", "1152921504606846976"],
    ),
];

fn raw_array(element: u32, len: u64) -> Val {
    Val::Raw(9, [element.to_le_bytes().as_slice(), &len.to_le_bytes()].concat())
}

fn half_freqs(file: &mut Gguf) {
    let data = vec![0; 4];
    file.tensors.push(Tensor {
        name: b"rope_freqs.weight".to_vec(),
        dims: vec![2],
        ty: 1,
        data,
        offset: None,
    });
}

fn window(file: &mut Gguf) {
    file.add("llama.attention.sliding_window", Val::U32(4));
    file.add(
        "llama.attention.sliding_window_pattern",
        Val::Bools(vec![1, 0, 1]),
    );
}

/// The whole model is 32 wide, so that its norm can be one block.
fn quantized_norm(file: &mut Gguf) {
    file.set("llama.embedding_length", Val::U32(32));
    file.set("llama.attention.key_length", Val::U32(4));
    file.tensor("token_embd.weight").dims = vec![32, 6];
    file.tensor("token_embd.weight").data = vec![0; 32 * 6 * 4];
    let norm = file.tensor("output_norm.weight");
    (norm.dims, norm.ty, norm.data) = (vec![32], 8, vec![0; 34]);
}

fn split(file: &mut Gguf, number: u64, count: u64) {
    file.add("split.no", Val::U64(number));
    file.add("split.count", Val::U64(count));
}

#[test]
fn broken_files_name_what_is_wrong() {
    assert!(CASES.len() >= 100);
    read(tiny("llama").write().bytes).unwrap();
    for (case, change, expected) in CASES {
        let mut file = tiny("llama");
        change(&mut file);
        match read(file.write().bytes) {
            Ok(()) => panic!("{case}: no error"),
            Err(error) => assert_names(case, &error, NAME, expected),
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let Written { bytes, table, data } = tiny("llama").write();
    for len in 0..bytes.len() {
        let text = read(bytes[..len].to_vec()).unwrap_err().to_string();
        let sections: &[&str] = match len {
            0..4 => &["magic"],
            4..8 => &["version"],
            8..16 => &["tensor count"],
            16..24 => &["metadata count"],
            // A cut early in a section shows as a count that cannot be.
            _ if len < table => &["metadata", "the key '"],
            _ => &["tensor table", "tensor count", "tensor '"],
        };
        let named = sections.iter().any(|section| text.contains(section));
        assert!(
            named && text.contains(NAME),
            "cut at {len} (weights at {data}): {text}"
        );
    }
}

#[test]
fn no_byte_can_make_the_reader_panic() {
    let bytes = tiny("llama").write();
    for at in 0..bytes.data {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut broken = bytes.bytes.clone();
            broken[at] = value;
            if let Err(error) = read(broken) {
                assert!(error.to_string().contains(NAME), "byte {at} = {value}: {error}");
            }
        }
    }
}

/// Writes the parts of a split set after `change` has spoilt them, and reads it.
fn read_split(change: fn(&mut [(String, Option<Gguf>)])) -> Result<(), LoadError> {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = tiny("llama");
    let mut rest = Gguf::new();
    rest.tensors = whole.tensors.split_off(5);
    split(&mut whole, 0, 2);
    whole.add("split.tensors.count", Val::I32(20));
    split(&mut rest, 1, 2);
    let mut parts = vec![
        ("broken-model.gguf-00001-of-00002.gguf".to_string(), Some(whole)),
        ("broken-model.gguf-00002-of-00002.gguf".to_string(), Some(rest)),
    ];
    change(&mut parts);
    for (name, file) in &parts {
        if let Some(file) = file {
            fs::write(folder.path().join(name), file.write().bytes).unwrap();
        }
    }
    read_everything(open(&folder.path().join(&parts[0].0))?.as_ref())
}

#[test]
fn broken_split_sets_name_what_is_wrong() {
    type SplitCase = (
        &'static str,
        fn(&mut [(String, Option<Gguf>)]),
        &'static [&'static str],
    );
    let cases: &[SplitCase] = &[
        (
            "a part is missing",
            |p| p[1].1 = None,
            &["00002-of-00002", "cannot read"],
        ),
        (
            "the first part's name",
            |p| p[0].0 = "broken-model.gguf".into(),
            &["split.count", "-00001-of-00002"],
        ),
        (
            "a name with another count",
            |p| p[0].0 = "broken-model.gguf-00001-of-00003.gguf".into(),
            &["split.count"],
        ),
        (
            "a part of another set",
            |p| set(p, 1, "split.count", 3),
            &["00002-of-00002", "split.no"],
        ),
        (
            "a part out of order",
            |p| set(p, 1, "split.no", 0),
            &["00002-of-00002", "split.no"],
        ),
        (
            "a wrong sum",
            |p| set(p, 0, "split.tensors.count", 21),
            &["split.tensors.count", "21", "20"],
        ),
        (
            "a tensor in both parts",
            twice,
            &["token_embd.weight", "00001-of-00002"],
        ),
        (
            "a broken second part",
            |p| p[1].1.as_mut().unwrap().magic = [0; 4],
            &["00002-of-00002", "magic"],
        ),
        (
            "a tensor in no part",
            |p| p[1].1.as_mut().unwrap().tensors.truncate(14),
            &["split.tensors.count", "19"],
        ),
    ];
    read_split(|_| ()).unwrap();
    let mut memory = tiny("llama");
    split(&mut memory, 0, 2);
    let path = Path::new("broken-model.gguf-00001-of-00002.gguf");
    let error = GgufCheckpoint::from_bytes(path, Bytes::from(memory.write().bytes)).unwrap_err();
    assert_names("a set in memory", &error, NAME, &["split file in memory"]);
    for (case, change, expected) in cases {
        assert_names(case, &read_split(*change).expect_err(case), NAME, expected);
    }
}

fn set(parts: &mut [(String, Option<Gguf>)], part: usize, key: &str, value: u64) {
    parts[part].1.as_mut().unwrap().set(key, Val::U64(value));
}

fn twice(parts: &mut [(String, Option<Gguf>)]) {
    set(parts, 0, "split.tensors.count", 21);
    parts[1].1.as_mut().unwrap().f32("token_embd.weight", &[6, 8]);
}

#[test]
fn paths_that_lead_nowhere_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let error = |at: &Path| open(at).unwrap_err();
    assert_names(
        "nothing",
        &error(&path.join("absent.gguf")),
        "absent.gguf",
        &["no such file"],
    );
    assert_names(
        "empty folder",
        &error(path),
        &path.display().to_string(),
        &["neither config.json nor"],
    );
    fs::write(path.join("a.gguf"), tiny("llama").write().bytes).unwrap();
    assert_eq!(open(path).unwrap().config().architecture, "llama");
    fs::write(path.join("b.gguf"), b"").unwrap();
    assert_names(
        "two models",
        &error(path),
        &path.display().to_string(),
        &["a.gguf, b.gguf"],
    );
    assert_names("empty file", &error(&path.join("b.gguf")), "b.gguf", &["magic"]);
    fs::write(path.join("model.safetensors"), b"").unwrap();
    assert_names(
        "a loose file",
        &error(&path.join("model.safetensors")),
        "model.safetensors",
        &["folder"],
    );
}

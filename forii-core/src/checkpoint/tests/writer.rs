//! A small GGUF writer that can also write what no honest program would.

/// A metadata value.
#[derive(Debug, Clone)]
pub(super) enum Val {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(u8),
    Str(Vec<u8>),
    Strs(Vec<Vec<u8>>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
    Bools(Vec<u8>),
    U64(u64),
    I64(i64),
    F64(f64),
    /// A type number and the bytes after it.
    Raw(u32, Vec<u8>),
}

pub(super) fn text(value: &str) -> Val {
    Val::Str(value.as_bytes().to_vec())
}

pub(super) fn texts(values: &[&str]) -> Val {
    Val::Strs(values.iter().map(|value| value.as_bytes().to_vec()).collect())
}

/// A tensor whose table row may lie.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) name: Vec<u8>,
    /// Innermost first, as ggml counts.
    pub(super) dims: Vec<u64>,
    pub(super) ty: u32,
    pub(super) data: Vec<u8>,
    /// Written in place of the true offset.
    pub(super) offset: Option<u64>,
}

/// What a file will hold.
#[derive(Debug, Clone)]
pub(super) struct Gguf {
    pub(super) magic: [u8; 4],
    pub(super) version: u32,
    pub(super) num_tensors: Option<u64>,
    pub(super) num_entries: Option<u64>,
    pub(super) alignment: usize,
    pub(super) entries: Vec<(Vec<u8>, Val)>,
    pub(super) tensors: Vec<Tensor>,
}

/// A file and where its sections begin.
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    pub(super) table: usize,
    pub(super) data: usize,
}

impl Gguf {
    pub(super) fn new() -> Self {
        Self {
            magic: *b"GGUF",
            version: 3,
            num_tensors: None,
            num_entries: None,
            alignment: 32,
            entries: Vec::new(),
            tensors: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, key: &str, value: Val) {
        self.entries.push((key.as_bytes().to_vec(), value));
    }

    /// Replaces a value, or adds it.
    pub(super) fn set(&mut self, key: &str, value: Val) {
        self.remove(key);
        self.add(key, value);
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.entries.retain(|entry| entry.0 != key.as_bytes());
    }

    /// An F32 tensor with distinct numbers; `shape` is rows first.
    pub(super) fn f32(&mut self, name: &str, shape: &[usize]) {
        let count: usize = shape.iter().product();
        let seed = self.tensors.len() as f32;
        let data = (0..count)
            .flat_map(|i| (seed + i as f32 / 1024.0).to_le_bytes())
            .collect();
        let dims = shape.iter().rev().map(|dim| *dim as u64).collect();
        self.tensors.push(Tensor {
            name: name.as_bytes().to_vec(),
            dims,
            ty: 0,
            data,
            offset: None,
        });
    }

    pub(super) fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors
            .iter_mut()
            .find(|tensor| tensor.name == name.as_bytes())
            .unwrap()
    }

    pub(super) fn write(&self) -> Written {
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(
            self.num_tensors
                .unwrap_or(self.tensors.len() as u64)
                .to_le_bytes(),
        );
        bytes.extend(
            self.num_entries
                .unwrap_or(self.entries.len() as u64)
                .to_le_bytes(),
        );
        for (key, value) in &self.entries {
            string(&mut bytes, key);
            self::value(&mut bytes, value);
        }
        let table = bytes.len();
        let mut offset = 0;
        for tensor in &self.tensors {
            string(&mut bytes, &tensor.name);
            bytes.extend((tensor.dims.len() as u32).to_le_bytes());
            bytes.extend(tensor.dims.iter().flat_map(|dim| dim.to_le_bytes()));
            bytes.extend(tensor.ty.to_le_bytes());
            bytes.extend(tensor.offset.unwrap_or(offset).to_le_bytes());
            offset = (offset + tensor.data.len() as u64).next_multiple_of(self.alignment as u64);
        }
        let data = bytes.len().next_multiple_of(self.alignment);
        for tensor in &self.tensors {
            bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
            bytes.extend(&tensor.data);
        }
        Written { bytes, table, data }
    }
}

fn string(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text);
}

fn value(bytes: &mut Vec<u8>, value: &Val) {
    let mut scalar = |ty: u32, value: &[u8]| {
        bytes.extend(ty.to_le_bytes());
        bytes.extend(value);
    };
    match value {
        Val::U8(v) => scalar(0, &v.to_le_bytes()),
        Val::I8(v) => scalar(1, &v.to_le_bytes()),
        Val::U16(v) => scalar(2, &v.to_le_bytes()),
        Val::I16(v) => scalar(3, &v.to_le_bytes()),
        Val::U32(v) => scalar(4, &v.to_le_bytes()),
        Val::I32(v) => scalar(5, &v.to_le_bytes()),
        Val::F32(v) => scalar(6, &v.to_le_bytes()),
        Val::Bool(v) => scalar(7, &[*v]),
        Val::U64(v) => scalar(10, &v.to_le_bytes()),
        Val::I64(v) => scalar(11, &v.to_le_bytes()),
        Val::F64(v) => scalar(12, &v.to_le_bytes()),
        Val::Raw(ty, raw) => scalar(*ty, raw),
        Val::Str(text) => {
            bytes.extend(8_u32.to_le_bytes());
            string(bytes, text);
        }
        Val::Strs(list) => {
            array(bytes, 8, list.len());
            list.iter().for_each(|text| string(bytes, text));
        }
        Val::I32s(list) => {
            array(bytes, 5, list.len());
            bytes.extend(list.iter().flat_map(|v| v.to_le_bytes()));
        }
        Val::F32s(list) => {
            array(bytes, 6, list.len());
            bytes.extend(list.iter().flat_map(|v| v.to_le_bytes()));
        }
        Val::Bools(list) => {
            array(bytes, 7, list.len());
            bytes.extend(list);
        }
    }
}

fn array(bytes: &mut Vec<u8>, element: u32, len: usize) {
    bytes.extend(9_u32.to_le_bytes());
    bytes.extend(element.to_le_bytes());
    bytes.extend((len as u64).to_le_bytes());
}

/// The tokens of the tiny models.
pub(super) const TOKENS: [&str; 6] = ["<unk>", "<s>", "</s>", "a", "b", "ab"];

/// A whole model with two layers: 6 tokens, width 8, 2 query heads and 1 key head of 4.
pub(super) fn tiny(arch: &str) -> Gguf {
    let mut file = Gguf::new();
    file.add("general.architecture", text(arch));
    for (key, value) in [
        ("block_count", 2),
        ("context_length", 64),
        ("embedding_length", 8),
        ("feed_forward_length", 12),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
    ] {
        file.add(&format!("{arch}.{key}"), Val::U32(value));
    }
    file.add(
        &format!("{arch}.attention.layer_norm_rms_epsilon"),
        Val::F32(1e-5),
    );
    file.add(&format!("{arch}.rope.freq_base"), Val::F32(50_000.0));
    file.add("tokenizer.ggml.model", text("gpt2"));
    file.add("tokenizer.ggml.pre", text("default"));
    file.add("tokenizer.ggml.tokens", texts(&TOKENS));
    file.add("tokenizer.ggml.token_type", Val::I32s(vec![2, 3, 3, 1, 1, 1]));
    file.add(
        "tokenizer.ggml.scores",
        Val::F32s(vec![0.0, -1.0, -2.0, -3.0, -4.0, -5.0]),
    );
    file.add("tokenizer.ggml.merges", texts(&["a b"]));
    file.add("tokenizer.ggml.bos_token_id", Val::U32(1));
    file.add("tokenizer.ggml.eos_token_id", Val::U32(2));
    file.add("tokenizer.ggml.add_bos_token", Val::Bool(1));
    file.add("tokenizer.chat_template", text("{{ messages[0].content }}"));
    file.f32("token_embd.weight", &[6, 8]);
    file.f32("output_norm.weight", &[8]);
    for layer in 0..2 {
        let blk = |name: &str| format!("blk.{layer}.{name}.weight");
        file.f32(&blk("attn_norm"), &[8]);
        file.f32(&blk("attn_q"), &[8, 8]);
        file.f32(&blk("attn_k"), &[4, 8]);
        file.f32(&blk("attn_v"), &[4, 8]);
        file.f32(&blk("attn_output"), &[8, 8]);
        file.f32(&blk("ffn_norm"), &[8]);
        file.f32(&blk("ffn_gate"), &[12, 8]);
        file.f32(&blk("ffn_up"), &[12, 8]);
        file.f32(&blk("ffn_down"), &[8, 12]);
        if matches!(arch, "qwen3" | "gemma3") {
            file.f32(&blk("attn_q_norm"), &[4]);
            file.f32(&blk("attn_k_norm"), &[4]);
        }
        if arch == "gemma3" {
            file.f32(&blk("post_attention_norm"), &[8]);
            file.f32(&blk("post_ffw_norm"), &[8]);
        }
        if arch == "qwen2" {
            for (name, len) in [("attn_q", 8), ("attn_k", 4), ("attn_v", 4)] {
                file.f32(&format!("blk.{layer}.{name}.bias"), &[len]);
            }
        }
    }
    file
}

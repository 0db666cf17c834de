"""Writes the GGUF files of this folder with the Python package gguf, and expected.json from what
the same package reads in them. The numbers are random: only names, shapes and bytes matter here."""

import hashlib
import json
import pathlib

import gguf
import numpy as np

HERE = pathlib.Path(__file__).parent
HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCAB = 256, 8, 4, 32, 32, 4
TYPES = [
    ("F16", "attn_q"), ("Q4_0", "attn_k"), ("Q4_1", "attn_v"), ("Q5_0", "attn_output"), ("Q5_1", "ffn_gate"),
    ("Q8_0", "ffn_up"), ("BF16", "ffn_down"),
    ("Q2_K", "attn_q"), ("Q3_K", "attn_k"), ("Q4_K", "attn_v"), ("Q5_K", "attn_output"), ("Q6_K", "ffn_gate"),
    ("IQ4_NL", "ffn_up"), ("F32", "ffn_down"),
]
ROWS = {"attn_k": KV_HEADS * HEAD_DIM, "attn_v": KV_HEADS * HEAD_DIM, "ffn_gate": FFN, "ffn_up": FFN}
HF_NAMES = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
}
rng = np.random.default_rng(7)


def permute(rows, num_heads):
    """As convert_hf_to_gguf.py does with llama's q and k."""
    split = rows.reshape(num_heads, 2, rows.shape[0] // num_heads // 2, *rows.shape[1:])
    return split.swapaxes(1, 2).reshape(rows.shape)


def random_blocks(rows, cols, kind):
    """Rows of raw blocks: the reader of these files never looks into one."""
    block_len, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    return rng.integers(0, 256, (rows, cols // block_len * block_bytes), dtype=np.uint8)


def write(path, **options):
    """Writes the model, returns what a reader must see under Hugging Face names."""
    writer = gguf.GGUFWriter(path, "llama", **options)
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(4.0)
    writer.add_rope_scaling_orig_ctx_len(32)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<unk>", "<s>", "</s>", "▁naïve"])
    writer.add_token_types([2, 3, 3, 1])
    writer.add_token_scores([0.0, -1.0, -2.0, -3.5])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)
    writer.add_chat_template("{{ bos_token }}")
    # One key of each type that the rest leaves out.
    writer.add_uint8("test.u8", 1)
    writer.add_int8("test.i8", -1)
    writer.add_uint16("test.u16", 2)
    writer.add_int16("test.i16", -2)
    writer.add_int32("test.i32", -3)
    writer.add_uint64("test.u64", 2**63)
    writer.add_int64("test.i64", -(2**62))
    writer.add_float64("test.f64", 0.5)
    writer.add_array("test.bools", [True, False])
    writer.add_array("test.floats", [0.25, 0.5])
    writer.add_array("test.empty_strings", ["", ""])
    if options.get("split_max_tensors", 0) == 0:
        writer.add_custom_alignment(64)
    expected = []

    def add(name, hf_name, blocks, shape, kind, heads=None):
        stored = permute(blocks, heads) if heads else blocks
        dtype = kind if stored.dtype == np.uint8 else None
        writer.add_tensor(name, np.ascontiguousarray(stored), raw_dtype=dtype)
        digest = hashlib.sha256(blocks.tobytes()).hexdigest()
        expected.append({"name": hf_name, "shape": shape, "format": kind.name, "sha256": digest})

    f32 = gguf.GGMLQuantizationType.F32
    numbers = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    add("token_embd.weight", "model.embed_tokens.weight", numbers(VOCAB, HIDDEN), [VOCAB, HIDDEN], f32)
    add("output_norm.weight", "model.norm.weight", numbers(HIDDEN), [HIDDEN], f32)
    for index, (kind, stem) in enumerate(TYPES):
        layer, kind = index // 7, gguf.GGMLQuantizationType[kind]
        rows, cols = ROWS.get(stem, HIDDEN), FFN if stem == "ffn_down" else HIDDEN
        heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(stem)
        hf_name = f"model.layers.{layer}.{HF_NAMES[stem]}.weight"
        add(f"blk.{layer}.{stem}.weight", hf_name, random_blocks(rows, cols, kind), [rows, cols], kind, heads)
    for layer in range(2):
        for stem in ("attn_norm", "ffn_norm"):
            hf_name = f"model.layers.{layer}.{HF_NAMES[stem]}.weight"
            add(f"blk.{layer}.{stem}.weight", hf_name, numbers(HIDDEN), [HIDDEN], f32)
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


def check(path, names):
    """The package itself must read back what it wrote."""
    found = [tensor.name for tensor in gguf.GGUFReader(path).tensors]
    assert found and set(found) <= names, path


for old in HERE.glob("*.gguf"):
    old.unlink()
single = write(HERE / "every-type.gguf")
rng = np.random.default_rng(7)
split = write(HERE / "split.gguf", split_max_tensors=8)
assert single == split
names = {tensor.name for tensor in gguf.GGUFReader(HERE / "every-type.gguf").tensors}
for path in HERE.glob("*.gguf"):
    check(path, names)
(HERE / "expected.json").write_text(json.dumps(single, indent=1) + "\n")

"""Writes small good GGUF files of each architecture into gguf/, for the fuzzer to spoil."""

import pathlib

import gguf
import numpy as np

HERE = pathlib.Path(__file__).parent / "gguf"
for arch in ("llama", "qwen2", "qwen3", "gemma3"):
    writer = gguf.GGUFWriter(HERE / f"{arch}.gguf", arch)
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(8)
    writer.add_feed_forward_length(8)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    if arch == "gemma3":
        writer.add_sliding_window(4)
        writer.add_key_length(4)
        writer.add_value_length(4)
    if arch == "qwen3":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(4.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", "b", "ab"])
    writer.add_token_types([1, 1, 1])
    writer.add_token_scores([0.0, 0.0, 0.0])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(2)
    writer.add_chat_template("{{ messages }}")
    shapes = {
        "token_embd.weight": (3, 8), "output_norm.weight": (8,), "blk.0.attn_norm.weight": (8,),
        "blk.0.attn_q.weight": (8, 8), "blk.0.attn_k.weight": (4, 8), "blk.0.attn_v.weight": (4, 8),
        "blk.0.attn_output.weight": (8, 8), "blk.0.ffn_norm.weight": (8,), "blk.0.ffn_gate.weight": (8, 8),
        "blk.0.ffn_up.weight": (8, 8), "blk.0.ffn_down.weight": (8, 8),
    }
    if arch == "llama":
        shapes["rope_freqs.weight"] = (2,)
        shapes["output.weight"] = (3, 8)
    if arch == "qwen2":
        shapes["blk.0.attn_q.bias"] = (8,)
    if arch in ("qwen3", "gemma3"):
        shapes["blk.0.attn_q_norm.weight"] = (4,)
    for name, shape in shapes.items():
        writer.add_tensor(name, np.zeros(shape, np.float16 if len(shape) == 2 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def dense(name, tokens, keys, tensors):
    """A file of the smallest things there can be, each of which a reader keeps a record of."""
    writer = gguf.GGUFWriter(HERE / f"dense-{name}.gguf", "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(2)
    writer.add_feed_forward_length(2)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([""] * max(tokens, 1))
    writer.add_token_types([1] * tokens or [1])
    writer.add_token_merges([""] * max(tokens, 1))
    for key in range(keys):
        writer.add_uint8(f"{key:x}", 0)
    writer.add_custom_alignment(1)
    for tensor in range(tensors):
        writer.add_tensor(f"blk.0.{tensor:x}", np.zeros(1, np.float32))
    writer.add_tensor("token_embd.weight", np.zeros((max(tokens, 1), 2), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


dense("tokens", 450, 0, 0)
dense("keys", 0, 900, 0)
dense("tensors", 0, 0, 250)

"""Builds the tiny random checkpoints beside this file and the logits that they must give.

    python make.py LLAMA_CPP_SOURCES [NAME...]

Needs torch, transformers and gguf, and llama.cpp's sources for their `conversion` package (what
convert_hf_to_gguf.py runs). transformers builds each model and saves it as a Hugging Face folder;
llama.cpp's converter makes the GGUF files from that folder; golden.safetensors holds

    tokens   I32 [60]           a random prompt of 40 tokens, then 20 drawn from the model's own answers
    f32      F32 [24, vocab]    logits after the tokens 37 to 60: the prompt in one forward pass,
    f16      F32 [24, vocab]    the others one by one through transformers' cache. f16 and q8_0
    q8_0     F32 [24, vocab]    are the same model with the weights that the GGUF file holds.
    f32_cpu, f16_cpu,           the same with the roundings of forii's CPU path: keys and values in half
    q8_0_cpu F32 [24, vocab]    precision (also llama.cpp's default), and before a linear layer of q8_0
                                blocks of 32 inputs as signed bytes with one scale (as ggml has it).
"""

import json
import math
import shutil
import sys
from pathlib import Path

# Before gguf is imported: the converter needs the package that it came with.
sys.path[:0] = [sys.argv[1], f"{sys.argv[1]}/gguf-py"]

import gguf
import numpy as np
import torch
from gguf.quants import dequantize
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, Cache, GenerationConfig, PreTrainedTokenizerFast

HERE = Path(__file__).parent
PROMPT, DECODED, SHOWN = 40, 20, 4
VOCAB = 96

SMALL = dict(
    vocab_size=VOCAB,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=256,
    bos_token_id=0,
    eos_token_id=1,
    tie_word_embeddings=False,
)


def rope(**parameters):
    """One layer of Llama with stretched rotary embeddings."""
    return dict(
        model_type="llama", num_hidden_layers=1,
        rope_parameters=dict(rope_theta=10000.0, **parameters),
    )


# name: (differences from SMALL, whether there are GGUF files too)
MODELS = {
    "llama": (dict(model_type="llama", rope_parameters=dict(rope_type="default", rope_theta=500000.0)), True),
    "llama-tied-bias": (
        dict(model_type="llama", num_hidden_layers=1, tie_word_embeddings=True, attention_bias=True),
        True,
    ),
    "llama-rope-linear": (rope(rope_type="linear", factor=4.0), True),
    "llama-rope-llama3": (
        rope(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
             original_max_position_embeddings=64),
        True,
    ),
    "llama-rope-yarn": (rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=64), True),
    # GGUF has no place for these.
    "llama-rope-yarn-mscale": (
        rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=64, beta_fast=16.0, beta_slow=2.0,
             mscale=1.0, mscale_all_dim=0.5, truncate=False),
        False,
    ),
    # The prompt is short, the sequence becomes long while it is decoded.
    "llama-rope-longrope": (
        rope(rope_type="longrope", original_max_position_embeddings=50,
             short_factor=[1.0, 1.1, 1.2, 1.3, 1.5, 1.8, 2.0, 2.5],
             long_factor=[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]),
        True,
    ),
    # Long from the first token.
    "llama-rope-longrope-long": (
        rope(rope_type="longrope", original_max_position_embeddings=24,
             short_factor=[1.0, 1.1, 1.2, 1.3, 1.5, 1.8, 2.0, 2.5],
             long_factor=[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]),
        True,
    ),
    # llama.cpp reads this as Llama and has no window for it.
    "mistral": (dict(model_type="mistral", sliding_window=16), False),
    "qwen2": (dict(model_type="qwen2", tie_word_embeddings=True), True),
    "qwen3": (dict(model_type="qwen3", tie_word_embeddings=True, rms_norm_eps=1e-2), True),
    # Six to a pattern, as llama.cpp has it: the sixth layer sees everything.
    "gemma3": (
        dict(model_type="gemma3_text", num_hidden_layers=7, intermediate_size=32, num_attention_heads=2,
             num_key_value_heads=1, sliding_window=16, query_pre_attn_scalar=16, tie_word_embeddings=True,
             rope_parameters=dict(
                 full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1000000.0),
                 sliding_attention=dict(rope_type="default", rope_theta=10000.0))),
        True,
    ),
    # GGUF cannot say the scalar, and fixes the order of the layers.
    "gemma3-softcap": (
        dict(model_type="gemma3_text", sliding_window=24, query_pre_attn_scalar=24, final_logit_softcapping=3.0,
             layer_types=["sliding_attention", "full_attention"], tie_word_embeddings=True,
             rope_parameters=dict(
                 full_attention=dict(rope_type="linear", factor=2.0, rope_theta=500000.0),
                 sliding_attention=dict(rope_type="default", rope_theta=20000.0))),
        False,
    ),
}

# Their config.json is rewritten to the keys that transformers 4 wrote and most models still have.
OLD_STYLE = ("llama-rope-llama3", "llama-rope-yarn-mscale", "gemma3-softcap")


def build(name, differences):
    """A model whose attention is sharp and whose logits are of order one, so that a slip shows."""
    values = {**SMALL, **differences}
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    config._attn_implementation = "eager"
    generator = torch.Generator().manual_seed(sum(name.encode()))
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if key.endswith("norm.weight"):
                base = 0.0 if config.model_type == "gemma3_text" else 1.0
                parameter.copy_(base + 0.2 * noise)
            elif key.endswith("bias"):
                parameter.copy_(0.3 * noise)
            elif "embed_tokens" in key:
                # Gemma multiplies by sqrt(hidden). Another tied table is small, or each token would answer itself.
                tied = 0.15 if config.tie_word_embeddings else 1.0
                scale = config.hidden_size**-0.5 if config.model_type == "gemma3_text" else tied
                parameter.copy_(scale * noise)
            else:
                gain = 2.0 if "q_proj" in key or "k_proj" in key else 1.0
                parameter.copy_(gain * parameter.shape[1] ** -0.5 * noise)
    model.generation_config = GenerationConfig(
        bos_token_id=0, eos_token_id=[1], do_sample=True, temperature=0.7, top_p=0.9, top_k=20)
    return model


def to_old_style(folder):
    """Rewrites config.json, and sees to it that transformers reads the same from it."""
    path = folder / "config.json"
    before = AutoConfig.from_pretrained(folder)
    config = json.loads(path.read_text())
    scaling = config.pop("rope_parameters")
    if "full_attention" in scaling:
        config["rope_local_base_freq"] = scaling["sliding_attention"]["rope_theta"]
        config["sliding_window_pattern"] = config.pop("layer_types").index("full_attention") + 1
        config.pop("_sliding_window_pattern", None)
        scaling = scaling["full_attention"]
    config["rope_theta"] = scaling.pop("rope_theta")
    config["rope_scaling"] = scaling
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    after = AutoConfig.from_pretrained(folder)
    assert (before.rope_parameters, getattr(before, "layer_types", None)) == (
        after.rope_parameters, getattr(after, "layer_types", None))


def save_tokenizer(folder):
    """Byte-level BPE over printable ASCII with two merges."""
    tokens = ["<s>", "</s>", "Ġ", *map(chr, range(33, 124)), "th", "he"]
    bpe = models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=[("t", "h"), ("h", "e")])
    tokenizer = Tokenizer(bpe)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    assert tokenizer.get_vocab_size() == VOCAB
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)


def convert(folder, kind, path, config):
    """Runs llama.cpp's converter; the vocabulary is written here, its list knows no such tokenizer."""
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

    hparams = ModelBase.load_hparams(folder, False)
    base = get_model_class(get_model_architecture(hparams, ModelType.TEXT))

    def set_vocab(self):
        with open(folder / "tokenizer.json", encoding="utf-8") as file:
            bpe = json.load(file)["model"]
        tokens = sorted(bpe["vocab"], key=bpe["vocab"].get)
        self.gguf_writer.add_tokenizer_model("gpt2")
        self.gguf_writer.add_tokenizer_pre("gpt-2")
        self.gguf_writer.add_token_list(tokens)
        types = [gguf.TokenType.CONTROL if token in ("<s>", "</s>") else gguf.TokenType.NORMAL for token in tokens]
        self.gguf_writer.add_token_types(types)
        self.gguf_writer.add_token_merges([" ".join(merge) for merge in bpe["merges"]])
        self.gguf_writer.add_bos_token_id(0)
        self.gguf_writer.add_eos_token_id(1)

    # The converter does this for Phi 3; llama.cpp reads it for Llama just as well.
    def set_gguf_parameters(self):
        base.set_gguf_parameters(self)
        parameters = config.rope_parameters
        if parameters.get("rope_type") == "longrope":
            original = parameters["original_max_position_embeddings"]
            stretch = config.max_position_embeddings / original
            self.gguf_writer.add_rope_scaling_orig_ctx_len(original)
            self.gguf_writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(stretch) / math.log(original)))
            for length in ("long", "short"):
                factors = np.array(parameters[f"{length}_factor"], dtype=np.float32)
                self.gguf_writer.add_tensor(f"rope_factors_{length}.weight", factors)

    overrides = dict(set_vocab=set_vocab, set_gguf_parameters=set_gguf_parameters,
                     model_arch=base.model_arch)
    kinds = dict(f32=gguf.LlamaFileType.ALL_F32, f16=gguf.LlamaFileType.MOSTLY_F16,
                 q8_0=gguf.LlamaFileType.MOSTLY_Q8_0)
    with torch.inference_mode():
        type(base.__name__, (base,), overrides)(folder, kinds[kind], path).write()


def with_weights_of(model, path):
    """The same model with the weights of a GGUF file, dequantized."""
    config = model.config
    reader = gguf.GGUFReader(path)
    arch_name = reader.get_field("general.architecture").contents()
    arch = next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == arch_name)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    held = {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    state = {}
    for key, value in model.state_dict().items():
        stem, suffix = key.rsplit(".", 1)
        name = names.get_name(stem)
        name = f"{name}.{suffix}"
        if key == "lm_head.weight" and name not in held:
            name = "token_embd.weight"
        weight = torch.tensor(np.array(held[name], dtype=np.float32)).reshape(value.shape)
        if config.model_type == "llama" and any(part in key for part in ("q_proj", "k_proj")):
            heads = config.num_attention_heads if "q_proj" in key else config.num_key_value_heads
            half = value.shape[0] // heads // 2
            weight = weight.reshape(heads, half, 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)
        if config.model_type == "gemma3_text" and key.endswith("norm.weight"):
            weight = weight - 1
        state[key] = weight
    other = AutoModelForCausalLM.from_config(config).float().eval()
    other.load_state_dict(state)
    return other


@torch.no_grad()
def logits(model, tokens, decoded):
    """The prompt at once, then token by token; drawn at random where `tokens` holds the prompt alone."""
    tokens = list(tokens)
    generator = torch.Generator().manual_seed(2)
    out = model(torch.tensor([tokens[:PROMPT]]), use_cache=True)
    rows = [out.logits[0, -SHOWN:]]
    for step in range(decoded):
        if len(tokens) == PROMPT + step:
            tokens.append(int(torch.multinomial(out.logits[0, -1].softmax(0), 1, generator=generator)))
        out = model(torch.tensor([[tokens[PROMPT + step]]]), past_key_values=out.past_key_values, use_cache=True)
        rows.append(out.logits[0])
    return tokens, torch.cat(rows).float().numpy()


def in_bytes(x):
    """Blocks of 32 as a scale times integers from -127 to 127, and back."""
    blocks = x.reshape(-1, 32)
    scale = blocks.abs().amax(1, keepdim=True) / 127
    return (torch.round(blocks / scale.clamp(min=1e-30)) * scale).reshape(x.shape)


def cpu_logits(model, tokens, quantized):
    """As `logits`, with what the CPU path rounds. The model is changed for good."""
    for module in model.modules():
        if quantized and isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(lambda _, inputs: (in_bytes(inputs[0]),))
    update = Cache.update
    Cache.update = lambda self, k, v, *rest, **more: update(self, k.half().float(), v.half().float(), *rest, **more)
    try:
        return logits(model, tokens, DECODED)[1]
    finally:
        Cache.update = update


def make(name):
    differences, has_gguf = MODELS[name]
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model = build(name, differences)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    if name in OLD_STYLE:
        to_old_style(folder)

    prompt = torch.randint(2, VOCAB, (PROMPT,), generator=torch.Generator().manual_seed(1)).tolist()
    tokens, golden = logits(model, prompt, DECODED)
    tensors = {"tokens": np.array(tokens, dtype=np.int32), "f32": golden}
    for kind in ("f32", "f16", "q8_0") if has_gguf else ():
        path = folder / f"{kind}.gguf"
        convert(folder, kind, path, model.config)
        same = with_weights_of(model, path)
        _, rows = logits(same, tokens, DECODED)
        if kind == "f32":
            assert np.abs(rows - golden).max() < 1e-5, "the GGUF file holds other weights"
        tensors[kind] = rows
        tensors[f"{kind}_cpu"] = cpu_logits(same, tokens, kind == "q8_0")
    tensors["f32_cpu"] = cpu_logits(model, tokens, False)
    save_file(tensors, folder / "golden.safetensors")
    for file in folder.iterdir():
        file.chmod(0o644)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: {size} bytes, logits {golden.std():.2f} wide, {len(set(tokens[PROMPT:]))} different tokens decoded")
    assert size < 1_000_000


if __name__ == "__main__":
    for name in sys.argv[2:] or MODELS:
        make(name)

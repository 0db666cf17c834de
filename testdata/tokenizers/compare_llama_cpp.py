"""Compares the golden ids in this folder with llama.cpp's. Writes nothing; prints every difference.

    python compare_llama_cpp.py LLAMA_SERVER real MODELS_DIR    # the two real models
    python compare_llama_cpp.py LLAMA_SERVER tiny               # the tiny vocabularies, as GGUF files

LLAMA_SERVER is the program llama-server. A tiny vocabulary is put into a model of one layer with random
weights, since the server tokenizes only with a model that it can run.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

import gguf
import numpy

HERE = pathlib.Path(__file__).parent
TEXTS = [json.loads(line) for line in (HERE / "texts.jsonl").read_text(encoding="utf-8").split("\n") if line]
PORT = 18473


def tokenize(text, parse_special):
    body = json.dumps({"content": text, "add_special": False, "parse_special": parse_special}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}/tokenize", body, {"Content-Type": "application/json"}
    )
    return json.load(urllib.request.urlopen(request))["tokens"]


def compare(server, model, golden):
    expected = json.loads(golden.read_text(encoding="utf-8"))
    command = [server, "-m", str(model), "--port", str(PORT), "--host", "127.0.0.1", "-c", "256", "-t", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health")
                break
            except OSError:
                time.sleep(0.2)
                assert process.poll() is None, "the server has stopped"
        different = []
        for mode, parse_special in [("parse", True), ("as_text", False)]:
            for text, ours in zip(TEXTS, expected[mode]):
                theirs = tokenize(text, parse_special)
                if theirs != ours:
                    different.append((mode, text, ours, theirs))
        print(f"{golden.relative_to(HERE)}: {len(different)} of {2 * len(TEXTS)} differ")
        for mode, text, ours, theirs in different:
            print(f"  {mode} {text[:60]!r}: transformers {ours[:14]}, llama.cpp {theirs[:14]}")
    finally:
        process.terminate()
        process.wait()


def write_model(path, pre, tokens, types, scores, merges, eos):
    width, random = 32, numpy.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(256)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama" if scores else "gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if scores:
        writer.add_token_scores(scores)
    else:
        writer.add_token_merges(merges)
        writer.add_bos_token_id(eos)
        writer.add_eos_token_id(eos)
    shapes = {"token_embd": (len(tokens), width), "output_norm": (width,), "blk.0.attn_norm": (width,)}
    shapes |= {f"blk.0.attn_{name}": (width, width) for name in ["q", "k", "v", "output"]}
    shapes |= {"blk.0.ffn_norm": (width,)} | {f"blk.0.ffn_{name}": (width, width) for name in ["gate", "up", "down"]}
    for name, shape in shapes.items():
        writer.add_tensor(name + ".weight", random.standard_normal(shape).astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tiny(server):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "tiny.gguf"
        for pre in ["gpt-2", "smollm", "qwen2", "llama-bpe", "deepseek-llm", "deepseek-v3"]:
            made = json.loads((HERE / f"tiny-{pre}" / "tokenizer.json").read_text(encoding="utf-8"))
            tokens = {index: token for token, index in made["model"]["vocab"].items()}
            tokens |= {added["id"]: added["content"] for added in made["added_tokens"]}
            special = {added["id"]: 3 if added["special"] else 4 for added in made["added_tokens"]}
            ordered = [tokens[index] for index in range(len(tokens))]
            types = [special.get(index, 1) for index in range(len(tokens))]
            merges = [" ".join(merge) for merge in made["model"]["merges"]]
            write_model(path, pre, ordered, types, None, merges, eos=2)
            compare(server, path, HERE / f"tiny-{pre}" / "ids.json")
        made = json.loads((HERE / "tiny-spm-gguf.json").read_text(encoding="utf-8"))
        write_model(path, "default", made["tokens"], made["token_types"], made["scores"], None, eos=2)
        compare(server, path, HERE / "tiny-spm" / "ids.json")


def main():
    server = sys.argv[1]
    if sys.argv[2] == "real":
        for name, file in [("smollm2-135m-instruct", "smollm2.gguf"), ("qwen2.5-coder-0.5b-instruct", "qwen.gguf")]:
            compare(server, pathlib.Path(sys.argv[3]) / file, HERE / f"real-{name}.json")
    else:
        tiny(server)


main()

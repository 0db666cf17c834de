"""Writes processors.jsonl: what the logits processors of transformers leave of random rows.

    python make_processors.py > processors.jsonl        (made with transformers 5.23, torch 2.15)

A line is one row: scores in ten-thousandths, a prompt, parameters (0 or 1 where off), and the surviving
tokens with their probabilities. The processors run in float64, so the figures are exact to the digits
written. Rows whose top-p or min-p verdict hangs on less than 1e-5 of probability are drawn anew: there the
rounding of f32 decides.
"""

import json
import random

import torch
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

rng = random.Random(20261122)


def maybe(value, off):
    return value if rng.random() < 0.6 else off


def case():
    vocab = rng.randint(50, 250)
    spread = rng.choice([1.0, 3.0, 6.0])
    scores = rng.sample(range(int(-4 * spread * 1e4), int(4 * spread * 1e4)), vocab)
    if rng.random() < 0.7:  # a few clear favourites, as a trained model has
        for i in range(vocab):
            scores[i] = scores[i] // 2 if rng.random() < 0.95 else scores[i]
        if len(set(scores)) < vocab:
            return None
    params = {
        "repetition_penalty": maybe(round(rng.uniform(0.5, 2.0), 2), 1.0),
        "temperature": maybe(round(rng.uniform(0.1, 2.0), 2), 1.0),
        "top_k": maybe(rng.randint(1, vocab + 10), 0),
        "top_p": maybe(round(rng.uniform(0.05, 0.99), 2), 1.0),
        "min_p": maybe(round(rng.uniform(0.01, 0.5), 3), 0.0),
    }
    prompt = [rng.randrange(vocab) for _ in range(rng.randint(1, 40))]
    ids = torch.tensor([prompt])
    row = torch.tensor([[s / 1e4 for s in scores]], dtype=torch.float32).double()
    if params["repetition_penalty"] != 1.0:
        row = RepetitionPenaltyLogitsProcessor(params["repetition_penalty"])(ids, row)
    if params["temperature"] != 1.0:
        row = TemperatureLogitsWarper(params["temperature"])(ids, row)
    if params["top_k"] > 0:
        best = row.sort(descending=True).values[0]
        k = params["top_k"]
        if k < vocab and abs(best[k - 1] - best[k]) < 1e-5:
            return None
        row = TopKLogitsWarper(k)(ids, row)
    if params["top_p"] < 1.0:
        sums = row.softmax(-1).sort(descending=True).values.cumsum(-1)
        if (sums - params["top_p"]).abs().min() < 1e-5:
            return None
        row = TopPLogitsWarper(params["top_p"])(ids, row)
    if params["min_p"] > 0.0:
        p = row.softmax(-1)
        if (p / p.max() - params["min_p"]).abs().min() < 1e-5:
            return None
        row = MinPLogitsWarper(params["min_p"])(ids, row)
    p = row.softmax(-1)[0]
    kept = (row[0] > float("-inf")).nonzero().flatten().tolist()
    return {
        "scores": scores,
        "prompt": prompt,
        **params,
        "kept": kept,
        "probabilities": [float(f"{p[i]:.6e}") for i in kept],
    }


written = 0
while written < 300:
    if (line := case()) is not None:
        print(json.dumps(line, separators=(",", ":")))
        written += 1

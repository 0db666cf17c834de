"""Writes draws.json: 1,000 tokens for each of four seeds, from the description in forii-sampling/src/rng.rs
alone, in float64.

    python make_draws.py > draws.json

Scores are multiples of 1/8, so every program reads the same numbers. A draw that falls within 1e-6 of the
border between two tokens is written as -1: there the rounding of the weights decides.
"""

import json
import math


def philox(counter, key):
    c, k, m = list(counter), list(key), 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & m, (p0 >> 32) ^ c[3] ^ k[1], p0 & m]
        k = [(k[0] + 0x9E3779B9) & m, (k[1] + 0xBB67AE85) & m]
    return c


def uniform(seed, choice, position):
    w = philox([position & 0xFFFFFFFF, position >> 32, choice, 0], [seed & 0xFFFFFFFF, seed >> 32])
    return ((w[1] << 32 | w[0]) >> 11) / 2.0**53


def token(scores, u):
    highest = max(scores)
    weights = [math.exp(s - highest) for s in scores]
    total, running = math.fsum(weights), 0.0
    for i, w in enumerate(weights):
        running += w / total
        if abs(running - u) < 1e-6:
            return -1
        if running > u:
            return i
    return -1


cases = []
for seed, choice, vocab in [(0, 0, 60), (42, 0, 500), (42, 3, 500), (2**63 + 12345, 1, 1000)]:
    scores = [((i * i * 7 + i * 3) % 61) / 8 for i in range(vocab)]
    tokens = [token(scores, uniform(seed, choice, p)) for p in range(1000)]
    cases.append({"seed": seed, "choice": choice, "vocab_size": vocab, "tokens": tokens})
print(json.dumps(cases))

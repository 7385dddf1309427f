"""Opens an exported GGUF file with llama.cpp, and compares with what Paring computes and with what transformers makes
of texts.

Usage: in_llama_cpp.py CASE OUT DIRECTORY-OF-EXPECTED SOURCE
"""

import json
import sys
import tempfile
from pathlib import Path

import llama_cpp
import numpy as np
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

import checks
import gguf_file

# Both round the inputs of layers to 8 bits a block and multiply integers, but add up in other orders. So a last bit
# moves inputs by whole steps, and perplexities scatter: halved keys and values move llama.cpp's own by 2e-3 (q8_0).
# What was lost to rounding, the divergence from the floats, must be as large as in Paring all the same.
PERPLEXITY = 1e-2
DIVERGENCE = 0.15
AGREEMENT = 0.95
BEHIND = 0.25

# Keys and values stay floats of 32 bits: that they may be halved says nothing of the file.
F32 = 0

# What llama.cpp itself makes of the source comes out bit for bit: its number for the type of the whole file.
SAME_BLOCKS = {"smollm2-q4-0": 2, "smollm2-q8-0": 7}


def main():
    case, out, expected, source = sys.argv[1:]
    check, before = checks.Checks(case), np.load(Path(expected, "expected.npy"))
    expected = json.loads(Path(expected, "expected.json").read_text())
    path = Path(out) / "model" / "model.gguf"
    if case in SAME_BLOCKS:
        blocks(check, path, source, SAME_BLOCKS[case])
    model = llama_cpp.Llama(
        str(path), n_ctx=checks.WINDOW, n_threads=2, logits_all=True, type_k=F32, type_v=F32, verbose=False
    )
    tokens(check, model, expected)
    rows = expected["windows"]
    check.same("windows", len(rows), checks.WINDOWS)
    after = [logarithms(logits(model, row)) for row in rows]
    losses = [-own[np.arange(len(own)), row[1:]].mean() for own, row in zip(after, rows, strict=True)]
    divergences = [(np.exp(old) * (old - own)).sum(axis=1).mean() for old, own in zip(before, after, strict=True)]
    found, own = float(np.exp(np.mean(losses))), checks.finished(out)
    check.within(f"perplexity {found:.4f}, off by", abs(found / own["perplexity"] - 1.0), PERPLEXITY)
    found = float(np.mean(divergences))
    check.within(f"divergence {found:.5f}, off by", abs(found / own["kl_divergence"] - 1.0), DIVERGENCE)
    continuations = checks.continuations(checks.undamaged(out) / "model/model.gguf", lambda text: encode(model, text))

    def rows():
        for ids, start in continuations:
            own = logits(model, ids)
            yield from ((own[place - 1], ids[place]) for place in range(start, len(ids)))

    share, count, behind = checks.agreement(rows())
    check.least(f"of {count} tokens, share that is the likeliest here too", share, AGREEMENT)
    check.within("furthest that one falls behind, in deviations of the logits", behind, BEHIND)


def blocks(check, path, source, kind):
    """llama.cpp's own quantizer makes the same tensors of the same floats."""
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype, settings.nthread, settings.allow_requantize = kind, 2, True
    with tempfile.TemporaryDirectory() as directory:
        other = Path(directory, "other.gguf")
        done = llama_cpp.llama_model_quantize(source.encode(), str(other).encode(), settings)
        check.same("llama.cpp's answer", done, 0)
        own, other = gguf_file.tensors(path), gguf_file.tensors(other)
    different = sorted(name for name in own.keys() | other.keys() if own.get(name) != other.get(name))
    check.same(f"of {len(other)} tensors, other than llama.cpp's", different, [])


def tokens(check, model, expected):
    """Texts become the same ids, and the file says how chats are written and what ends a text."""
    different = [text for text, ids in expected["texts"] if encode(model, text) != ids]
    check.same("texts with other tokens", different, [])
    check.same("token that begins a text", model.token_bos(), expected["bos"])
    check.same("token that ends a text", model.token_eos(), expected["eos"])
    template = model.metadata["tokenizer.chat_template"]
    check.same("chat template", template, expected["template"])
    chat, written = expected["chat"]
    formatter = Jinja2ChatFormatter(template, eos_token="", bos_token="")
    check.same("chat", formatter(messages=chat).prompt, written)


def encode(model, text):
    return model.tokenize(text.encode(), add_bos=True, special=True)


def logits(model, ids):
    """At every position but the last."""
    model.reset()
    model.eval(ids)
    return model.scores[: len(ids) - 1].astype(np.float64)


def logarithms(logits):
    """Logarithms of the probabilities."""
    top = logits.max(axis=1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))


if __name__ == "__main__":
    main()

"""Opens an exported GGUF file with llama.cpp, and compares with what Paring computes and with what transformers makes of
texts.

Usage: in_llama_cpp.py CASE OUT EXPECTED
"""

import json
import sys
from pathlib import Path

import llama_cpp
import numpy as np
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

import checks

# Both round inputs to 8 bits a block and multiply integers; llama.cpp sums up in another order. Measured: .
PERPLEXITY = {"smollm2-q8-0": 1e-2, "smollm2-q4-0": 1e-2, "smollm2-q4-k-m": 1e-2}
AGREEMENT = 0.95
BEHIND = 0.25

# Keys and values stay floats of 32 bits: that they may be halved says nothing of the file.
F32 = 0


def main():
    case, out, expected = sys.argv[1:]
    check, expected = checks.Checks(case), json.loads(Path(expected).read_text())
    path = Path(out) / "model" / "model.gguf"
    model = llama_cpp.Llama(
        str(path), n_ctx=checks.WINDOW, n_threads=2, logits_all=True, type_k=F32, type_v=F32, verbose=False
    )
    tokens(check, model, expected)
    losses = [loss(logits(model, row), row) for row in expected["windows"]]
    check.same("windows", len(losses), checks.WINDOWS)
    found, own = float(np.exp(np.mean(losses))), checks.finished(out)["perplexity"]
    check.within(f"perplexity {found:.4f}, off by", abs(found / own - 1.0), PERPLEXITY[case])
    continuations = checks.continuations(path, lambda text: encode(model, text))

    def rows():
        for ids, start in continuations:
            own = logits(model, ids)
            yield from ((own[place - 1], ids[place]) for place in range(start, len(ids)))

    share, count, behind = checks.agreement(rows())
    check.least(f"of {count} tokens, share that is the likeliest here too", share, AGREEMENT)
    check.within("furthest that one falls behind, in deviations of the logits", behind, BEHIND)


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


def loss(logits, ids):
    top = logits.max(axis=1)
    sums = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return float((sums - logits[np.arange(len(logits)), ids[1:]]).mean())


if __name__ == "__main__":
    main()

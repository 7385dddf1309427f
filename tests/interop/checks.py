"""What the checks share: figures with limits, and Paring's own answers."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

WINDOW = 512
WINDOWS = 2
POSITIONS = 200

# Beginnings of texts that Paring continues, until there are enough positions to compare.
PROMPTS = [
    "Call me Ishmael. Some years ago, never mind how long",
    "The whale is the largest animal in the sea, and",
    "def fibonacci(n):\n",
    "In the year 1851 a novel was published that",
    "<|im_start|>user\nName the planets of the solar system.<|im_end|>\n<|im_start|>assistant\n",
    "It is a truth universally acknowledged, that a",
    "The recipe for bread is simple: take 500 g of flour,",
    "Once upon a time there was a sailor who",
]

SENTENCES = [
    "That is a happy person",
    "That is a very happy person",
    "Today is a sunny day",
    "The stock market fell by 3.5% on Tuesday, 14 March.",
    "Naïve façades: ελληνικά, 東京, and an emoji 🙂",
    "a",
    "A long sentence, one that goes on and on, with clauses in which nothing new is said, so that a text is there that "
    "has many tokens, each of which has a scale of its own where inputs are scaled token by token",
    "Whales are mammals; so are bats.",
]

TEXTS = [
    *PROMPTS,
    "",
    " leading, trailing and  double  spaces  ",
    "tabs\tand\n\nline feeds\r\n",
    "Numbers: 3.14159, 1,000,000 and 007",
    "Naïve façades: ελληνικά, 東京, العربية, हिन्दी, and emoji 🙂👩‍👩‍👧",
    "don't, we'll, I'VE",
    "<|im_start|>system\nYou are terse.<|im_end|>\n",
    "snake_case camelCase <html> &amp; {'a': [1, 2]}",
]


class Checks:
    """Compares figures; the first that is off ends the program."""

    def __init__(self, case):
        self.case = case

    def within(self, what, found, limit):
        """`found` must be a number that is at most `limit`."""
        print(f"  {what}: {found:.3g}, at most {limit:g}", flush=True)
        if not found <= limit:
            sys.exit(f"{self.case}: {what} is {found:.6g}, expected at most {limit:g}")

    def least(self, what, found, limit):
        """`found` must be a number that is at least `limit`."""
        print(f"  {what}: {found:.4g}, at least {limit:g}", flush=True)
        if not found >= limit:
            sys.exit(f"{self.case}: {what} is {found:.6g}, expected at least {limit:g}")

    def same(self, what, found, expected):
        """Both must be equal."""
        if found != expected:
            sys.exit(f"{self.case}: {what} is {shown(found)}, expected {shown(expected)}")
        print(f"  {what}: {shown(found)}", flush=True)


def shown(value):
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."


def paring(*arguments):
    """The JSON that a command prints."""
    command = [os.environ["PARING"], *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"`{' '.join(command)}` failed:\n{done.stderr}")
    return json.loads(done.stdout)


def undamaged(out):
    """Where Paring reads the export: elsewhere when `out` is damaged on purpose."""
    return Path(os.environ.get("UNDAMAGED", out))


def report(out):
    return json.loads((Path(out) / "report.json").read_text())


def finished(out):
    """The measures of the finished model."""
    found = report(out)
    return found["stages"][-1]["after"] if found["stages"] else found["baseline"]


def windows(ids):
    """Windows that follow each other, as Paring cuts them: the last one only if it is full."""
    return [ids[start : start + WINDOW] for start in range(0, len(ids) - WINDOW + 1, WINDOW)]


def continuations(model, encode):
    """What Paring itself finds likeliest, token by token: (ids, how many of them are the prompt's). `encode` makes ids
    of a text. A continuation whose text does not give back its tokens is left out."""
    found, positions = [], 0
    for prompt in PROMPTS:
        answer = paring("generate", model, prompt, "--tokens", 64)
        ids, start = encode(prompt + answer["text"]), answer["prompt_tokens"]
        if len(encode(prompt)) != start:
            sys.exit(f"`{model}` makes {start} tokens of {prompt!r}, expected {len(encode(prompt))}")
        if len(ids) != start + answer["tokens"] or ids[:start] != encode(prompt):
            continue
        found.append((ids, start))
        positions += len(ids) - start
        if positions >= POSITIONS:
            return found
    sys.exit(f"`{model}` continues the prompts by {positions} tokens in all, expected {POSITIONS}")


def agreement(rows):
    """Share of positions whose likeliest token is Paring's, and how far Paring's falls behind at most, in standard
    deviations of the logits. `rows` yields (logits, token)."""
    same, count, most = 0, 0, 0.0
    for logits, token in rows:
        behind = float(logits.max() - logits[token]) / float(logits.std())
        same, count = same + (behind == 0.0), count + 1
        most = math.inf if math.isnan(behind) else max(most, behind)
    return same / count, count, most

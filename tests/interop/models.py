"""What a model of transformers makes of texts, and how that compares with what Paring makes of them."""

from pathlib import Path

import torch
import transformers

import checks

BEHIND = 1e-3
AGREEMENT = 0.99

# Without quantization, perplexities differ by 2e-8, and numbers of a vector by 3e-6 of their standard deviations.
UNQUANTIZED = 1e-6
FLOATS = 2e-5


def kind(case):
    return transformers.AutoModelForCausalLM if case.startswith("smollm2") else transformers.AutoModel


def same_answers(check, model, out):
    """A model of floats says what Paring's says."""
    directory = Path(out) / "model"
    if isinstance(model, transformers.GenerationMixin):
        rows = windows(directory)
        check.same("windows", len(rows), checks.WINDOWS)
        found, own = perplexity(losses(model, rows)), checks.finished(out)["perplexity"]
        check.within(f"perplexity {found:.4f}, off by", abs(found / own - 1.0), UNQUANTIZED)
        continued(check, checks.undamaged(out) / "model", model)
    else:
        expected = embedded(checks.undamaged(out) / "model")
        found = vectors(model, directory)
        check.same("vectors", found.shape, expected.shape)
        off = (found - expected) / expected.std()
        check.within("furthest number, in deviations", float(off.abs().max()), FLOATS)


def embedded(directory):
    """What Paring makes of the sentences."""
    return torch.tensor(checks.paring("embed", directory, *checks.SENTENCES)["vectors"])


def vectors(model, directory):
    """Means of the last layer, of length 1. No sentence is padded."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    rows = [tokenizer(sentence, return_tensors="pt") for sentence in checks.SENTENCES]
    means = [model(**row).last_hidden_state[0].mean(0) for row in rows]
    return torch.stack([mean / mean.norm() for mean in means]).float()


def windows(directory):
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    return checks.windows(tokenizer(Path("tail.txt").read_text(), add_special_tokens=False)["input_ids"])


def logits(model, ids):
    """At every position but the last."""
    return model(torch.tensor([ids])).logits[0, :-1].double()


def loss_of(logits, ids):
    return torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]))


def losses(model, rows):
    return [loss_of(logits(model, row), row) for row in rows]


def perplexity(losses):
    return float(torch.stack(losses).mean().exp())


def continued(check, directory, model):
    """Paring's own continuations, token by token."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    found = checks.continuations(directory, lambda text: tokenizer(text)["input_ids"])

    def rows():
        for ids, start in found:
            own = logits(model, ids)
            yield from ((own[place - 1], ids[place]) for place in range(start, len(ids)))

    share, count, behind = checks.agreement(rows())
    check.least(f"of {count} tokens, share that is the likeliest here too", share, AGREEMENT)
    check.within("furthest that one falls behind, in deviations of the logits", behind, BEHIND)

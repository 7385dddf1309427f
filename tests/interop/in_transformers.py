"""Opens exported directories with transformers and compressed-tensors, and compares with what Paring computes.

Usage: in_transformers.py floats|pruned|refused|decoder|encoder CASE OUT [BASE], in_transformers.py tokens OUT TO
"""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from compressed_tensors.compressors import BaseCompressor, ModelCompressor
from compressed_tensors.quantization import apply_quantization_config
from compressed_tensors.utils import get_direct_state_dict
from safetensors import safe_open

import checks
import models
import unpack

# Paring multiplies integers exactly, with inputs rounded to 16 bits a row; torch adds up rounded products of floats.
# The same rounding done in torch scatters as the last bits of its inputs go: the perplexity of `smollm2-symmetric` by
# 1e-4, its divergence by 3e-5, that of `smollm2-tied` by 5e-6. With 15 bits they are off by 5e-4, 1e-4 and 2e-5.
PERPLEXITY = 2.5e-4
NATS = 1e-5
DIVERGENCE = 2e-4

# What rounding to 32 bits adds to half a step.
HALF_A_STEP = 0.5 + 1e-4

# Numbers of a vector, in their standard deviations. Rounding moves an input by a whole step where the last bits differ:
# 32 and 64 bits in transformers alone differ by 3e-4 with 8 bits, and so does Paring. Without rounding they differ by
# 2e-3 (12 bits) to 2e-1. Paring rounds all inputs of quantized layers to 16 bits, of 24 layers in `minilm-groups`.
SINGLE = ["minilm-dynamic-4", "minilm-dynamic-8", "minilm-dynamic-12", "minilm-static-8", "minilm-static-12"]
VECTOR = 5e-4
VECTORS = {"minilm-groups": 3e-3}

# Where the inputs of all layers are rounded, a difference in the last bit moves some of them by a whole step, and after
# some layers nearly all: results then differ as much as those of 32 and 64 bits do in transformers alone.
WHOLE = ["minilm-dynamic", "minilm-static"]
NOISE = 1.5


def main():
    torch.set_grad_enabled(False)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    command, *arguments = sys.argv[1:]
    commands = [floats, pruned, refused, decoder, encoder, tokens]
    {known.__name__: known for known in commands}[command](*arguments)


def floats(case, out):
    """Exports without quantization: f32, f16 and bf16."""
    check = checks.Checks(case)
    directory = Path(out) / "model"
    model = opened(check, transformers.AutoModelForCausalLM, directory)
    check.same("type", model.dtype, torch.float32)
    models.same_answers(check, model, out)
    for export, dtype in [("model-2", torch.float16), ("model-3", torch.bfloat16)]:
        half = opened(check, transformers.AutoModelForCausalLM, Path(out) / export)
        check.same("type", half.dtype, dtype)
        pairs = zip(half.named_parameters(), model.named_parameters(), strict=True)
        different = [name for (name, one), (_, other) in pairs if not torch.equal(one, other.to(dtype))]
        check.same("weights that torch rounds otherwise", different, [])


def pruned(case, out):
    """A smaller model of floats, which transformers builds by the settings that Paring wrote."""
    check = checks.Checks(case)
    model = opened(check, models.kind(case), Path(out) / "model")
    check.same("notes of what it cannot open", cannot(out), [])
    models.same_answers(check, model, out)


def refused(case, out):
    """A smaller model that transformers has no settings for, of which Paring says so."""
    check = checks.Checks(case)
    check.same("notes of what it cannot open", len(cannot(out)), 1)
    try:
        models.kind(case).from_pretrained(Path(out) / "model")
    except RuntimeError as error:
        check.same("transformers minds the sizes", "ignore_mismatched_sizes" in str(error), True)
    else:
        check.same("transformers opens it", True, False)


def cannot(out):
    """What the report says that transformers cannot open."""
    return [note for note in checks.report(out)["notes"] if note.startswith("transformers cannot open")]


def decoder(case, out, base):
    """A decoder with quantized weights. `base` is the export of its floats."""
    check = checks.Checks(case)
    directory = Path(out) / "model"
    model = opened(check, transformers.AutoModelForCausalLM, directory)
    weights(check, model, directory, base)
    unquantized = opened(check, transformers.AutoModelForCausalLM, base)
    rows = models.windows(directory)
    check.same("windows", len(rows), checks.WINDOWS)
    loss, divergence, same = [], [], []
    for row in rows:
        own, other = models.logits(model, row), models.logits(unquantized, row)
        loss.append(models.loss_of(own, row))
        expected, found = torch.log_softmax(other, -1), torch.log_softmax(own, -1)
        divergence.append((expected.exp() * (expected - found)).sum(-1).mean())
        same.append((own.argmax(-1) == other.argmax(-1)).double().mean())
    figures = checks.finished(out)
    found = models.perplexity(loss)
    check.within(f"perplexity {found:.4f}, off by", abs(found / figures["perplexity"] - 1.0), PERPLEXITY)
    found = float(torch.stack(divergence).mean())
    expected = figures["kl_divergence"]
    check.within(f"divergence {found:.6f}, off by", abs(found - expected), NATS + DIVERGENCE * expected)
    found = float(torch.stack(same).mean())
    check.within(f"likeliest as before {found:.4f}, off by", abs(found - figures["top1_agreement"]), 0.001)
    models.continued(check, checks.undamaged(out) / "model", model)


def encoder(case, out, base):
    """An encoder of sentences: means of the last layer, of length 1, against those that `paring embed` prints."""
    check = checks.Checks(case)
    directory = Path(out) / "model"
    model = opened(check, transformers.AutoModel, directory)
    weights(check, model, directory, base)
    expected = models.embedded(checks.undamaged(out) / "model")
    found = models.vectors(model, directory)
    check.same("vectors", found.shape, expected.shape)
    off = (found - expected) / expected.std()
    if case in WHOLE:
        noise = (found - models.vectors(model.double(), directory)) / expected.std()
        check.within("difference, to that of 64 bits", float(off.norm() / noise.norm()), NOISE)
    else:
        check.within("furthest number, in deviations", float(off.abs().max()), VECTORS.get(case, VECTOR))
    if case in SINGLE:
        for module in model.modules():
            module.quantization_enabled = False
        off = (models.vectors(model, directory) - expected) / expected.std()
        check.least("without rounding of inputs", float(off.abs().max()), 4 * VECTOR)


def tokens(out, to):
    """Writes what llama.cpp is compared with: ids of texts, a chat as the template writes it, ids that begin and end
    texts, and the logarithms of probabilities before quantization. `out` holds an export of floats."""
    directory = Path(out) / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    found = {
        "windows": models.windows(directory),
        "texts": [[text, tokenizer(text)["input_ids"]] for text in checks.TEXTS],
        "chat": [chat, tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)],
        "template": tokenizer.chat_template,
        "bos": tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id,
    }
    Path(to, "expected.json").write_text(json.dumps(found))
    model = transformers.AutoModelForCausalLM.from_pretrained(directory)
    rows = [torch.log_softmax(models.logits(model, row), -1).float().numpy() for row in found["windows"]]
    np.save(Path(to, "expected.npy"), np.stack(rows))


def opened(check, kind, directory, **settings):
    """A model, none of whose weights was left out or made up."""
    if by_hand(directory):
        return opened_by_hand(check, kind, directory)
    model, told = kind.from_pretrained(directory, output_loading_info=True, **settings)
    check.same("keys missing, unexpected or of other shapes", sorted(map(str, itertools.chain(*told.values()))), [])
    return model.eval()


def by_hand(directory):
    """Whether transformers 5.24 fails on what compressed-tensors 0.20 itself writes for such a model. It prepares
    modules on a device without memory, where the compressor forgets to pack zero points, and it cannot begin with a
    table of tokens that has no plain weight."""
    export = unpack.Export(directory)
    packed = {name.removesuffix("_packed") for name in export.names if name.endswith("_packed")}
    return any(f"{name}_zero_point" in export.names or "embed" in name for name in packed)


def opened_by_hand(check, kind, directory):
    """The same steps as transformers takes, with compressed-tensors' own functions, on a device with memory."""
    config = transformers.AutoConfig.from_pretrained(directory)
    settings = transformers.CompressedTensorsConfig.from_dict(config.quantization_config)
    del config.quantization_config
    model = kind.from_config(config, dtype=torch.float32)
    compressor = ModelCompressor.from_compression_config(settings)
    apply_quantization_config(model, compressor.quantization_config, show_progress=False)
    compressor.compress_model(model)
    with safe_open(Path(directory) / "model.safetensors", framework="pt") as file:
        told = model.load_state_dict({name: file.get_tensor(name) for name in file.keys()}, strict=False)
    # An output layer that is the table of tokens, and numbers that old versions of BERT stored.
    known = ["lm_head.weight", "embeddings.position_ids"]
    others = [name for name in told.missing_keys + told.unexpected_keys if name not in known]
    check.same("keys missing or unexpected", others, [])
    compressor.decompress_model(model)
    model.tie_weights()
    return model.eval()


def weights(check, model, directory, base):
    """Weights as compressed-tensors makes floats of them: the same bits as the formula gives, none further from the
    float that it was made of than half a step, and packed by compressed-tensors again, the same file."""
    export = unpack.Export(directory)
    model(torch.tensor([[0, 1]]))
    floats = safe_open(Path(base) / "model.safetensors", framework="np")
    layers, different, otherwise, furthest = export.layers(), [], [], 0.0
    for name, group in layers.items():
        module = model.get_submodule(name)
        expected, steps = export.weight(name, group)
        if not np.array_equal(module.weight.numpy(), expected):
            different.append(name)
        if not packs_alike(module, name, export):
            otherwise.append(name)
        moved = np.abs(floats.get_tensor(f"{name}.weight") - expected)
        furthest = max(furthest, float((moved / steps).max()))
    print(f"  {len(layers)} quantized layers")
    check.same("layers with other weights than the formula gives", different, [])
    check.same("layers that compressed-tensors packs otherwise", otherwise, [])
    check.within("furthest from its float, in steps", furthest, HALF_A_STEP)


def packs_alike(module, name, export):
    """Whether compressed-tensors makes the tensors of the file of a layer's floats: names, types, shapes and bits."""
    scheme = module.quantization_scheme
    again = BaseCompressor.get_value_from_registry(scheme.format.value).compress(get_direct_state_dict(module), scheme)
    again = {f"{name}.{part}": tensor.numpy() for part, tensor in again.items() if part != "bias"}
    stored = [own for own in export.names if own.rpartition(".")[0] == name and not own.endswith(".bias")]
    if sorted(stored) != sorted(again):
        return False
    pairs = [(again[own], export.file.get_tensor(own)) for own in stored]
    return all(one.dtype == other.dtype and np.array_equal(one, other) for one, other in pairs)


if __name__ == "__main__":
    main()

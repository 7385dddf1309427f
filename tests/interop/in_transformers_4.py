"""Opens exports in sparse layouts with the last versions of transformers and compressed-tensors that read them, and
compares with what Paring computes.

Usage: in_transformers_4.py CASE OUT
"""

import itertools
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from compressed_tensors.compressors import ModelCompressor

import checks
import models
import unpack


def main():
    torch.set_grad_enabled(False)
    transformers.utils.logging.set_verbosity_error()
    case, out = sys.argv[1:]
    check = checks.Checks(case)
    directory = Path(out) / "model"
    export = unpack.Export(directory)
    config = export.config["quantization_config"]["sparsity_config"]
    if config["format"] == "sparse-24-bitmask":
        kind = models.kind(case)
        model, told = kind.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
        keys = sorted(map(str, itertools.chain(*told.values())))
        check.same("keys missing, unexpected or of other shapes", keys, [])
    else:
        model = opened_by_hand(case, directory)
    weights(check, model.eval(), export, config)
    models.same_answers(check, model, out)
    dense = checks.report(out)["exports"][1]["bytes"]
    check.within("bytes, to those with zeros", checks.report(out)["exports"][0]["bytes"] / dense, 0.9)


def opened_by_hand(case, directory):
    """transformers prepares modules on a device without memory, where this layout cannot be."""
    compressor = ModelCompressor.from_pretrained(directory)
    config = transformers.AutoConfig.from_pretrained(directory)
    del config.quantization_config
    model = models.kind(case).from_config(config, dtype=torch.float32)
    compressor.decompress(str(directory), model)
    model.tie_weights()
    return model


def weights(check, model, export, config):
    """Weights as compressed-tensors makes them dense: the same bits as the formula gives, and made sparse by it again,
    the same file."""
    settings = {"sparsity_config": config, "quant_method": "compressed-tensors"}
    compressor = ModelCompressor.from_compression_config(settings).sparsity_compressor
    different, otherwise = [], []
    for name in config["targets"]:
        weight = model.get_submodule(name).weight
        if not np.array_equal(weight.numpy(), export.sparse(name)):
            different.append(name)
        again = compressor.compress({f"{name}.weight": weight.data}, {name})
        stored = [own for own in export.names if own.rpartition(".")[0] == name and not own.endswith(".bias")]
        pairs = [(export.file.get_tensor(own), again[own].numpy()) for own in stored if own in again]
        alike = all(one.dtype == other.dtype and np.array_equal(one, other) for one, other in pairs)
        if sorted(stored) != sorted(again) or not alike:
            otherwise.append(name)
    print(f"  {len(config['targets'])} sparse layers")
    check.same("layers with other weights than the formula gives", different, [])
    check.same("layers that compressed-tensors stores otherwise", otherwise, [])


if __name__ == "__main__":
    main()

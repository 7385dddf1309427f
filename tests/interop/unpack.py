"""Reads quantized and sparse weights by the formula of the compressed-tensors format alone, with none of its code.

A weight is (q - zero_point) * scale. Of b bits each, q + 2^(b - 1) of a row follow each other without gaps from the
lowest bit of the first 32-bit word on. Zero points lie so along the output channels. A scale belongs to a tensor, a
row, or `group_size` consecutive inputs of a row.

Of a sparse weight, the bits say from the lowest bit of a row's first byte on which numbers are kept; these follow each
other, and each row's begin at its offset where there are offsets.
"""

import json
from pathlib import Path

import numpy as np
from safetensors import safe_open


class Export:
    """An exported directory."""

    def __init__(self, directory):
        self.config = json.loads((Path(directory) / "config.json").read_text())
        self.file = safe_open(Path(directory) / "model.safetensors", framework="np")
        self.names = set(self.file.keys())

    def layers(self):
        """Quantized layers and the group of the config that each is in."""
        groups = self.config["quantization_config"]["config_groups"].values()
        return {name: group for group in groups for name in group["targets"]}

    def weight(self, name, group):
        """What a layer's integers stand for, and its scales in the same shape."""
        scheme = group["weights"]
        bits, symmetric = scheme["num_bits"], scheme["symmetric"]
        scales = self.file.get_tensor(f"{name}.weight_scale")
        if f"{name}.weight_packed" in self.names:
            shape = self.file.get_tensor(f"{name}.weight_shape")
            integers = unpacked(self.file.get_tensor(f"{name}.weight_packed"), bits, shape[1])
        else:
            integers = self.file.get_tensor(f"{name}.weight").astype(np.int32)
        zero_points = np.zeros(scales.shape, np.int32)
        if not symmetric:
            zero_points = self.file.get_tensor(f"{name}.weight_zero_point")
            if zero_points.dtype == np.int32:
                zero_points = unpacked(zero_points.T, bits, integers.shape[0]).T
        wide = [spread(part, integers.shape, scheme["group_size"]) for part in (scales, zero_points)]
        return (integers - wide[1]).astype(np.float32) * wide[0], wide[0]

    def sparse(self, name):
        """What the numbers that are kept stand for among zeros."""
        shape = self.file.get_tensor(f"{name}.shape").reshape(-1)
        bits = np.unpackbits(self.file.get_tensor(f"{name}.bitmask"), axis=1, bitorder="little")
        kept = bits[:, : shape[1]].astype(bool)
        dense = np.zeros(shape, np.float32)
        dense[kept] = self.file.get_tensor(f"{name}.compressed").reshape(-1)
        if f"{name}.row_offsets" in self.names:
            counts = kept.sum(axis=1)
            if not np.array_equal(self.file.get_tensor(f"{name}.row_offsets"), counts.cumsum() - counts):
                raise SystemExit(f"the offsets of `{name}` are not those of its bits")
        return dense


def unpacked(words, bits, columns):
    """Rows of `columns` integers."""
    low = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1, bitorder="little")
    places = low[:, : columns * bits].reshape(len(words), columns, bits).astype(np.int32)
    return (places << np.arange(bits)).sum(axis=2) - (1 << (bits - 1))


def spread(part, shape, group_size):
    """One number for each weight."""
    if part.shape == (1,):
        return np.broadcast_to(part, shape)
    expected = (shape[0], shape[1] // group_size if group_size else 1)
    if part.shape != expected:
        raise SystemExit(f"scales or zero points have shape {part.shape}, expected {expected}")
    return np.repeat(part, shape[1] // part.shape[1], axis=1)

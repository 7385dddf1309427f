"""Damages an export in one way, to see that the checks fail.

Usage: damage.py list KIND, damage.py DAMAGE OUT
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np

KINDS = {
    "float": ["half"],
    "decoder": ["weight_scale", "transposed_scale", "weight_packed", "weight_zero_point", "bits"],
    "encoder": ["weight_scale", "weight", "weight_zero_point", "input_scale", "input_zero_point", "inputs"],
    "gguf": ["blocks", "end", "template", "vocabulary"],
}
TYPES = {"F32": np.float32, "I32": np.int32, "I8": np.int8, "I16": np.int16, "F16": np.float16}


def main():
    if sys.argv[1] == "list":
        print("\n".join(KINDS[sys.argv[2]]))
        return
    damage, out = sys.argv[1], Path(sys.argv[2])
    if (out / "model/model.gguf").exists():
        gguf(damage, out / "model/model.gguf")
    elif damage == "half":
        change(out / "model-2/model.safetensors", "q_proj.weight", lambda it: it.ravel()[:1].__imul__(1.01))
    elif damage in ("bits", "inputs"):
        config(damage, out / "model/config.json")
    else:
        name = "weight_scale" if damage == "transposed_scale" else damage
        change(out / "model/model.safetensors", f".{name}", CHANGES[damage])


def swap(numbers):
    numbers[[0, 1]] = numbers[[1, 0]]


def transpose(numbers):
    numbers[:] = np.ascontiguousarray(numbers.T).reshape(numbers.shape)


def shift(words):
    words[:] = np.roll(words, 1)


def add(amount):
    def change(numbers):
        numbers[0] += amount

    return change


CHANGES = {
    "weight_scale": lambda scales: swap(scales.ravel()),
    "transposed_scale": transpose,
    "weight_packed": lambda words: shift(words[0]),
    "weight": lambda integers: shift(integers[0]),
    "weight_zero_point": lambda words: add(1)(words.ravel()),
    "input_scale": lambda scale: scale.__imul__(1.02),
    "input_zero_point": add(20),
}


def change(path, ending, how):
    """Changes the first tensor with a name that ends so."""
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
    name = next((name for name in sorted(header) if name.endswith(ending)), None)
    if name is None:
        sys.exit(f"nothing to damage: no tensor `*{ending}`")
    entry = header[name]
    start = 8 + length + entry["data_offsets"][0]
    how(np.memmap(path, TYPES[entry["dtype"]], "r+", start, tuple(entry["shape"])))


def config(damage, path):
    """Settings that are others than those of the weights."""
    text = json.loads(path.read_text())
    for group in text["quantization_config"]["config_groups"].values():
        if damage == "inputs":
            group["input_activations"] = None
        else:
            group["weights"]["symmetric"] = True
    path.write_text(json.dumps(text))


def gguf(damage, path):
    data = bytearray(path.read_bytes())
    if damage == "blocks":
        first, second = len(data) // 3 // 4096 * 4096, len(data) * 2 // 3 // 4096 * 4096
        size = 1 << 18
        data[first : first + size], data[second : second + size] = (
            data[second : second + size],
            data[first : first + size],
        )
    elif damage == "end":
        # A key, its type, its value.
        data[data.index(b"tokenizer.ggml.eos_token_id") + 27 + 4] ^= 1
    elif damage == "template":
        place = data.index(b"chat_template") + 13 + 4 + 8
        data[data.index(b"im_start", place)] ^= 1
    else:
        words = data.index(b"tokenizer.ggml.tokens")
        one, other = (data.index(word, words) for word in (b"whale", b"Paris"))
        data[one : one + 5], data[other : other + 5] = b"Paris", b"whale"
    path.write_bytes(data)


if __name__ == "__main__":
    main()

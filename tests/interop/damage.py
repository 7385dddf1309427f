"""Damages an export in one way, to see that the checks fail.

Usage: damage.py list OUT, damage.py DAMAGE OUT
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np

GGUF = ["blocks", "begin", "end", "pre", "template"]
TYPES = {
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
}


def main():
    damage, out = sys.argv[1], Path(sys.argv[2])
    if damage == "list":
        print("\n".join(possible(out)))
    elif damage in GGUF:
        gguf(damage, out / "model/model.gguf")
    elif damage == "half":
        change(out / "model-2/model.safetensors", "q_proj.weight", lambda it: it.reshape(-1)[:1].__imul__(1.01))
    elif damage == "neurons":
        change(out / "model/model.safetensors", ("mlp.up_proj.weight", "intermediate.dense.weight"), shift)
    elif damage == "untold":
        report = json.loads((out / "report.json").read_text())
        (out / "report.json").write_text(json.dumps({**report, "notes": []}))
    elif damage == "inputs":
        config(out / "model/config.json")
    else:
        name = "weight_scale" if damage == "transposed_scale" else damage
        change(out / "model/model.safetensors", f".{name}", CHANGES[damage])


def possible(out):
    """What can be damaged in these exports."""
    if (out / "model/model.gguf").exists():
        return GGUF
    if "transformers cannot open" in (out / "report.json").read_text():
        return ["untold"]
    if "quantization_config" not in config_of(out):
        return ["half"] if (out / "model-2").exists() else ["neurons"]
    header, _ = opened(out / "model/model.safetensors")
    shapes = {name.rpartition(".")[2]: entry for name, entry in header.items() if name != "__metadata__"}
    found = [name for name in CHANGES if name in shapes]
    if "weight_packed" in found or "bitmask" in found:
        found.remove("weight")
    grouped = [entry["shape"][-1] for name, entry in header.items() if name.endswith("weight_scale")]
    found += ["transposed_scale"] * (min(grouped, default=1) > 1)
    return found + ["inputs"] * ("input_activations\": {" in config_of(out))


def config_of(out):
    return (out / "model/config.json").read_text()


def opened(path):
    """The header of a file of safetensors, and where its tensors begin."""
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        return json.loads(file.read(length)), 8 + length


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
    "weight_scale": lambda scales: swap(scales.reshape(-1)),
    "transposed_scale": transpose,
    "weight_packed": lambda words: shift(words[0]),
    "weight": lambda integers: shift(integers[0]),
    "weight_zero_point": lambda words: add(1)(words.reshape(-1)),
    "compressed": lambda numbers: swap(numbers.reshape(-1)),
    "bitmask": shift,
    "row_offsets": add(1),
    "input_scale": lambda scale: scale.__imul__(1.02),
    "input_zero_point": add(20),
}


def change(path, ending, how):
    """Changes the first tensor with a name that ends so, of integers where there are such."""
    header, begin = opened(path)
    names = sorted(name for name in header if name.endswith(ending))
    name = min(names, key=lambda name: header[name]["dtype"] != "I8")
    entry = header[name]
    how(np.memmap(path, TYPES[entry["dtype"]], "r+", begin + entry["data_offsets"][0], tuple(entry["shape"])))


def config(path):
    """Inputs are no longer rounded."""
    text = json.loads(path.read_text())
    for group in text["quantization_config"]["config_groups"].values():
        group["input_activations"] = None
    path.write_text(json.dumps(text))


def flip(value):
    value[0] ^= 1


def other_splitting(value):
    value[8 : 8 + len(b"smollm")] = b"falcon"


METADATA = {
    "begin": (b"tokenizer.ggml.add_bos_token", flip),
    "end": (b"tokenizer.ggml.eos_token_id", flip),
    "pre": (b"tokenizer.ggml.pre", other_splitting),
}


def gguf(damage, path):
    data = bytearray(path.read_bytes())
    if damage == "blocks":
        first, second = len(data) // 3 // 4096 * 4096, len(data) * 2 // 3 // 4096 * 4096
        size = 1 << 18
        data[first : first + size], data[second : second + size] = (
            data[second : second + size],
            data[first : first + size],
        )
    elif damage == "template":
        place = data.index(b"tokenizer.chat_template")
        data[data.index(b"im_start", place)] ^= 1
    else:
        # A key, its type in 4 bytes, its value; of a text its length in 8 bytes comes first.
        key, change = METADATA[damage]
        place = data.index(key) + len(key) + 4
        change(memoryview(data)[place:])
    path.write_bytes(data)


if __name__ == "__main__":
    main()

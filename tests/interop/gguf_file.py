"""The tensors of a GGUF file (version 3), as bytes."""

import mmap
import struct
from math import prod
from pathlib import Path

ALIGNMENT = 32
# struct's letter for each type of metadata.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
# Numbers and bytes of a block: F32, F16, Q4_0, Q8_0, Q6_K.
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 8: (32, 34), 14: (256, 210)}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def numbers(self, form):
        found = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return found

    def text(self):
        (length,) = self.numbers("Q")
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def skip(self, kind):
        if kind == STRING:
            self.text()
        elif kind == ARRAY:
            of, count = self.numbers("IQ")
            for _ in range(count):
                self.skip(of)
        else:
            self.numbers(NUMBERS[kind])


def tensors(path):
    """Type, shape and bytes of each tensor, by its name."""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        reader = Reader(data)
        _magic, _version, count, keys = reader.numbers("4sIQQ")
        for _ in range(keys):
            reader.text()
            reader.skip(*reader.numbers("I"))
        found = {}
        for _ in range(count):
            name, (dimensions,) = reader.text(), reader.numbers("I")
            shape = reader.numbers(f"{dimensions}Q")
            found[name] = (*reader.numbers("IQ"), shape)
        start = -(-reader.at // ALIGNMENT) * ALIGNMENT
        size = {name: prod(shape) // BLOCKS[kind][0] * BLOCKS[kind][1] for name, (kind, _, shape) in found.items()}
        return {
            name: (kind, shape, data[start + offset : start + offset + size[name]])
            for name, (kind, offset, shape) in found.items()
        }

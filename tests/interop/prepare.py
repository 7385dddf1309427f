"""Cuts the texts that recipes read: the beginning of Moby-Dick, the beginning of its last fifth, and some sentences.

Usage: prepare.py ASSETS TO
"""

import csv
import sys
from pathlib import Path

# Tokens have some 4 characters: 2 windows of 512, and less than one more.
TAIL = 4_600
HEAD = 40_000
SENTENCES = 160


def main():
    assets, to = map(Path, sys.argv[1:])
    text = (assets / "smollm2/moby-dick.txt").read_text(encoding="utf-8")
    start = len(text) * 4 // 5
    (to / "head.txt").write_text(text[:HEAD], encoding="utf-8")
    (to / "tail.txt").write_text(text[start : start + TAIL], encoding="utf-8")
    lines = [line for line in text[HEAD:].splitlines() if len(line) > 40]
    with open(to / "sentences.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text"], *([line] for line in lines[:SENTENCES])])


if __name__ == "__main__":
    main()

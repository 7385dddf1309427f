"""Cuts short reviews out of the package's table, positive and negative ones in turn: rows of a column `text`, and for
training of a column `label` too."""

import csv
import pathlib
import sys

table, folder = sys.argv[1:]
csv.field_size_limit(10**9)
with open(table, encoding="utf-8", newline="") as file:
    rows = [row for row in csv.DictReader(file) if row["source"] == "rotten_tomatoes"]
positive, negative = ([row["text"] for row in rows if row["label"] == label] for label in ("1", "0"))
parts = {"evaluate.csv": slice(0, 128), "calibrate.csv": slice(2000, 2032), "train.csv": slice(128, 2000)}
for name, part in parts.items():
    labelled = name == "train.csv"
    with open(pathlib.Path(folder) / name, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label"] if labelled else ["text"])
        for pair in zip(positive[part], negative[part]):
            labels = ("positive", "negative")
            writer.writerows([text, label] if labelled else [text] for text, label in zip(pair, labels))

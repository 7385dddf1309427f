"""Tables without a header to CSV with one: features x0, x1, ... and the class, which the last column holds."""

import csv
import pathlib
import sys

directory, *sources = map(pathlib.Path, sys.argv[1:])
for source in sources:
    with source.open(newline="") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    if source.name == "wine_data.csv":  # A line of counts comes first.
        rows = rows[1:]
    name = source.name.removesuffix(source.suffix).removesuffix("_data")
    with (directory / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f"x{index}" for index in range(len(rows[0]) - 1)] + ["class"])
        writer.writerows(rows)

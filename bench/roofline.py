#!/usr/bin/env python3
"""The roofline of a machine as a picture, and where Kontor's steps stand under it.

    bench/roofline.py SHAPES.json OUT.svg        SHAPES.json: what bench/shapes.py --json printed

To the right: operations a step computes for each byte of weights it reads, which grows with the tokens of the step.
Upwards: operations a second. The roof is the machine's: its memory's speed times the operations a byte, and what it
computes at most in 8-bit integers. Both scales are logarithmic. No library is needed.
"""
import html
import json
import math
import sys

W, H, LEFT, TOP, RIGHT, BOTTOM = 960, 600, 80, 50, 230, 60
COLOURS = ["#0b6e99", "#b3541e", "#3a7d44", "#7b4bb7", "#a3195b", "#5a5a00", "#1f4e79", "#8c2d04", "#00695c"]


class Scale:
    def __init__(self, lo, hi, from_px, to_px):
        self.lo, self.hi = math.floor(math.log10(lo)), math.ceil(math.log10(hi))
        self.from_px, self.to_px = from_px, to_px

    def __call__(self, value):
        part = (math.log10(value) - self.lo) / (self.hi - self.lo)
        return self.from_px + part * (self.to_px - self.from_px)

    def ticks(self):
        return [10.0 ** k for k in range(self.lo, self.hi + 1)]


def label(x, y, words, size=12, anchor="start", colour="#222"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{html.escape(words)}</text>'


def line(x1, y1, x2, y2, colour="#ddd", width=1.0):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def draw(data):
    most = data["machine"]
    read, compute = most["read_bytes_s"], most["int8_ops_s"]
    series = {f"{r['size']} {r['type']}": [row for row in r["rows"] if "gop_s" in row] for r in data["results"]}
    points = [row for rows in series.values() for row in rows]
    x = Scale(min([1.0] + [p["op_byte"] for p in points]), max([compute / read * 3] + [p["op_byte"] for p in points]), LEFT, W - RIGHT)
    y = Scale(min([read] + [p["gop_s"] * 1e9 for p in points]) / 2, compute * 1.5, H - BOTTOM, TOP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" font-family="sans-serif">',
           f'<rect width="{W}" height="{H}" fill="white"/>',
           label(LEFT, 24, f"{data['threads']} threads, {most['cpu']}: reads {read / 1e9:.1f} GB/s, computes {compute / 1e9:.0f} Gop/s (8-bit integers) at most", 15)]
    for t in x.ticks():
        out += [line(x(t), TOP, x(t), H - BOTTOM), label(x(t), H - BOTTOM + 18, f"{t:g}", anchor="middle")]
    for t in y.ticks():
        out += [line(LEFT, y(t), W - RIGHT, y(t)), label(LEFT - 6, y(t) + 4, f"{t / 1e9:g}", anchor="end")]
    out += [label((LEFT + W - RIGHT) / 2, H - 18, "operations for each byte of weights read", 13, "middle"),
            label(LEFT - 60, TOP - 10, "Gop/s", 13)]
    lo, knee, hi = 10.0 ** x.lo, compute / read, 10.0 ** x.hi
    out.append(f'<polyline fill="none" stroke="#222" stroke-width="2" points="{x(lo):.1f},{y(max(lo * read, 10.0 ** y.lo)):.1f} '
               f'{x(knee):.1f},{y(compute):.1f} {x(hi):.1f},{y(compute):.1f}"/>')
    for i, (name, rows) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        out.append(f'<circle cx="{W - RIGHT + 20}" cy="{TOP + 20 * i}" r="5" fill="{colour}"/>')
        out.append(label(W - RIGHT + 32, TOP + 20 * i + 4, name))
        for row in rows:
            px, py = x(row["op_byte"]), y(row["gop_s"] * 1e9)
            roof = min(compute, read * row["op_byte"])
            out.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" fill="{colour}"><title>{html.escape(name)}, {html.escape(row["test"])}: '
                       f'{row["gop_s"] * 1e9 / roof:.0%} of the roof</title></circle>')
            if i == 0:
                out.append(label(px + 7, py + 12, f"{row['test']} {row['gop_s'] * 1e9 / roof:.0%}", 11, colour=colour))
    out.append("</svg>")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as f:
        picture = draw(json.load(f))
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        f.write(picture)

"""How the figures of the documentation are written: small files of few colours."""

# ruff: noqa: INP001, T201  (a part of scripts, which say what they wrote)

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image


def write_png(figure: Figure, target: Path, dpi: float) -> None:
    """Write a figure as PNG with a palette, a third of the size, and say so."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    full = Image.open(stream).convert("RGB")
    # An octree keeps the colours of what is rare, rings and tinted pixels; dithering keeps slopes smooth.
    palette = full.quantize(256, method=Image.Quantize.FASTOCTREE)
    picture = full.quantize(256, palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target, optimize=True)
    print(f"{target}: {picture.width} x {picture.height} px, {target.stat().st_size / 1e3:.0f} kB")

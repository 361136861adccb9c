"""The picture of one frame, for a person who is to label it: an image in grey, or its channels as lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from insitu.types import Frame

INK = "#222222"
MOST_LINES = 8
"""Channels that are drawn; more would hide each other."""


def draw(frame: Frame, title: str, output: Path) -> None:
    """Draw a frame into `output`; the suffix tells the format."""
    figure = Figure(figsize=(7, 4.5), dpi=110, layout="constrained")
    axes = figure.subplots()
    data = np.real(frame.data)
    if frame.dims[0] == "channel" or data.ndim == 1:
        rows = data.reshape(-1, data.shape[-1])
        dim = frame.dims[-1]
        axis = frame.axes.get(dim)
        x, unit = (np.arange(data.shape[-1]), "") if axis is None else axis
        names = frame.labels.get("channels", "").split() or [str(i) for i in range(len(rows))]
        units = frame.unit if isinstance(frame.unit, tuple) else (frame.unit,) * len(rows)
        for name, row in list(zip(names, rows, strict=False))[:MOST_LINES]:
            axes.plot(x, row, lw=0.8, label=name)
        axes.set_xlabel(f"{dim} ({unit})" if unit else dim, color=INK)
        axes.set_ylabel(units[0] if len(set(units)) == 1 else "", color=INK)
        if len(rows) > 1:
            axes.legend(fontsize=8, frameon=False)
    else:
        picture = data if data.ndim == 2 else data[..., 0] if frame.dims[-1] in ("c", "channel") else data[0]
        low, high = np.quantile(picture, (0.005, 0.995))
        axes.imshow(picture, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axes.set_xlabel("x (px)", color=INK)
        axes.set_ylabel("y (px)", color=INK)
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.tick_params(colors=INK, labelsize=8)
    figure.savefig(output)

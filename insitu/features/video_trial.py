"""Small pictures on which extractors of video try themselves when they are made: what is compiled at the first call is
then compiled before a frame waits."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from insitu.types import Frame, References


def warm_up(extract: Callable[[Frame, References, Sequence[Frame]], Any]) -> None:
    """Calls an extractor with pictures of 8 and of 16 bits as cameras give them, read-only, the one before included."""
    y, x = np.mgrid[:64, :64]
    scene = 100 + 50 * np.sin(x / 5) * np.cos(y / 4)
    for kind in (np.uint8, np.uint16):
        data = scene.astype(kind)
        data.flags.writeable = False
        frame = Frame(source="trial", data=data, dims=("y", "x"), unit="counts", time_ns=0, seq=0, n=0)
        extract(frame, {}, (frame,))

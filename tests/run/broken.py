"""Roles that fail on purpose."""

import numpy as np

from insitu.types import Arrival, Feature, Invalid, Output


class Broken:
    """Fails at every second frame."""

    def __init__(self) -> None:
        self.outputs = {"luck": Output(unit="")}

    def __call__(self, frame, refs, before):
        if frame.seq % 2:
            raise RuntimeError("bad luck")
        return {"luck": Feature(1.0, "")}


def arrival(k):
    return Arrival(
        source="det", data=np.full(16, k, "u2"), dims=("x",), unit="counts", time_ns=10**18 + k, source_seq=k
    )


class FailingReader:
    """Seven frames, then an error that no one foresaw."""

    def __call__(self):
        for k in range(7):
            yield arrival(k)
        raise RuntimeError("the cable fell out")


class SometimesInvalid:
    """Every third thing is no frame."""

    def __call__(self):
        for k in range(9):
            if k % 3 == 2:
                yield Invalid(
                    source="det", reason="line 3: not a number", payload=b"junk %d" % k, name=f"f{k}", source_seq=k
                )
            else:
                yield arrival(k)


class Growing:
    """Frames of two sizes."""

    def __call__(self):
        for k in range(4):
            yield Arrival(
                source="det",
                data=np.zeros(8 if k < 2 else 12),
                dims=("x",),
                unit="counts",
                time_ns=10**18 + k,
                source_seq=k,
            )

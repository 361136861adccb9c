"""A window on which the extractor of Barkhausen noise tries itself when it is made: what is compiled at the first call
is then compiled before a frame waits."""

import numpy as np

from insitu.types import Feature, Frame

SAMPLES = 1 << 14
RATE = 1e6


def trial(
    band: tuple[float | None, float | None],
    unit: str,
    field_unit: str,
    named: tuple[str, str],
    saturation: float | None,
) -> Frame:
    """Two periods of a triangular field with noise about its zeros, at a rate at which the band can be filtered out.

    `named`: the channels of the recipe, "" where it names none.
    """
    rng = np.random.default_rng(0)
    phase = np.arange(SAMPLES) * (2.0 / SAMPLES)
    field = 4.0 * np.abs(phase % 1.0 - 0.5) - 1.0
    noise = rng.standard_normal(SAMPLES) * (0.01 + np.exp(-((field / 0.3) ** 2)))
    size = 0.01 if saturation is None else 0.01 * saturation
    names = tuple(name or other for name, other in zip(named, ("noise", "field"), strict=True))
    return Frame(
        source="trial",
        data=np.stack([size * noise, 1000.0 * field]),
        dims=("channel", "sample"),
        unit=(unit, field_unit),
        labels={"channels": " ".join(names)},
        context={"sample_rate": Feature(max(RATE, *(10.0 * (end or 0.0) for end in band)), "Hz")},
        time_ns=0,
        seq=0,
        n=0,
    )

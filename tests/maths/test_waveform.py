"""Channels of a waveform frame: by name, without what is masked, each at its rate."""

import numpy as np
import pytest

from insitu.maths.waveform import names, wave
from insitu.types import Feature, Frame


def frame(data: np.ndarray, **more) -> Frame:
    dims = ("sample",) if data.ndim == 1 else ("channel", "sample")
    return Frame(source="daq", data=data, dims=dims, time_ns=0, seq=0, n=0, **{"unit": "V", **more})


def test_channels_of_different_rates_end_where_their_values_do() -> None:
    mask = np.array([[False] * 4, [False, False, True, True]])
    rates = {"sample_rate": Feature(100.0, "Hz"), "rate_flow": Feature(50.0, "Hz")}
    two = frame(np.arange(8.0).reshape(2, 4), mask=mask, unit=("V", "l/min"), context=rates,
                labels={"channels": "press flow"})  # fmt: skip
    assert names(two) == ("press", "flow")
    flow = wave(two, "flow")
    assert flow.values.tolist() == [4.0, 5.0]
    assert (flow.unit, flow.rate) == ("l/min", 50.0)
    assert wave(two).rate == 100.0


def test_a_channel_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="no channel 'h': there are c1"):
        wave(frame(np.zeros(3, "i2")), "h")


def test_without_a_rate_there_is_none_and_numbers_are_float64() -> None:
    one = wave(frame(np.zeros(3, "i2")))
    assert one.rate is None
    assert one.values.dtype == np.float64

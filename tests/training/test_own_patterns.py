"""A score for a sample of one's own, on a real series; and what patterns must have in common for one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import UsageError
from insitu.models.preparing import preparation
from insitu.training import whitening
from insitu.training.own_patterns import common
from insitu.training.xrd_anomaly import PARAMS
from insitu.types import Frame
from tests import patterns


def test_patterns_of_a_good_run_make_a_score_that_finds_what_is_not_of_it(data: Path) -> None:
    """Real: the chromite from 7 to 289 K. Every fifth pattern is not learnt from; a zero shift of 0.02 deg, another
    sample and half of the lines gone are further off than any of these. (Its lines are 0.005 deg wide, and move by
    0.012 deg.)"""
    frames = list(patterns.copper_chromite(data).values())
    prepare = preparation("pattern", common(frames, PARAMS))

    def row(frame) -> np.ndarray:
        x = prepare(frame).input
        assert x is not None
        return x[None]

    rows, held = np.concatenate([row(f) for f in frames]), np.arange(17) % 5 == 2
    assert len(rows) == 17
    made = whitening.patterns([rows[~held]])
    level = made(rows[held]).max()
    frame = patterns.copper_chromite(data)[156.9]
    axis = frame.axes["two_theta"]
    shifted = replace(frame, axes={"two_theta": axis._replace(values=axis.values + 0.02)})
    weak = np.where(axis.values > 13.0, np.minimum(frame.data, np.median(frame.data)), frame.data)
    _, other = patterns.fxye(data / "xrd" / "ref_jadarite_11bm" / "11bmb_6231.fxye", 0.413529)
    for bad in (shifted, replace(frame, data=weak), other):
        assert made(row(bad))[0] > level


def test_patterns_that_have_no_range_in_common_make_none(data: Path) -> None:
    frame = patterns.copper_chromite(data)[156.9]
    axis = frame.axes["two_theta"]
    n = axis.values.size // 2

    def part(some: slice) -> Frame:
        x = {"two_theta": axis._replace(values=axis.values[some])}
        return replace(frame, data=frame.data[some], sigma=None, mask=None, axes=x)

    with pytest.raises(UsageError, match="0 points of the patterns are where all runs have some"):
        common([part(slice(None, n)), part(slice(n, None))], PARAMS)

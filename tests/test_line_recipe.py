"""The recipe `line`, unedited: planted faults are found, and a clean line is left in peace."""

from dataclasses import fields
from typing import Any

import pytest

from insitu.config import load
from insitu.readers.simulated_line import Line
from insitu.types import Frame, Record


def records(frames: int, **keys: Any) -> list[Record]:
    """What the recipe says of simulated cycles."""
    pipeline, reader = load("line", inputs="unused").pipeline(), Line(**keys)
    told = []
    for i in range(frames):
        arrival = reader.arrival(i)
        told.append(pipeline.step(Frame(seq=i, n=i, **{f.name: getattr(arrival, f.name) for f in fields(arrival)})))
    assert not any(record.measurement.faults for record in told)
    return told


def alarms(told: list[Record]) -> list[int]:
    return [i for i, r in enumerate(told) if any(v.label not in ("normal",) for v in r.verdicts.values())]


@pytest.mark.parametrize(
    ("fault", "within", "says"),
    [
        ("bearing_wear@250", 3, "vibration"),
        ("leak@250", 20, "pressure"),
        ("stuck@250", 3, "pressure"),
        ("dropout@250-260", 1, "missing"),
        ("drift@250", 150, "temperature"),
    ],
)
@pytest.mark.parametrize("seed", [5, 6])
def test_every_planted_fault_is_found_and_said(fault: str, within: int, says: str, seed: int) -> None:
    told = records(260 + within, seed=seed, faults=[fault])
    found = alarms(told)
    assert found
    assert 250 <= found[0] < 250 + within
    assert says in " ".join(v.reason for v in told[found[0]].verdicts.values() if v.label != "normal")


def test_two_thousand_clean_cycles_raise_no_alarm() -> None:
    told = records(2000, seed=7)
    assert alarms(told) == []
    assert all(record.decision.action == 0 for record in told)

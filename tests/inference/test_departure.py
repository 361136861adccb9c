"""Model `departure`: real and artificial series with known answers, and what it promises on any stream."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.channels import Channels
from insitu.inference.departure import Departure
from insitu.readers.line import Line
from insitu.types import Arrival, Feature, Frame, Measurement, Verdict

MINUTE = 60_000_000_000
ALARMS = ("anomaly", "change")


def seen(value: float | None, n: int, step_ns: int = 0, **labels: str) -> Measurement:
    feature = Feature(value, "") if value is not None else Feature(None, "", why="gone")
    return Measurement(source="line", seq=n, n=n, time_ns=n * step_ns, features={"c1_mean": feature}, labels=labels)


def judged(path: Path, channels: list[str] | None = None) -> list[tuple[Arrival, Verdict]]:
    """What the models of recipe `line` say of a file."""
    model = Departure(features=["*_mean", "*_std", "*_rough"], factors=["*_std", "*_rough"])
    measure, found = Channels(channels=channels, n_channels=1), []
    for i, item in enumerate(a for a in Line(str(path))() if isinstance(a, Arrival)):
        frame = Frame(seq=i, n=i, **{f.name: getattr(item, f.name) for f in dataclasses.fields(item)})
        features = measure(frame, {}, ())
        told = model(
            Measurement(source="line", seq=i, n=i, time_ns=item.time_ns, features=features, labels=item.labels)
        )
        assert told is not None
        found.append((item, told))
    return found


def alarms(told: list[tuple[Arrival, Verdict]], apart: int = 12) -> list[tuple[int, int]]:
    """First and last frame of every alarm; a pause of less than an hour does not end one."""
    at = [i for i, (_, verdict) in enumerate(told) if verdict.label in ALARMS]
    starts = [i for k, i in enumerate(at) if k == 0 or i - at[k - 1] > apart]
    ends = [i for k, i in enumerate(at) if k + 1 == len(at) or at[k + 1] - i > apart]
    return list(zip(starts, ends, strict=True))


def windows(data: Path, name: str) -> list[tuple[int, int]]:
    """The labelled windows of a series, ns."""
    told = json.loads((data / "line" / "nab" / "labels.json").read_text())[name]["anomaly_windows"]
    return [tuple(round(datetime.fromisoformat(t).replace(tzinfo=UTC).timestamp()) * 10**9 for t in w) for w in told]  # type: ignore[misc]


@pytest.mark.parametrize(
    "name", ["machine_temperature_system_failure", "art_daily_jumpsup", "art_daily_flatmiddle", "art_daily_small_noise"]
)
def test_every_labelled_window_is_alarmed_with_at_most_one_false_alarm_a_week(name: str, data: Path) -> None:
    told = judged(data / "line" / "nab" / f"{name}.csv")
    known, times = windows(data, f"{name}.csv"), [a.time_ns for a, _ in told]
    spans = [(times[i], times[k]) for i, k in alarms(told)]
    hit = [any(first <= high and last >= low for first, last in spans) for low, high in known]
    assert all(hit)
    false = [s for s in spans if not any(s[0] <= high and s[1] >= low for low, high in known)]
    assert len(false) <= (times[-1] - times[0]) / (7 * 24 * 60 * MINUTE)


def test_the_cooler_of_the_rig_is_found_within_three_cycles_and_not_before(data: Path) -> None:
    """Cooler 3 % to 20 % at cycle 732 (profile of the data); the blocks before are cycles 600 to 649, 700 to 731."""
    told = judged(data / "line" / "hydraulic_dev.npz", ["ce", "cp", "ts1", "ts2", "ts3", "ts4", "fs2"])
    alarmed = [a.source_seq or 0 for a, v in told if v.label in ALARMS and 600 <= (a.source_seq or 0) < 750]
    assert alarmed
    assert 732 <= alarmed[0] <= 735


def test_a_reason_names_the_channel_the_numbers_and_what_was_normal() -> None:
    model, rng = Departure(features=["*_mean"]), np.random.default_rng(0)
    for n in range(300):
        told = model(seen(20.0 + rng.normal(), n, MINUTE // 60, channels="pressure"))
        assert told is not None
        assert told.label == "normal"
    told = model(seen(60.0, 300, MINUTE // 60, channels="pressure"))
    assert told is not None
    assert told.label == "change"
    assert told.reason.startswith("c1_mean (pressure) jumped from 2")
    assert "to 60" in told.reason


def test_numbers_that_are_not_known_are_not_learnt() -> None:
    model = Departure(features=["c1_mean"])
    assert model(seen(None, 0)).label == "unknown"  # type: ignore[union-attr]
    assert model(Measurement(source="other", seq=0, n=0, time_ns=0)) is None
    rng = np.random.default_rng(1)
    plain, holed = Departure(features=["c1_mean"]), Departure(features=["c1_mean"])
    values = rng.normal(size=200)
    expected = [plain(seen(v, i)).score for i, v in enumerate(values)]  # type: ignore[union-attr]
    got = []
    for i, v in enumerate(values):
        holed(seen(None, i))
        got.append(holed(seen(v, i)).score)  # type: ignore[union-attr]
    assert got == expected


def test_the_same_stream_gives_the_same_verdicts() -> None:
    values = np.random.default_rng(2).standard_t(2, 800)
    first, second = Departure(features=["*"]), Departure(features=["*"])
    assert [first(seen(v, i)) for i, v in enumerate(values)] == [second(seen(v, i)) for i, v in enumerate(values)]


@pytest.mark.parametrize(
    "keys", [{"features": []}, {"learn": 3}, {"jump": 0.5}, {"false_alarms": 0.0}, {"memory": 10**6}, {"hold": 0}]
)
def test_impossible_settings_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Departure(**{"features": ["*"], **keys})  # type: ignore[arg-type]


def test_a_pattern_without_a_feature_is_refused_where_the_keys_are_known() -> None:
    with pytest.raises(ConfigError, match="no feature is like"):
        Departure(features=["*_maen"], units={"c1_mean": ""})

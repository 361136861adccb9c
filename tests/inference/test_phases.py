import pytest

from insitu.errors import ConfigError
from insitu.inference.phases import Phases
from insitu.types import Feature, Measurement

UNITS = {"phase_unexplained": "", "phase_ceo2_share": "", "phase_si_share": ""}


def seen(ceo2: float, si: float, unexplained: float | None = 0.03, source: str = "det") -> Measurement:
    left = Feature(unexplained) if unexplained is not None else Feature(None, "", why="no peak above 5 sigma")
    features = {"phase_unexplained": left, "phase_ceo2_share": Feature(ceo2), "phase_si_share": Feature(si)}
    return Measurement(source=source, seq=0, n=0, time_ns=0, features=features)


@pytest.mark.parametrize(
    ("keys", "measured", "label", "says"),
    [
        ({}, seen(1.0, 0.0), "normal", "ceo2; 3 % of the peaks is not explained"),
        ({}, seen(0.25, 0.75), "normal", "si (75 % of the intensity), ceo2 (25 % of the intensity)"),
        ({}, seen(1.0, 0.0, 0.4), "unknown", "40 % of the peaks is not explained: beside ceo2 there is something"),
        ({}, seen(0.0, 0.0, 1.0), "unknown", "none of the candidate phases is found"),
        ({}, seen(0.0, 0.0, None), "unknown", "no peak above 5 sigma"),
        ({"expected": ["ceo2"]}, seen(1.0, 0.0), "normal", "ceo2"),
        ({"expected": ["si"]}, seen(1.0, 0.0), "anomaly", "si not found; ceo2 (100 % of the intensity) not expected"),
        ({"expected": ["ceo2"]}, seen(0.997, 0.003), "normal", "ceo2"),
    ],
)
def test_phases_are_told_in_words(keys: dict, measured: Measurement, label: str, says: str) -> None:
    verdict = Phases(units=UNITS, **keys)(measured)
    assert verdict is not None
    assert verdict.label == label
    assert says in verdict.reason


def test_frames_of_other_sources_are_passed_over() -> None:
    assert Phases(source="det")(seen(1.0, 0.0, source="other")) is None
    assert Phases()(Measurement(source="det", seq=0, n=0, time_ns=0)) is None


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"phases": "sample"}, "is named 'sample'"),
        ({"expected": ["quartz"]}, "'quartz' is no candidate"),
        ({"unexplained": 0.0}, "is no part"),
        ({"smallest": 1.0}, "is no part"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(keys: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Phases(units=UNITS, **keys)

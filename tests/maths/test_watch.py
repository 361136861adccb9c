"""Finding one number in a measurement, bounds in its unit, and numbers for people."""

import pytest

from insitu.errors import ConfigError, UnitError
from insitu.maths.watch import InUnit, Watch, contrast, in_unit, ordered, quantity
from insitu.types import Feature, Measurement
from insitu.units import convert


def seen(source="det", features=None, context=None, complete=True):
    return Measurement(
        source=source, seq=0, n=0, time_ns=0, features=features or {}, context=context or {}, complete=complete
    )


def test_a_feature_comes_before_a_context_value_of_the_same_name():
    both = seen(features={"temperature": Feature(1.0, "K")}, context={"temperature": Feature(2.0, "K")})
    assert Watch("temperature", None, None)(both) == Feature(1.0, "K")
    assert Watch("context.temperature", None, None)(both) == Feature(2.0, "K")


def test_an_unknown_feature_is_refused_with_the_nearest_match():
    with pytest.raises(ConfigError) as caught:
        Watch("peak1_postion", None, {"peak1_position": "deg", "total": "counts"})
    assert "Did you mean 'peak1_position'?" in str(caught.value)
    assert "peak1_position, total" in str(caught.value)


def test_a_context_value_that_is_not_known_beforehand_needs_its_prefix():
    with pytest.raises(ConfigError, match=r"'context\.temperature'"):
        Watch("temperature", None, {"total": "counts"})
    assert Watch("context.temperature", None, {"total": "counts"}).unit is None


def test_another_source_and_a_provisional_frame_are_not_watched():
    watch = Watch("total", "det", None)
    total = {"total": Feature(5, "counts")}
    assert watch(seen("other", total)) is None
    assert watch(seen("det", total, complete=False)) is None
    assert watch(seen("det", total)) == Feature(5, "counts")


def test_a_number_that_a_source_stops_giving_is_a_feature_without_value():
    watch = Watch("temperature", None, None)
    assert watch(seen("det")) is None
    assert watch(seen("det", context={"temperature": Feature(300.0, "K")})) is not None
    gone = watch(seen("det"))
    assert gone is not None
    assert gone.value is None
    assert gone.why == "the frame carries no temperature"
    assert watch(seen("camera")) is None


def test_a_number_too_large_to_be_squared_is_not_believed():
    found = Watch("total", None, None)(seen(features={"total": Feature(1e200, "counts")}))
    assert found is not None
    assert found.value is None


def test_bounds_are_converted_and_differences_of_temperatures_have_no_offset():
    assert InUnit(Feature(25.0, "degC"), "high", convert)("K") == pytest.approx(298.15)
    assert InUnit(Feature(2.0, "degC"), "hysteresis", convert, difference=True)("K") == pytest.approx(2.0)


def test_a_bound_in_a_foreign_unit_or_without_one_is_refused_with_its_key():
    with pytest.raises(UnitError, match=r"^low: "):
        in_unit(Feature(5.0, "K"), "low", convert, "deg")
    with pytest.raises(UnitError, match=r'^high: 5 has no unit.*"5 deg"'):
        in_unit(Feature(5.0), "high", convert, "deg")


def test_low_above_high_is_refused_across_units():
    with pytest.raises(ConfigError, match=r"low 500 ms is not below high 0\.1 s"):
        ordered(InUnit(Feature(500.0, "ms"), "low", convert), InUnit(Feature(0.1, "s"), "high", convert))


@pytest.mark.parametrize(
    ("value", "bound", "said"),
    [
        (28.91, 28.7, ("28.91 deg", "28.7 deg")),
        (28.7 + 1e-12, 28.7, ("28.700000000001 deg", "28.7 deg")),
        (1234567.5, 1234567.0, ("1234568 deg", "1234567 deg")),
        (1e-9, 0.0, ("1e-09 deg", "0 deg")),
    ],
)
def test_a_value_and_its_bound_are_told_apart(value, bound, said):
    assert contrast(value, bound, "deg") == said


def test_large_counts_are_written_out():
    assert quantity(1204311.0, "counts") == "1204311 counts"

"""Waveforms as text: heads of many recorders, columns of times, and rows that are none."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insitu.errors import FormatError
from insitu.readers.pattern import Truncated
from insitu.readers.waveforms import Waveforms
from insitu.testing import items
from insitu.types import Arrival, Feature, Invalid


def read(tmp_path, text: str | bytes, **keys) -> Arrival:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    (frame,) = items(Waveforms(str(path), **keys))
    assert isinstance(frame, Arrival)
    return frame


def rows(n: int = 50, step: float = 1e-3, form: str = "{t:.6f},{i},{j}\n") -> str:
    return "".join(form.format(t=i * step, i=i, j=-0.5 * i) for i in range(n))


def rate(frame: Arrival) -> float | None:
    told = frame.context.get("sample_rate")
    return None if told is None else told.value


HEADS = {
    "titles": ("Time (s),Coil B (V),Current [mA]\n", ["coil_b", "current"], ("V", "mA"), 1000.0),
    "units in a line": ("Time,Channel A,Channel B\n(ms),(mV),(V)\n\n", ["channel_a", "channel_b"], ("mV", "V"), 1e6),
    "oscilloscope": (
        "Model,MSO4\nRecord Length,50\nSample Interval,1e-3\nVertical Units,V\n,\nTIME,CH1,CH2\n",
        ["ch1", "ch2"],
        "arb",
        1000.0,
    ),
    "comments": ("# rig 7\n# fs = 1 kHz\n# t h m\n", ["h", "m"], "arb", 1000.0),
    "microseconds": ("t [us],a,b\n", ["a", "b"], "arb", 1e9),
    "nothing": ("", ["c1", "c2"], "arb", 1000.0),
    "words as units": ("x-axis,1,2\nsecond,Volt,Ampere\n", ["c_1", "c_2"], ("V", "A"), 1000.0),
    "source above units": ("Source,CH1,CH2\nSecond,Volt,Volt\n", ["ch1", "ch2"], "V", 1000.0),
    "units among the settings": ("Vertical Units,V,A,\nLabel,,\nTIME,CH1,CH2\n", ["ch1", "ch2"], ("V", "A"), 1000.0),
    "byte-order mark": ("\ufefftime,a,b\n", ["a", "b"], "arb", 1000.0),
}


@pytest.mark.parametrize("head", HEADS)
def test_titles_units_and_rate_are_found_in_the_head(tmp_path, head):
    text, names, unit, hertz = HEADS[head]
    frame = read(tmp_path, text + rows())
    assert frame.labels["channels"].split() == names
    assert frame.unit == unit
    assert rate(frame) == hertz
    np.testing.assert_array_equal(frame.data, [np.arange(50), -0.5 * np.arange(50)])


@pytest.mark.parametrize(
    "form", ["{t:.6f}\t{i}\t{j}\n", "{t:.6f};{i};{j}\r\n", "{t:.6e} {i}  {j}\n", "{t:.6f},{i},{j},\n"]
)
def test_columns_may_be_separated_by_anything(tmp_path, form):
    frame = read(tmp_path, rows(form=form))
    assert (frame.data.shape, rate(frame)) == ((2, 50), 1000.0)


def test_settings_to_the_right_of_titles_and_units_are_taken(tmp_path):
    head = "X,CH1,CH2,Start,Increment,\nSequence,Volt,Volt,-1.0e-02,1.0e-06\n"
    frame = read(tmp_path, head + "".join(f"{i},{i}.5,{-i},,\n" for i in range(50)))
    assert (frame.labels["channels"], frame.unit, rate(frame)) == ("ch1 ch2", "V", 1e6)
    np.testing.assert_array_equal(frame.data[1], -np.arange(50.0))


@pytest.mark.parametrize("time", ["{t:.6f}\t", "\t"])
def test_labview_s_columns_have_their_names_and_units(tmp_path, time):
    head = "LabVIEW Measurement\t\n***End_of_Header***\t\n\t\nChannels\t2\t\n"
    head += "Y_Unit_Label\tVolts\tAmps\nDelta_X\t1.0E-3\t1.0E-3\n"
    head += "***End_of_Header***\t\t\nX_Value\tVoltage\tCurrent\tComment\n"
    frame = read(tmp_path, head + rows(form=time + "{i}\t{j}\n"))
    assert (frame.labels["channels"], frame.unit, rate(frame)) == ("voltage current", ("V", "A"), 1000.0)


def test_settings_beside_the_rows_are_named_with_the_remedy(tmp_path):
    text = "".join(f"{'Record Length,2.5e3,' if i == 0 else ',,'},{i / 1000},{i},\n" for i in range(50))
    with pytest.raises(FormatError, match=r"stand beside the rows.*cut -d, -f4,5"):
        read(tmp_path, text)


def test_decimal_commas_are_read_where_the_separator_is_another(tmp_path):
    frame = read(tmp_path, "Zeit;Kanal 1;Kanal 2\ns;V;A\n" + rows(form="{t:.4f};{i};{j}\n").replace(".", ","))
    assert (frame.labels["channels"], frame.unit, rate(frame)) == ("kanal_1 kanal_2", ("V", "A"), 1000.0)
    np.testing.assert_array_equal(frame.data[1], -0.5 * np.arange(50))


def test_old_line_ends_are_read(tmp_path):
    assert read(tmp_path, "time,a,b\n".replace("\n", "\r") + rows().replace("\n", "\r")).data.shape == (2, 50)


def test_dates_become_start_and_rate(tmp_path):
    text = "".join(f"2024-05-01 10:00:{i / 50:06.3f},{i}\n" for i in range(100))
    frame = read(tmp_path, "timestamp,force (N)\n" + text, timezone="Europe/Berlin")
    assert (rate(frame), frame.unit, frame.clock) == (50.0, "N", "header")
    assert frame.time_ns == 1714550400_000000000  # 08:00 UTC


def test_seconds_since_1970_tell_the_start(tmp_path):
    frame = read(tmp_path, "timestamp,a\n" + "".join(f"{1714550400 + i / 10:.1f},{i}\n" for i in range(30)))
    assert (rate(frame), frame.time_ns, frame.clock) == (10.0, 1714550400_000000000, "header")


def test_a_column_of_sample_numbers_is_left_out(tmp_path):
    assert read(tmp_path, "index,a\n" + rows(form="{i},{j}\n")).data.shape == (50,)
    frame = read(tmp_path, rows(form="{i},{j}\n"))
    assert (frame.data.shape, rate(frame)) == ((50,), None)
    kept = read(tmp_path, rows(form="{i},{j}\n"), channels={"field": 1, "emf": 2})
    np.testing.assert_array_equal(kept.data[0], np.arange(50))


def test_the_rate_of_the_head_gives_way_to_the_times(tmp_path):
    text = "# sample rate = 500 Hz\ntime,a\n" + rows(form="{t:.6f},{i}\n")
    frame = read(tmp_path, text)
    assert rate(frame) == 1000.0
    assert "the head says 500 Hz" in frame.labels["warning"]
    assert rate(read(tmp_path, text, sample_rate=250.0)) == 250.0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hertz=st.sampled_from([1.0, 10.0, 44100.0, 48000.0, 1e6, 51200.0, 33.25, 100000.0]),
    digits=st.integers(3, 9),
    first=st.floats(-0.5, 0.5),
    n=st.integers(200, 600),
)
def test_the_rate_is_found_through_the_rounding_of_the_times(tmp_path, hertz, digits, first, n):
    times = np.arange(n) / hertz + round(first, 3)
    text = "time,a\n" + "".join(f"{t:.{digits}f},{i}\n" for i, t in enumerate(times))
    if len({f"{t:.{digits}f}" for t in times}) < 3:
        return
    found = rate(read(tmp_path, text))
    assert found is not None
    span = (n - 1) / hertz
    assert abs(found / hertz - 1) <= 2.2 * 10.0**-digits / span
    if hertz * 10.0**-digits < 0.02:
        assert found == hertz


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("time,a\n" + rows(form="{t:.6f},{i}\n") + "0.052,1\n", 52, "steps by 0.003 s"),
        ("time,a\n" + rows(form="{t:.6f},{i}\n") + "0.049,1\n", 52, "steps by 0 s"),
        ("time,a\n" + rows(form="{t:.6f},{i}\n") + "0.01,1\n", 52, "turns back"),
        ("a,b\n" + rows(form="{i},{j}\n") + "1,two\n2,3\n", 52, "no row of numbers"),
        ("a,b\n" + rows(form="{i},{j}\n") + "1,2,3\n2,3\n", 52, "has 3 cells"),
        ("a,b\n" + rows(form="{i},{j}\n") + "1,\x00\n2,3\n", 52, "zero"),
        ("a,b\n" + rows(form="{i}.5,{j}\n") + "1", 52, "cut"),
        ("no numbers\n" * 3, 4, "no row of numbers"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, text, line, what):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FormatError, match=what) as error:
        items(Waveforms(str(tmp_path / "a.csv")))
    assert error.value.where.endswith(f"a.csv:{line}")
    assert error.value.remedy


def test_a_gap_in_the_times_of_a_long_file_keeps_what_comes_before(tmp_path):
    text = "time,a\n" + "".join(f"{i * 1e-3:.3f},{i}\n" for i in range(200_000) if i != 150_000)
    (tmp_path / "a.csv").write_text(text)
    found = items(Waveforms(str(tmp_path / "a.csv"), window=Feature(10_000)))
    good = np.concatenate([a.data for a in found if isinstance(a, Arrival)])
    np.testing.assert_array_equal(good, np.arange(len(good)))
    assert len(good) > 70_000
    assert isinstance(found[-1], Invalid)
    assert "a.csv:150002" in found[-1].reason
    given = [a for a in items(Waveforms(str(tmp_path / "a.csv"), sample_rate=1000.0)) if isinstance(a, Arrival)]
    assert given[0].data.shape == (199_999,)


def test_a_cell_without_a_number_is_told_with_its_line(tmp_path):
    text = "a,b\n" + rows(form="{i},{j}\n") + "7,\n8,nan\n" + rows(form="{i},{j}\n")
    (tmp_path / "a.csv").write_text(text)
    found = items(Waveforms(str(tmp_path / "a.csv"), window=Feature(50)))
    assert [type(a) for a in found] == [Arrival, Invalid, Arrival]
    assert isinstance(found[1], Invalid)
    assert "a.csv:52: sample 50 of channel b is nan" in found[1].reason


def test_a_file_that_was_cut_off_gives_its_rows_and_says_so(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n" + rows(form="{i}.50,{i}.25\n") + "51.5")
    with pytest.raises(Truncated):
        items(Waveforms(str(tmp_path / "a.csv")))
    found = items(Waveforms(str(tmp_path / "a.csv"), window=Feature(20)))
    assert [type(a) for a in found] == [Arrival, Arrival, Arrival, Invalid]
    assert sum(a.data.shape[1] for a in found if isinstance(a, Arrival)) == 50


def test_a_line_without_end_takes_no_memory(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n2,3\n3,4\n" + b"1" * 5_000_000)
    with pytest.raises(FormatError, match="the line has more than"):
        items(Waveforms(str(tmp_path / "a.csv")))

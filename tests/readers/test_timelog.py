"""Logs: EC-Lab text and delimited columns, with the times that they tell."""

import math
from contextlib import suppress
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.errors import FormatError, SourceError
from insitu.readers.header import read_time, zone
from insitu.readers.timelog import TimeLog

EPOCH_2022 = 1_658_867_910  # 2022-07-26 20:38:30 UTC


def log(tmp_path, text, where=UTC, encoding="utf-8", **said):
    path = tmp_path / "log.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    found = TimeLog(path, where, **said)
    found.refresh()
    found.finish()
    return found


def test_ec_lab_text_is_read_whole_with_its_start_and_decimal_commas(data):
    path = next((data / "xafs" / "series_lno_ni_k_operando").glob("*.mpt"))
    found = TimeLog(path, zone("Europe/Paris"))
    found.refresh()
    found.finish()
    assert len(found.times_ns) == 6333
    assert len(found.columns) == 30  # the README's count: 29 names and a tab after the last
    assert found.values["ewe"][:2] == [3.4912014, 3.4912779]
    units = {c.name: c.unit for c in found.columns}
    assert (units["ewe"], units["i"], units["q_qo"], units["efficiency"]) == ("V", "mA", "mA*h", "percent")
    assert units["control_v_ma"] == "", "V or mA, as the line before says: no unit"
    first_spectrum = read_time("2022-07-26 23:01:58.055", zone("Europe/Paris"))
    assert first_spectrum is not None
    assert (first_spectrum[0] - found.times_ns[0]) / 1e9 == pytest.approx(1408, abs=0.5)  # the data's README
    assert not found.skipped


@pytest.mark.parametrize(
    "text",
    [
        "time,T (C)\n2022-07-26T20:38:30,21.5\n2022-07-26T20:38:31.5,22\n",
        "time;T (C)\n2022-07-26 20:38:30;21,5\n2022-07-26 20:38:31,5;22\n",
        "timestamp\tT [C]\n1658867910\t21.5\n1658867911.5\t22\n",
        "# a note\n# another\nepoch T/degC\n1658867910000 21.5\n1658867911500 22\n",
        '\ufeff"Date","T (°C)"\r\n"2022-07-26T22:38:30+02:00",21.5\r\n"2022-07-26T22:38:31.5+02:00",22\r\n',
        "t (s),T (C)\n1658867910000000000,21.5\n1658867911500000000,22",
    ],
)
def test_columns_of_many_writers_say_the_same(tmp_path, text):
    found = log(tmp_path, text)
    assert found.times_ns == [EPOCH_2022 * 10**9, EPOCH_2022 * 10**9 + 1_500_000_000]
    assert found.values["t" if "t" in found.values else "t_c"] == [21.5, 22.0]


def test_seconds_from_a_start_need_the_start(tmp_path):
    text = "time/s,p (mbar)\n0,1\n2,3\n"
    assert log(tmp_path, text, start="2022-07-26T20:38:30").times_ns[1] == (EPOCH_2022 + 2) * 10**9
    found = log(tmp_path, text)
    assert not found.times_ns
    assert "start" in found.skipped[0]


def test_times_of_another_form_are_read_as_said(tmp_path):
    text = "when,p\n26.07.2022 20:38:30,1\n"
    found = log(tmp_path, text, time="when", time_format="%d.%m.%Y %H:%M:%S")
    assert found.times_ns == [EPOCH_2022 * 10**9]


def test_a_log_without_a_time_is_refused_with_its_columns(tmp_path):
    with pytest.raises(FormatError, match="voltage, current"):
        log(tmp_path, "voltage,current\n1,2\n")
    with pytest.raises(FormatError, match="clock"):
        log(tmp_path, "time,current\n1,2\n", time="clock")


def test_a_log_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SourceError, match="nowhere"):
        TimeLog(tmp_path / "nowhere.csv").refresh()


def test_broken_rows_are_passed_over_and_counted(tmp_path):
    found = log(tmp_path, "time,p\n1658867910,1\nrubbish\n1658867900,2\n1658867912,\n1658867913,x\n")
    assert found.times_ns == [(EPOCH_2022 + s) * 10**9 for s in (0, 2, 3)]
    assert [math.isnan(v) for v in found.values["p"]] == [False, True, True]
    assert len(found.skipped) == 2
    assert "backwards" in found.skipped[1]


def test_rows_of_a_log_that_grows_are_taken_when_their_line_is_whole(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("time,p\n1658867910,1\n16588")
    found = TimeLog(path)
    assert found.refresh()
    assert found.values["p"] == [1.0]
    with path.open("a") as file:
        file.write("67911,2\n1658867912,3")
    assert found.refresh()
    assert found.values["p"] == [1.0, 2.0]
    assert not found.refresh()
    found.finish()
    assert found.values["p"] == [1.0, 2.0, 3.0]


def test_a_header_that_is_not_all_there_yet_is_waited_for(tmp_path):
    path = tmp_path / "log.mpt"
    head = "EC-Lab ASCII FILE\nNb header lines : 5\nAcquisition started on : 07/26/2022 20:38:30.000\n"
    path.write_text(head)
    found = TimeLog(path)
    assert not found.refresh()
    with path.open("a") as file:
        file.write("\nmode\ttime/s\tEwe/V\t\n1\t1,5\t3,2\n")
    assert found.refresh()
    assert found.times_ns == [EPOCH_2022 * 10**9 + 1_500_000_000]
    assert found.values["ewe"] == [3.2]


@given(st.binary(max_size=400))
def test_no_bytes_make_it_crash_or_hang(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("junk") / "log"
    path.write_bytes(junk)
    found = TimeLog(path)
    with suppress(FormatError):
        found.refresh()
        found.finish()
    assert all(len(v) == len(found.times_ns) for v in found.values.values())
    assert found.times_ns == sorted(found.times_ns)

"""Real series from folder to records: temperatures, widths, the transition, peaks, bad files, a followed folder."""

import os
import re
import shutil
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from insitu.config import load
from insitu.replay import verify
from insitu.run import run
from insitu.run.summary import Summary
from insitu.store.runs import StoredRun

EXAMPLE = Path(__file__).resolve().parent.parent / "examples/phase_transition/pipelines/cucr2o4.toml"
SERIES = "xrd/series_cucr2o4_7-289K"
TEMPERATURES = [
    *(6.778, 16.702, 46.97, 75.42, 98.89, 111.43, 122.73, 134.02, 145.47, 156.9, 168.43),
    *(185.67, 203.0, 220.3, 243.4, 266.9, 288.7),
]
"""K, from the README of the data."""


def records_of(summary: Summary) -> list[dict[str, Any]]:
    with StoredRun(Path(summary.path)) as stored:
        return list(stored.records())


def bytes_of(summary: Summary) -> list[tuple[int, bytes]]:
    with StoredRun(Path(summary.path)) as stored:
        return list(stored.record_bytes())


def proven(summary: Summary) -> None:
    report = verify(Path(summary.path))
    assert report.identical, report.findings
    assert (report.mode, report.records) == ("byte for byte", summary.records)


@pytest.fixture(scope="module")
def series(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """The example on the 17 patterns of CuCr2O4."""
    summary = run(load(EXAMPLE, inputs=str(data / SERIES)), data_root=tmp_path_factory.mktemp("cucr2o4"))
    assert (summary.ended, summary.exit_code) == ("complete", 0)
    assert summary.frames["stored"] == summary.records == 17
    return summary


def test_temperatures_and_header_times_are_in_the_records(series: Summary) -> None:
    found = records_of(series)
    assert [r["context"]["temperature"] for r in found] == [{"value": t, "unit": "K"} for t in TEMPERATURES]
    assert [r["labels"]["file"] for r in (found[0], found[-1])] == ["OH_00.fxye", "OH_53.fxye"]
    times = [r["time_ns"] for r in found]
    assert times == sorted(set(times))
    # "APR 25, 2011 12:35:45.325926" and "17:42:33.209634" in Chicago, five hours behind UTC in April
    ends = [
        np.datetime64(text, "ns").astype(int) for text in ("2011-04-25T17:35:45.325926", "2011-04-25T22:42:33.209634")
    ]
    assert [times[0], times[-1]] == ends


def test_the_width_of_the_pair_falls_from_7_K_and_fastest_between_99_and_134_K(series: Summary) -> None:
    """Data README: full width at half height 0.0180 deg at 7 K, 0.0120 at 99 K, 0.0060 at 123 K, then 0.004 to 0.006.
    One fitted pseudo-Voigt has tails, and comes out 0.002 deg wider than what is read off narrow peaks."""
    widths = np.array([r["features"]["pair1_width"]["value"] for r in records_of(series)])
    sigmas = np.array([r["features"]["pair1_width"]["sigma"] for r in records_of(series)])
    assert widths[0] == pytest.approx(0.0180, abs=0.002)
    assert widths[4] == pytest.approx(0.0120, abs=0.002)
    assert widths[7:] == pytest.approx(0.007, abs=0.0015)
    down_to_134 = np.diff(widths[:8])
    assert (down_to_134 < 3 * np.hypot(sigmas[1:8], sigmas[:7])).all(), "it never grows before 134 K"
    slope = -np.diff(widths) / np.diff(TEMPERATURES)
    assert 98 < TEMPERATURES[int(np.argmax(slope))] < 134
    assert 98 < TEMPERATURES[int(np.argmax(slope)) + 1] < 135
    inside = [i for i, t in enumerate(TEMPERATURES[:-1]) if 98 < t < 134]
    assert len(inside) == 3
    assert slope[inside].mean() > 1.5 * np.delete(slope, inside).max()


def test_the_change_point_is_between_99_and_134_K_and_the_pause_says_so(series: Summary) -> None:
    found = records_of(series)
    changes = [r["verdicts"]["transition"] for r in found if r["verdicts"]["transition"]["label"] == "change"]
    assert changes
    for verdict in changes:
        low, high = verdict["scores"]["temperature_before"], verdict["scores"]["temperature_after"]
        assert 98 < low < high < 135, verdict["reason"]
    assert found[0]["verdicts"]["transition"]["label"] == "normal"
    decision = found[-1]["decision"]
    assert decision["action"] == "PAUSE"
    assert re.search(r"temperature between 98\.89 and 111\.43 K", decision["reason"])


def test_the_same_files_shuffled_on_disk_give_the_same_records_byte_for_byte(
    series: Summary, data: Path, tmp_path: Path
) -> None:
    proven(series)
    names = sorted(os.listdir(data / SERIES))
    for seed in range(2):
        rng = np.random.default_rng(seed)
        folder = tmp_path / f"copy {seed}"
        folder.mkdir()
        for name in rng.permutation(names):
            shutil.copyfile(data / SERIES / name, folder / name)
            when = float(rng.uniform(0, 2e9))
            os.utime(folder / name, (when, when))
        again = run(load(EXAMPLE, inputs=str(folder)), data_root=tmp_path / f"runs {seed}")
        assert bytes_of(again) == bytes_of(series)
        proven(again)


def test_by_header_time_the_order_does_not_hang_on_the_names(series: Summary, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "renamed"
    folder.mkdir()
    files = sorted((data / SERIES).glob("*.fxye"))
    for new, k in enumerate(np.random.default_rng(3).permutation(len(files))):
        shutil.copyfile(files[k], folder / f"scan{new}.fxye")
    found = records_of(run(load(EXAMPLE, inputs=str(folder)), data_root=tmp_path))
    for one, other in zip(found, records_of(series), strict=True):
        assert one.pop("labels")["composition"] == other.pop("labels")["composition"]  # these name the files
        assert one == other


def test_raw_sigma_and_records_open_in_zarr_and_xarray_with_labels_and_units(series: Summary) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw = xr.open_zarr(f"{series.path}/raw.zarr", group="bm11/0", consolidated=False)
        records = xr.open_zarr(f"{series.path}/records.zarr", group="bm11", consolidated=False)
        tree = xr.open_datatree(f"{series.path}/raw.zarr", engine="zarr", consolidated=False)
    assert dict(raw["frames"].sizes) == {"frame": 17, "two_theta": 12799}
    assert raw["frames"].attrs["units"] == raw["sigma"].attrs["units"] == "counts"
    assert raw["two_theta"].attrs["units"] == "deg"
    assert raw["time"].dtype.kind == "M"
    assert float(raw["two_theta"][0]) == pytest.approx(0.5)
    strongest = raw["frames"].sel(two_theta=slice(11.07, 11.16)).idxmax("two_theta")
    assert float(strongest[-1]) == pytest.approx(11.118, abs=0.002)  # data README: 11.1184 deg at 289 K
    assert records["temperature"].values.tolist() == TEMPERATURES
    assert records["temperature"].attrs["units"] == "K"
    assert records["pair1_width"].attrs["units"] == "deg"
    assert np.isfinite(records["pair1_width_sigma"]).all()
    assert "bm11" in tree.children
    plain = zarr.open_group(f"{series.path}/raw.zarr/bm11/0", mode="r")["frames"]
    assert isinstance(plain, zarr.Array)
    assert np.array_equal(plain[3], raw["frames"][3])


def test_a_prepared_real_pattern_is_in_derived_with_its_axis_and_unit(data: Path, tmp_path: Path) -> None:
    recipe = {
        "format": 1,
        "detectors": ["patterns_1d"],
        "prepare": [{"use": "baseline", "window": "2 deg"}],
        "features": [{"use": "prepared", "dtype": "float64"}],
    }
    summary = run(load(recipe, inputs=str(data / "xrd/ref_fluorapatite_lab")), data_root=tmp_path)
    derived = xr.open_zarr(f"{summary.path}/derived.zarr", group="det")
    raw = xr.open_zarr(f"{summary.path}/raw.zarr", group="det/0")
    assert derived["pattern"].shape == raw["frames"].shape == (1, 5753)
    assert derived["pattern"].attrs["units"] == "counts"
    assert derived["pattern_two_theta"].attrs["units"] == "deg"
    assert float(derived["pattern"][0].idxmax()) == pytest.approx(31.86, abs=0.005)  # data README
    away = (raw["frames"][0] - derived["pattern"][0].values).values
    assert 60 < np.median(away) < 150, "the background of about 105 counts is what was taken away"
    proven(summary)


@pytest.mark.parametrize(
    ("folder", "count", "expected", "tolerance", "strongest"),
    [
        # data README: strongest point at 7.514 deg
        ("ref_jadarite_11bm", 5, [7.514], 0.002, 7.514),
        # data README, measured maxima; K-alpha1 and K-alpha2 are not apart, so a fit lies up to 0.03 deg above
        ("ref_fluorapatite_lab", 7, [25.80, 31.86, 32.20, 33.04, 34.08], 0.05, 31.86),
    ],
)
def test_reference_patterns_have_their_peaks(
    data: Path, tmp_path: Path, folder: str, count: int, expected: list[float], tolerance: float, strongest: float
) -> None:
    sets = [f"features.peak.max_peaks={count}"]
    summary = run(load("xrd_1d", inputs=str(data / "xrd" / folder), sets=sets), data_root=tmp_path)
    (record,) = records_of(summary)
    values = {key: feature["value"] for key, feature in record["features"].items()}
    heights = {values[f"peak{k}_position"]: values[f"peak{k}_height"] for k in range(1, count + 1)}
    for position in expected:
        assert min(abs(found - position) for found in heights) <= tolerance, (position, sorted(heights))
    assert max(heights, key=lambda position: heights[position]) == pytest.approx(strongest, abs=tolerance)
    assert values["n_peaks"] > 100
    proven(summary)


def row(text: bytes, line: int, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """The file with the numbers of one line (from 1) changed."""
    lines = text.split(b"\n")
    lines[line - 1] = b" " + b" ".join(change(lines[line - 1].split())) + b" "
    return b"\n".join(lines)


def spoilt(good: bytes) -> dict[str, tuple[bytes, str]]:
    """Bad files made of a good FXYE file: {name: (bytes, what the reason must hold beside the name)}."""
    lines = good.split(b"\n")
    bank = next(i for i, line in enumerate(lines) if line.startswith(b"BANK"))
    return {
        "OH_01.fxye": (good[: len(good) // 2], r":\d+: .*(cut off|rows)"),  # truncated
        "OH_03.fxye": (b"", r": the file is empty"),
        "OH_05.fxye": (bytes(range(256)) * 64, r":1: .*binary"),
        "OH_07.fxye": (row(good, 500, lambda n: [n[0], b"NaN", n[2]]), r":500: .*NaN"),
        "OH_10.fxye": (row(good, 600, lambda n: [b"%.6f" % (float(n[0]) - 10), *n[1:]]), r":600: .*smaller"),
        "OH_11.fxye": (row(good, 700, lambda n: [lines[698].split()[0], *n[1:]]), r":700: .*repeats"),
        "OH_12.fxye": (row(good, 800, lambda n: [*n[:2], b"-1.0"]), r":800: .*negative"),
        "OH_13.xye": (b"\n".join(lines[bank + 1 :]), r":\d+: .*cannot be a 2-theta in degrees"),  # centidegrees
    }


def test_bad_files_in_a_series_are_invalid_with_their_reason_and_bytes_and_the_run_goes_on(
    data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    names = ["OH_00.fxye", "OH_04.fxye", "OH_14.fxye", "OH_53.fxye"]
    for name in names:
        shutil.copyfile(data / SERIES / name, folder / name)
    bad = spoilt((data / SERIES / "OH_09.fxye").read_bytes())
    for name, (payload, _) in bad.items():
        (folder / name).write_bytes(payload)
    order = sorted([*names, *bad])
    summary = run(load("xrd_1d", inputs=str(folder)), data_root=tmp_path)
    assert (summary.ended, summary.exit_code) == ("complete", 0)
    assert (summary.frames["stored"], summary.frames["invalid"]) == (len(names), len(bad))
    assert summary.frames["expected"] == summary.frames["received"] == len(order)
    with StoredRun(Path(summary.path)) as stored:
        invalid = {e.body["name"]: e.body for e in stored.entries("invalid")}
    assert invalid.keys() == bad.keys()
    for name, (payload, said) in bad.items():
        body = invalid[name]
        assert re.match(re.escape(name) + said, body["reason"]), (name, body["reason"])
        assert body["seq"] == order.index(name)
        assert (Path(summary.path) / "quarantine/det" / str(body["seq"])).read_bytes() == payload
    found = records_of(summary)
    assert [r["labels"]["file"] for r in found] == names
    assert all(r["features"]["total"]["value"] > 0 for r in found)
    state = xr.open_zarr(f"{summary.path}/raw.zarr", group="det/0", consolidated=False)["state"]
    assert state.values.tolist() == [0 if name in names else 1 for name in order]
    proven(summary)


def test_a_bad_file_ends_the_run_where_the_recipe_says_so(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    for name in ("OH_00.fxye", "OH_04.fxye"):
        shutil.copyfile(data / SERIES / name, folder / name)
    (folder / "OH_01.fxye").write_bytes(b"")
    summary = run(load("xrd_1d", inputs=str(folder), sets=["acquire.on_invalid=stop"]), data_root=tmp_path)
    assert (summary.ended, summary.exit_code) == ("failed", 3)
    assert "OH_01.fxye" in summary.reason
    assert (summary.frames["stored"], summary.frames["invalid"]) == (1, 1)
    proven(summary)


def test_a_folder_that_is_slowly_written_gives_every_file_once_and_never_torn(
    series: Summary, data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "incoming"
    folder.mkdir()
    names = ["OH_00.fxye", "OH_04.fxye", "OH_09.fxye", "OH_14.fxye", "OH_19.fxye"]

    def write() -> None:
        for name in names:
            payload = (data / SERIES / name).read_bytes()
            with open(folder / name, "wb") as file:
                for k in range(5):  # in pieces that end in the middle of a line
                    file.write(payload[k * len(payload) // 5 : (k + 1) * len(payload) // 5])
                    file.flush()
                    time.sleep(0.12)
        (folder / "DONE").touch()

    sets = [
        f"detector.reader.{s}" for s in ("follow=true", "sentinel=DONE", "settle=0.2 s", "idle=30 s", "order=natural")
    ]
    writer = threading.Thread(target=write)
    writer.start()
    try:
        summary = run(load(EXAMPLE, inputs=str(folder), sets=sets), data_root=tmp_path)
    finally:
        writer.join(30)
    assert summary.ended == "complete"
    assert (summary.frames["stored"], summary.frames["invalid"]) == (len(names), 0)
    with StoredRun(Path(summary.path)) as stored, StoredRun(Path(series.path)) as whole:
        digests = {e.body["labels"]["file"]: e.body["arrays"] for e in whole.entries("frame")}
        followed = [(e.body["labels"]["file"], e.body["arrays"]) for e in stored.entries("frame")]
    assert followed == [(name, digests[name]) for name in names]
    proven(summary)

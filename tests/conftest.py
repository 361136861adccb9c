"""What every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real measurements: `INSITU_DATA`, else `../shared/data` beside the repository."""
    named = os.environ.get("INSITU_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if folder.is_dir():
        return folder
    if named or os.environ.get("CI"):
        pytest.fail(f"the real measurements are not at {folder}; INSITU_DATA names the folder that holds them")
    pytest.skip(f"the real measurements are not at {folder}; set INSITU_DATA to the folder that holds them")


@pytest.fixture(autouse=True)
def every_run_is_proven(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test, every sealed run that it made must verify: identical. Tests that damage runs say so by the mark
    `damages`."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is None or request.node.get_closest_marker("damages"):
        return
    seals = [p for p in Path(folder).rglob("seal.json") if (p.parent / "recipe.toml").exists()]
    if seals:
        from insitu.replay import verify

        for seal in seals:
            report = verify(seal.parent)
            assert report.identical, (seal.parent, report.findings)

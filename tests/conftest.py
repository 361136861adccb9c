"""What every test may use."""

import os
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

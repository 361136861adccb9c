"""What every test may use."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real measurements: `INSITU_DATA`, else `../shared/data` beside the repository."""
    folder = Path(os.environ.get("INSITU_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.fail(f"the real measurements are not at {folder}; set INSITU_DATA to the folder that holds them")
    return folder

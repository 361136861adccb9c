"""Runs of readers and roles that do what a test tells them."""

from pathlib import Path

import pytest

from insitu.replay import verify
from insitu.run import run
from tests.run import hostile
from tests.settings import setup


@pytest.fixture
def go(tmp_path):
    """Run what `told` says to its end; every run must balance and verify."""

    def start(reader, *sets, live=False, check=True, adapt_limits=False, rules=False, observer=None, mode="advise",
              disk=None, **told):  # fmt: skip
        hostile.told.clear()
        hostile.told.update(reader=reader, **told)
        bench = {"format": 1, "source": "det", "live": live, "reader": {"use": "tests.run.hostile:Reader"}}
        if adapt_limits:
            bench["limits"] = {"exposure": {"unit": "s", "min": 0.0, "max": 10.0}}
        recipe = {
            "features": [{"use": "tests.run.hostile:Feat"}],
            "models": [{"use": "tests.run.hostile:Model"}],
            "rules": [{"use": "tests.run.hostile:Rule"}] if rules else [],
        }
        found = setup(recipe, *sets, detectors={"bench": bench})
        summary = run(found, data_root=tmp_path, observer=observer, mode=mode, disk=disk)
        if check:
            report = verify(Path(summary.path))
            assert report.identical, report.findings
        return summary

    return start

"""What a run has left, read again."""

from insitu.replay import verify
from insitu.store.runs import StoredRun


def entries(summary, *kinds):
    from pathlib import Path

    with StoredRun(Path(summary.path)) as stored:
        return list(stored.entries(*kinds))


def proven(summary):
    from pathlib import Path

    report = verify(Path(summary.path))
    assert report.identical, report.findings
    assert report.mode == "byte for byte"
    assert report.records == summary.records
    return report

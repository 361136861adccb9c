"""A model that says where frames are missing: by the instrument's numbers, or by the times between frames.

Both are asked, and the larger gap counts (`insitu.inference.track_clock`). Times count only where the file says when
frames were taken, and once two intervals are known.
"""

from __future__ import annotations

from insitu.inference.track_clock import Clock
from insitu.types import Measurement, Verdict


class Gaps:
    """Verdicts `anomaly` about a frame before which others are missing, else `normal`. Scores: `missing` before this
    frame, `total` since the first.

    >>> model = Gaps()
    >>> for n, number in enumerate((7, 8, 11)):
    ...     verdict = model(Measurement(source="v", seq=n, n=n, time_ns=n * 10**7, source_seq=number))
    >>> verdict.label, verdict.reason
    ('anomaly', '2 frame(s) missing before this one, 2 since the first')
    """

    def __init__(self, *, source: str | None = None, name: str = "gaps") -> None:
        self.name, self.source = name, source
        self._memory: dict[str, tuple[Clock, int]] = {}

    def __call__(self, measurement: Measurement) -> Verdict | None:
        if not measurement.complete or (self.source is not None and measurement.source != self.source):
            return None
        clock, total = self._memory.get(measurement.source, (None, 0))
        clock = clock or Clock()
        missing = clock(measurement).missing
        total += missing
        self._memory[measurement.source] = clock, total
        reason = (
            f"{missing} frame(s) missing before this one, {total} since the first" if missing else "none is missing"
        )
        scores = {"missing": float(missing), "total": float(total)}
        return Verdict(label="anomaly" if missing else "normal", score=float(missing), scores=scores, reason=reason)

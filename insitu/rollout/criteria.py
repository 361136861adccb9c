"""When a candidate may become current, and when a canary must go: limits on what its runs have shown."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from insitu.errors import UsageError
from insitu.rollout.evidence import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What is asked of a candidate.

    `frames`: judged by both, at least. `agreement`: least share of them with the same label from both. `errors`:
    largest share for which it gave no verdict where one was due. `unknown`: largest share of frames by which it says
    `unknown` or `review` more often than the current one, and of frames for which it has no numbers where the current
    one has some. `labelled`: how much worse its share of right answers on labelled frames may be (where there are
    labels, agreement is not asked for: a better model disagrees). The decisions of its runs have to be within the
    recipe's latency budget for 99 of 100 frames.
    """

    frames: int = 1000
    agreement: float = 0.98
    errors: float = 0.0
    unknown: float = 0.05
    labelled: float = 0.005

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            high = None if name == "frames" else 1.0
            if not value >= 0 or (high is not None and not value <= high):  # nor what is no number
                raise UsageError(f"{name} is {value:g}", where=name, expected="0 or more" if high is None else "0 to 1")

    def against(self, seen: Evidence, *, enough: bool = True) -> list[str]:
        """Why the candidate does not pass, one sentence each; empty where it does. `enough` False: do not ask for
        `frames`, for a canary that is watched from its first run on."""
        found = []
        if enough and seen.both < self.frames:
            found.append(f"both have judged {seen.both:,} frames, {self.frames:,} are asked for")
        if seen.due and seen.missing > self.errors * seen.due:
            found.append(f"it gave no verdict for {seen.missing:,} of {seen.due:,} frames (at most {self.errors:.1%})")
        if seen.labelled:
            loss = (seen.right_current - seen.right_candidate) / seen.labelled
            if loss > self.labelled:
                found.append(
                    f"it is right for {seen.right_candidate} of {seen.labelled} labelled frames, the current one for "
                    f"{seen.right_current} (at most {self.labelled:.1%} fewer)"
                )
        elif seen.both and seen.agreed < self.agreement * seen.both:
            found.append(
                f"it agrees on {seen.agreed / seen.both:.1%} of {seen.both:,} frames (at least {self.agreement:.1%})"
            )
        if seen.blind > self.unknown * seen.both:
            found.append(
                f"it has no numbers for {seen.blind:,} of {seen.both:,} frames for which the current one has some (at "
                f"most {self.unknown:.1%})"
            )
        if seen.both:
            more = (seen.unsure_candidate - seen.unsure_current) / seen.both
            if more > self.unknown:
                found.append(f"it cannot tell for {more:.1%} more of the frames (at most {self.unknown:.1%})")
        if seen.p99_ms is not None and seen.budget_ms is not None and seen.p99_ms > seen.budget_ms:
            found.append(f"99 of 100 decisions took {seen.p99_ms:.1f} ms or less, the budget is {seen.budget_ms:g} ms")
        return found

    def as_dict(self) -> dict[str, Any]:
        """For the log."""
        return asdict(self)

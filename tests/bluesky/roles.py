"""What tests of a session plant in the process of its run: imported there, so nothing heavy is imported here."""

import os
import time
from pathlib import Path
from typing import Any

from insitu.store.files import Disk as Files
from insitu.types import Action, Decision, Feature, Frame, Measurement, Output, Verdict

WAIT_S = 20.0


class Hangs:
    """A model that does not come back until the file `until` is there."""

    def __init__(self, *, until: str) -> None:
        self._until = Path(until)

    def __call__(self, measurement: Measurement) -> Verdict:
        end = time.monotonic() + WAIT_S
        while not self._until.exists() and time.monotonic() < end:
            time.sleep(0.005)
        return Verdict(label="normal")


class Disk:
    """A feature beside which the disk gets full, once the file `full` is there."""

    def __init__(self, *, full: str, name: str = "disk") -> None:
        self._full, self._key = Path(full), f"{name}_full"
        self.outputs = {self._key: Output(unit="")}

    def __call__(self, frame: Frame, refs: Any, before: Any) -> dict[str, Feature]:
        if self._full.exists():
            setattr(Files, "sync", _no_space)  # noqa: B010 - of this process only
        return {self._key: Feature(0, "")}


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


class Raises:
    """A feature that raises for every third frame."""

    def __init__(self, *, name: str = "bad") -> None:
        self._key = f"{name}_value"
        self.outputs = {self._key: Output(unit="")}

    def __call__(self, frame: Frame, refs: Any, before: Any) -> dict[str, Feature]:
        if frame.seq % 3 == 2:
            raise RuntimeError("planted")
        return {self._key: Feature(frame.seq, "")}


class AsCommanded:
    """A rule that does what the context says: 1 pause, 2 finish, 3 halt."""

    name = "commanded"

    def __call__(self, measurement: Measurement, verdicts: Any) -> Decision | None:
        command = int(measurement.context["beam"].value or 0)
        if not command:
            return None
        action = (Action.PAUSE, Action.FINISH, Action.HALT)[command - 1]
        return Decision(action=action, reason=f"command {command} at {measurement.n}", valid_s=30.0)


class Dies:
    """A feature that takes its process with it."""

    def __init__(self, *, name: str = "dies") -> None:
        self.outputs = {f"{name}_value": Output(unit="")}

    def __call__(self, frame: Frame, refs: Any, before: Any) -> dict[str, Feature]:
        os._exit(9)

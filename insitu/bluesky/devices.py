"""What the pipeline says, as ophyd signals under stable names.

`decision`, `rule`, `reason`: the last decision; `frame`: the number of the newest frame that was judged; `state` (idle,
running, paused, held, stopping), `backlog` (frames that wait), `heartbeat` (changes while we live), `suspend` (1 while
a rule asks for a pause). For each model `<model>_label` and `<model>_score`; for each chosen feature its value, and
`<feature>_sigma`. What is not there is NaN, or an empty text.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol

from ophyd import Component, Device, Kind, Signal
from ophyd.device import create_device_from_components

from insitu.bluesky.records import NAN, shown
from insitu.errors import ConfigError
from insitu.types import Output, Record

TEXTS = ("decision", "rule", "reason", "state")
COUNTS = ("frame", "backlog", "heartbeat", "suspend")


class Described(Protocol):
    """What of a recipe is known: its models, and {source: {feature: Output}}. A `Setup` is one."""

    @property
    def models(self) -> Sequence[str]: ...

    @property
    def outputs(self) -> Mapping[str, Mapping[str, Output]]: ...


class Told(Signal):
    """A signal that only the pipeline sets: its unit and its type are described from the beginning."""

    def __init__(self, *args: Any, unit: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unit = unit

    def put(self, value: Any, *args: Any, told: bool = False, **kwargs: Any) -> None:  # type: ignore[override]
        """Refused, except from the pipeline."""
        if not told:
            raise PermissionError(f"{self.name} is what the pipeline says: it cannot be set")
        super().put(value, *args, **kwargs)

    def describe(self) -> dict[str, Any]:  # type: ignore[override]
        """The data key of event-model, with the unit."""
        described = super().describe()
        kind = "string" if isinstance(self.get(), str) else "integer" if isinstance(self.get(), int) else "number"
        described[self.name].update(dtype=kind, shape=[], units=self.unit)
        return described


def device(setup: Described, name: str = "insitu", features: Sequence[str] = ("*",)) -> Any:
    """An ophyd device for a recipe. `features`: patterns of keys; `ConfigError` where one is none."""
    units = chosen(setup, features)
    parts: dict[str, Any] = {key: Component(Told, value="", kind=Kind.normal) for key in TEXTS}
    parts |= {key: Component(Told, value=0, kind=Kind.normal) for key in COUNTS}
    parts["reason"] = Component(Told, value="", kind=Kind.config)
    for model in setup.models:
        parts[f"{model}_label"] = Component(Told, value="", kind=Kind.normal)
        parts[f"{model}_score"] = Component(Told, value=NAN, kind=Kind.normal)
    for key, unit in units.items():
        parts[key] = Component(Told, value=NAN, unit=unit, kind=Kind.normal)
        parts[f"{key}_sigma"] = Component(Told, value=NAN, unit=unit, kind=Kind.omitted)
    made: type[Device] = create_device_from_components("Pipeline", docstring=__doc__, **parts)
    return made("", name=name)


def chosen(setup: Described, patterns: Sequence[str]) -> dict[str, str]:
    """{key: unit} of the features that a pattern names."""
    known = {key: o.unit for promised in setup.outputs.values() for key, o in promised.items() if not o.array}
    taken = {*TEXTS, *COUNTS, *(f"{m}_{end}" for m in setup.models for end in ("label", "score"))}
    for pattern in patterns:
        if not any(fnmatchcase(key, pattern) for key in known) and pattern != "*":
            raise ConfigError(
                f"no feature is called {pattern!r}", where="features", expected=f"one of {', '.join(sorted(known))}"
            )
    return {k: u for k, u in known.items() if k not in taken and any(fnmatchcase(k, p) for p in patterns)}


class Teller:
    """Sets the signals of a device: `show` what is new of the records, `status` by a slow clock."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self._signals: dict[str, Told] = {name: getattr(device, name) for name in device.component_names}

    def record(self, record: Record) -> None:
        """The newest record."""
        self.show(shown(record))

    def show(self, values: Mapping[str, Any]) -> None:
        """The newest values, by the names of the signals; others are left out."""
        for key, value in values.items():
            if key in self._signals:
                self._say(key, value)

    def status(self, status: Mapping[str, Any]) -> None:
        """State, backlog and heartbeat."""
        self._say("state", str(status["state"]))
        self._say("backlog", int(status["analysis"]["pending"]) + int(status["queued"]))
        self._say("heartbeat", int(time.monotonic() * 10) % 2**31)

    def suspend(self, on: bool) -> None:
        """Whether a rule asks for a pause."""
        self._say("suspend", int(on))

    def state(self, state: str) -> None:
        self._say("state", state)

    def _say(self, key: str, value: Any) -> None:
        signal = self._signals[key]
        old: Any = signal.get()
        if old != value and not (isinstance(value, float) and math.isnan(value) and math.isnan(old)):
            signal.put(value, told=True)

"""What `load` gives: a recipe and its detectors as objects, ready to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from insitu.sinks.policy import Policy
from insitu.types import Detector, Feature, Output, Reader

if TYPE_CHECKING:
    from insitu.models.registry import Choice
    from insitu.pipeline import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a run may take: `[budget]` in seconds and bytes.

    `latency_s`: frame received to decision; `commit_s`: how long frames are gathered for one commit;
    `in_flight_bytes`: the credit of all queues together; `lag_s`: age at which a live frame's analysis is shed;
    `drain_s`: how long analysis may finish after the end; `linger_s`: how long sending may.
    """

    latency_s: float = 0.05
    commit_s: float = 0.010
    in_flight_bytes: float = 512e6
    lag_s: float = 1.0
    drain_s: float = 5.0
    linger_s: float = 5.0
    measure_threads: int = 1
    when_late: Literal["shed", "block"] = "shed"
    act: Literal["at_once", "after_commit"] = "at_once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquire:
    """How arrivals are counted, and what bad ones do: `[acquire]`."""

    max_gap: int = 1000
    reorder: int = 8
    on_invalid: Literal["continue", "stop"] = "continue"
    on_fault: Literal["record", "halt"] = "record"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceSpec:
    """A declared reference, `[[references]]`: the mean of the first `first` frames of a source, or a file."""

    name: str
    source: str
    first: int | None = None
    file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One detector and how to read it. Calling `reader` makes the reader (and opens what it reads): a replay does
    not."""

    detector: Detector
    reader: Callable[[], Reader]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A recipe with its detectors, resolved.

    `recipe_toml`, `detectors_toml`: the resolved texts, every default written out; they are what a run stores, and
    `load_stored` makes the same pipeline of them. `pipeline()` gives a fresh one each time, because models remember.
    `outputs`: {source: {feature key: Output}}. `files`: {name in the run's `files/`: where it is now}, what the recipe
    names. `metadata`: texts about the run, by name. `models`: their names. `pseudonym_key`: the file with the key.
    `simulated`: no real instrument is behind any of this. `bundles`: {entry: what is recorded of its network's bundle}.
    `chosen`: {name: what the registry gave}. `remarks`: what a person has to know before the run.
    """

    title: str
    name: str
    recipe_toml: str
    detectors_toml: str
    sources: tuple[Source, ...]
    pipeline: Callable[[], Pipeline]
    outputs: Mapping[str, Mapping[str, Output]]
    budget: Budget = Budget()
    acquire: Acquire = Acquire()
    policy: Policy = field(default_factory=Policy)
    references: tuple[ReferenceSpec, ...] = ()
    safe_state: Mapping[str, Feature] = field(default_factory=dict)
    kafka: Mapping[str, str | bool | Path] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    pseudonym_key: Path | None = None
    simulated: bool = False
    bundles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    chosen: Mapping[str, Choice] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

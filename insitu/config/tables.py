"""The tables of a recipe and of a detector file. A function's keyword arguments are the keys that its table may hold.

Impossible values are refused with `where` = the key; the caller knows file and line.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from insitu import units
from insitu.config import values
from insitu.config.settings import Acquire, Budget, Policy, ReferenceSpec
from insitu.errors import ConfigError
from insitu.sinks.policy import MOST_BYTES, RESERVED, RUN_NAMES, ArrayRule
from insitu.types import KEY, Detector, Feature, Flip, Geometry, Limit

FORMAT = 1
Rows = list[dict[str, Any]]


def recipe(
    *,
    format: int,
    detectors: list[str],
    title: str = "",
    prepare: Rows = [],  # noqa: B006 - never changed: it is the schema's default
    features: Rows = [],  # noqa: B006
    models: Rows = [],  # noqa: B006
    rules: Rows = [],  # noqa: B006
    references: Rows = [],  # noqa: B006
    metadata: dict[str, str] = {},  # noqa: B006
    policy: dict[str, Any] = {},  # noqa: B006
    budget: dict[str, Any] = {},  # noqa: B006
    acquire: dict[str, Any] = {},  # noqa: B006
    safe_state: dict[str, Any] = {},  # noqa: B006
    kafka: dict[str, Any] | None = None,
) -> None:
    """The recipe itself; what its tables hold is told by the functions below and by the roles' factories."""


def budget(
    *,
    latency: Annotated[float, "s"] = 0.05,
    commit: Annotated[float, "s"] = 0.01,
    in_flight: Annotated[float, "byte"] = 512e6,
    lag: Annotated[float, "s"] = 1.0,
    drain: Annotated[float, "s"] = 5.0,
    linger: Annotated[float, "s"] = 5.0,
    measure_threads: int = 1,
    when_late: Literal["shed", "block"] = "shed",
    act: Literal["at_once", "after_commit"] = "at_once",
) -> Budget:
    """`[budget]`."""
    for key, value in (("latency", latency), ("commit", commit), ("in_flight", in_flight), ("lag", lag)):
        values.above_zero(value, key)
    for key, value in (("drain", drain), ("linger", linger)):
        if value < 0:
            raise ConfigError(f"{value:g} s is less than no time", where=key, expected="0 s or more")
    if not 1 <= measure_threads <= 256:
        raise ConfigError(f"{measure_threads} threads cannot be had", where="measure_threads", expected="1 to 256")
    return Budget(
        latency_s=latency,
        commit_s=commit,
        in_flight_bytes=in_flight,
        lag_s=lag,
        drain_s=drain,
        linger_s=linger,
        measure_threads=measure_threads,
        when_late=when_late,
        act=act,
    )


def acquire(
    *,
    max_gap: int = 1000,
    reorder: int = 8,
    on_invalid: Literal["continue", "stop"] = "continue",
    on_fault: Literal["record", "halt"] = "record",
) -> Acquire:
    """`[acquire]`."""
    if reorder < 0:
        raise ConfigError(f"{reorder} frames cannot be waited for", where="reorder", expected="0 or more")
    if max_gap < max(1, reorder):
        raise ConfigError(f"{max_gap} is too small", where="max_gap", expected=f"{max(1, reorder)} (reorder) or more")
    return Acquire(max_gap=max_gap, reorder=reorder, on_invalid=on_invalid, on_fault=on_fault)


def policy(
    *,
    features: tuple[str, ...] = (),
    context: tuple[str, ...] = (),
    verdicts: tuple[str, ...] = (),
    metadata: tuple[str, ...] = (),
    pseudonyms: tuple[str, ...] = (),
    pseudonym_key: Path | None = None,
    arrays: Rows = [],  # noqa: B006 - never changed: it is the schema's default
    reasons: bool = False,
    triage: bool = False,
    max_rate: Annotated[float, "Hz"] | None = None,
    max_bytes: Annotated[int, "byte"] = 1_000_000,
    max_ratio: float | None = None,
) -> Policy:
    """`[policy]`. `pseudonym_key`: a file that stays where it is. `arrays` are read on their own."""
    for key, value in (("max_rate", max_rate), ("max_bytes", max_bytes), ("max_ratio", max_ratio)):
        if value is not None:
            values.above_zero(value, key)
    if max_ratio is not None and max_ratio > 1:
        what = f"{max_ratio:g} would let more leave than there is"
        raise ConfigError(what, where="max_ratio", expected="a share of the raw bytes, above 0 and at most 1")
    if max_bytes > MOST_BYTES:  # the producer would set such documents aside, one by one
        raise ConfigError(f"{max_bytes} bytes are no message", where="max_bytes", expected=f"at most {MOST_BYTES}")
    for name in context:
        named(name, "context")
    if both := sorted(set(metadata) & set(pseudonyms)):
        raise ConfigError(f"{', '.join(both)} would leave as it is and as a pseudonym", where="pseudonyms")
    if pseudonyms and pseudonym_key is None:
        raise ConfigError("pseudonyms need a key", where="pseudonym_key", expected="a file with 16 bytes or more")
    return Policy(
        features=features,
        context=context,
        verdicts=verdicts,
        metadata=metadata,
        pseudonyms=pseudonyms,
        reasons=reasons,
        triage=triage,
        max_rate_hz=max_rate,
        max_bytes=max_bytes,
        max_ratio=max_ratio,
    )


def metadata(*, name: str) -> None:
    """A name of `[metadata]`."""
    named(name, "")
    taken = sorted((*RUN_NAMES, *RESERVED))
    if name in taken:
        raise ConfigError(f'"{name}" is told by the run itself', where="", expected=f"none of {', '.join(taken)}")


def array(*, feature: str, shape: tuple[int, ...], dtype: str, max_rate: Annotated[float, "Hz"]) -> ArrayRule:
    """One of `[[policy.arrays]]`."""
    values.above_zero(max_rate, "max_rate")
    values.shaped(shape, dtype, (), live=False)
    return ArrayRule(feature=feature, shape=shape, dtype=dtype, max_rate_hz=max_rate)


def kafka(
    *,
    beamline: str,
    bootstrap: str = "",
    required: bool = False,
    security: Path | None = None,
) -> dict[str, str | bool | Path]:
    """`[kafka]`. `security`: a file with the broker's secrets, which stays where it is. Without `bootstrap` the
    documents wait in the run's outbox."""
    if required and not bootstrap:
        raise ConfigError("a broker is required and none is named", where="bootstrap", expected='"host:port"')
    for server in bootstrap.split(",") if bootstrap else ():
        found = re.fullmatch(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", server.strip())
        if found is None or not 0 < int(found[1]) < 65_536:
            raise ConfigError(
                f'"{server}" is not an address', where="bootstrap", expected='"host:port", several with commas'
            )
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,200}", beamline):  # Kafka takes 249 characters for a whole topic
        expected = "letters, digits, - and _, at most 200"
        raise ConfigError(f'"{beamline}" cannot begin a topic', where="beamline", expected=expected)
    table: dict[str, str | bool | Path] = {"bootstrap": bootstrap, "beamline": beamline, "required": required}
    return table if security is None else {**table, "security": security}


def reference(*, name: str, source: str = "", first: int | None = None, file: Path | None = None) -> ReferenceSpec:
    """One of `[[references]]`."""
    named(name, "name")
    if (first is None) == (file is None):
        raise ConfigError("a reference is made of frames or of a file", where="first", expected="either first or file")
    if first is not None and first < 1:
        raise ConfigError(f"{first} frames have no mean", where="first", expected="1 or more")
    return ReferenceSpec(name=name, source=source, first=first, file=file)


def detector(
    *,
    format: int,
    source: str,
    reader: dict[str, Any],
    live: bool = False,
    shape: tuple[int, ...] | None = None,
    dtype: str | None = None,
    unit: str = "counts",
    dims: tuple[str, ...] = (),
    varying: tuple[str, ...] = (),
    codec: Literal["fast", "small"] = "fast",
    shard_frames: int | None = None,
    counter_bits: int | None = None,
    clock: Literal["ioc", "header", "arrival"] | None = None,
    timezone: str = "UTC",
    saturation: Feature | None = None,
    calibration: dict[str, Feature] = {},  # noqa: B006 - never changed: it is the schema's default
    limits: dict[str, dict[str, Any]] = {},  # noqa: B006
    geometry: dict[str, Any] = {},  # noqa: B006
    assemble: dict[str, Any] = {},  # noqa: B006
    join: Rows = [],  # noqa: B006
) -> Detector:
    """A detector file, without its `[reader]`, `[geometry]`, `[[join]]` and `[limits]`, which are read on their own."""
    named(source, "source")
    for key, names in (("dims", dims), ("varying", varying), ("calibration", tuple(calibration))):
        for name in names:
            named(name, key)
    values.known_unit(unit)
    values.shaped(shape, dtype, dims, live)
    if shard_frames is not None and shard_frames < 1:
        raise ConfigError(f"{shard_frames} frames are no shard", where="shard_frames", expected="1 or more")
    if counter_bits is not None and not 8 <= counter_bits <= 64:
        raise ConfigError(f"{counter_bits} bits are no counter", where="counter_bits", expected="8 to 64")
    return Detector(
        name="",
        source=source,
        live=live,
        shape=shape,
        dtype=dtype,
        unit=unit,
        dims=dims,
        varying=varying,
        codec=codec,
        shard_frames=shard_frames,
        counter_bits=counter_bits,
        timezone=values.timezone(timezone),
        saturation=values.in_unit(saturation, unit, "saturation"),
        calibration=calibration,
    )


def geometry(
    *,
    poni: Path | None = None,
    flip: Flip = "none",
    mask: Path | None = None,
    dark: Path | None = None,
    flat: Path | None = None,
    polarization: float | Literal["none"] = 0.99,
    solid_angle: bool = True,
    low: float | Literal["auto", "none"] = "auto",
    calibrant: str = "",
    rings: Path | None = None,
) -> Geometry:
    """`[geometry]`. What must be seen in every frame: a `calibrant` by its name, or `rings`, a file of d-spacings."""
    if calibrant and rings is not None:
        raise ConfigError("calibrant and rings are both given", where="rings", expected="one of them")
    factor = None if isinstance(polarization, str) else polarization
    if factor is not None and not -1.0 <= factor <= 1.0:
        raise ConfigError(f"{factor:g} is no polarization factor", where="polarization", expected="-1 to 1")
    return Geometry(
        poni=poni,
        flip=flip,
        mask=mask,
        dark=dark,
        flat=flat,
        polarization=factor,
        solid_angle=solid_angle,
        low=None if low == "none" else low,
        calibrant=str(rings) if rings is not None else calibrant,
    )


def limit(
    *,
    min: Feature,
    max: Feature,
    step: Feature | None = None,
    rate: Annotated[float, "Hz"] | None = None,
    unit: str = "",
) -> Limit:
    """One signal of `[limits]`: plain numbers are in `unit`, others are converted to it."""
    unit = unit or min.unit or max.unit
    units.check_unit(unit)
    low, high = values.in_unit(min, unit, "min"), values.in_unit(max, unit, "max")
    if low is None or high is None or low >= high:
        raise ConfigError(f"min {low} is not below max {high}", where="min", expected="min below max")
    largest = values.difference_in_unit(step, unit)
    if largest is not None:
        values.above_zero(largest, "step")
    if rate is not None:
        values.above_zero(rate, "rate")
    return Limit(unit=unit, low=low, high=high, step=largest, rate_hz=rate)


def named(name: str, where: str) -> str:
    """`name` where it is one; `ConfigError` where it is not."""
    if not KEY.fullmatch(name):
        raise ConfigError(
            f'"{name}" is not a name', where=where, expected="small letters, digits and _, beginning with a letter"
        )
    return name

"""`insitu sim beamline`: a bench beamline to try recipes, scans and scripts on, until Ctrl-C or SIGTERM ends it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import typer

from insitu.cli.options import AsJson
from insitu.cli.say import answer, note

LOOK_S = 0.2


def sim(
    what: Annotated[Literal["beamline"], typer.Argument(help="beamline: a soft IOC with furnace, motors, detector.")],
    prefix: Annotated[str, typer.Option(help="Beginning of the PVs' names.")] = "BENCH",
    sample: Annotated[
        str, typer.Option(help="batio3, ceo2, si, al2o3, tio2, a reaction such as nickel_oxidation, or grains.")
    ] = "batio3",
    play: Annotated[str, typer.Option(metavar="PATH", help="A stored series instead, played by its temperature.")] = "",
    reader: Annotated[str, typer.Option(help="What reads the files of --play.")] = "patterns",
    along: Annotated[
        str, typer.Option(metavar="KEY", help="Play by this number of its frames, or by `index`; a motor of that name.")
    ] = "temperature",
    image: Annotated[str, typer.Option(metavar="ROWSxCOLUMNS", help="Pictures of a powder instead of patterns.")] = "",
    exposure: Annotated[float, typer.Option(metavar="S", help="The exposure to begin with.")] = 0.1,
    acquire: Annotated[bool, typer.Option("--acquire", help="The detector runs from the beginning.")] = False,
    period: Annotated[float, typer.Option(metavar="S", help="From one of its frames to the next.")] = 0.0,
    start: Annotated[float | None, typer.Option(metavar="K", help="Temperature to begin with.")] = None,
    ramp: Annotated[float, typer.Option(metavar="K/S", help="Speed of the furnace.")] = 2.0,
    lag: Annotated[float, typer.Option(metavar="S", help="How far the sample lags behind the ramp.")] = 0.5,
    noise: Annotated[float, typer.Option(metavar="K", help="Noise of the thermometer.")] = 0.05,
    transition: Annotated[float, typer.Option(metavar="K", help="Where the sample changes.")] = 393.0,
    speed: Annotated[float, typer.Option(metavar="MM/S", help="Speed of the sample stage.")] = 2.0,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="KIND@FRAMES", help="Such as beam_loss@120-140; repeat.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all chance.")] = 0,
    interface: Annotated[str, typer.Option(metavar="ADDRESS", help="Where it listens.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="The first of its ports; default: any that are free.")] = None,
    as_json: AsJson = False,
) -> int:
    """Serve a simulated beamline over Channel Access and PV Access; print what EPICS clients must know."""
    from insitu.readers.simulated_beamline import Beamline, BenchSettings

    del what
    settings = BenchSettings(
        prefix=prefix, sample=sample, play=play, reader=reader, along=along, image=_shape(image), seed=seed,
        exposure_s=exposure, acquire=acquire, period_s=period, start_K=start, ramp_K_s=ramp, lag_s=lag,
        noise_K=noise, transition_K=transition, motor_mm_s=speed, faults=tuple(fault or ()),
    )  # fmt: skip
    with _until_told() as told, Beamline(settings, interface=interface, port=port) as bench:
        body: dict[str, Any] = {
            "prefix": prefix, "pid": bench.pid, "environment": bench.environment, "pvs": bench.pvs, "seed": seed,
        }  # fmt: skip
        lines = [f"export {name}='{value}'" for name, value in bench.environment.items()]
        answer(body, "\n".join(lines), as_json=as_json)
        note(f"SIMULATED beamline {prefix} is running, the image is {bench.pvs['image']}. Ctrl-C ends it.")
        while not told.wait(LOOK_S) and bench.alive:
            pass
        if bench.problem:
            note(f"Error: {bench.problem}. Start it again")  # stdout has had its one object
            return 3
    return 0


def _shape(text: str) -> tuple[int, int] | None:
    """Rows and columns.

    >>> _shape("256x512"), _shape("")
    ((256, 512), None)
    """
    if not text:
        return None
    from insitu.errors import UsageError

    rows, cross, columns = text.lower().partition("x")
    if not (cross and rows.isdecimal() and columns.isdecimal()):
        raise UsageError(f"{text!r} is no size of an image", where="--image", expected='such as "256x256"')
    return int(rows), int(columns)


@contextmanager
def _until_told() -> Iterator[threading.Event]:
    """Set when SIGINT or SIGTERM comes: the way in which a server is meant to end."""
    told = threading.Event()
    before = {one: signal.signal(one, lambda *_: told.set()) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)

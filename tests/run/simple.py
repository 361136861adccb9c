"""Readers and models whose answers are known beforehand."""

import numpy as np

from insitu.types import Action, Arrival, Axis, Decision, Feature, Invalid, Verdict

TWO_THETA = Axis(np.linspace(30.0, 40.0, 2000), "deg")


class Peaks:
    """Four patterns with `peaks` lines at 31.5, 32.5, ... deg."""

    def __init__(self, peaks: int) -> None:
        self.peaks = peaks

    def __call__(self):
        x = TWO_THETA.values
        lines = sum(1e4 * np.exp(-(((x - 31.5 - k) / 0.05) ** 2)) for k in range(self.peaks))
        for seq in range(4):
            yield Arrival(
                source="det",
                data=np.round(50 + lines + np.zeros_like(x)).astype("u4"),
                dims=("two_theta",),
                unit="counts",
                time_ns=10**18 + seq * 10**8,
                source_seq=seq,
                axes={"two_theta": TWO_THETA},
            )


class Telling:
    """Frames whose labels, context and data carry `canary`, and one thing that is none; `at` are the times in ns."""

    def __init__(self, canary: str, at: list[int] | None = None) -> None:
        self.canary, self.at = canary, at or [10**18 + k * 10**8 for k in range(6)]

    def __call__(self):
        data = np.frombuffer(self.canary.encode().ljust(64, b"."), "u1")
        for seq, time_ns in enumerate(self.at):
            yield Arrival(
                source="det",
                data=data.copy(),
                dims=("x",),
                unit="counts",
                time_ns=time_ns,
                source_seq=seq,
                labels={"sample": self.canary, "file": f"{self.canary}.xy"},
                context={
                    "temperature": Feature(300.0 + seq, "K"),
                    f"secret_{self.canary}": Feature(None, "K", why=self.canary),
                },
            )
        bad = f"{self.canary}.xy"
        yield Invalid(source="det", reason=f"{bad}: no pattern", payload=self.canary.encode(), name=bad)


class Whispering:
    """A feature whose reason for having no value is what should not be told."""

    def __init__(self) -> None:
        from insitu.types import Output

        self.outputs = {"whisper": Output(unit="")}

    def __call__(self, frame, refs, before):
        if frame.seq == 2:
            raise RuntimeError(frame.labels["sample"])
        return {"whisper": Feature(None, "", why=frame.labels["sample"])}


class Doubtful:
    """Wants a person to look at frame 3."""

    def __call__(self, measurement):
        return Verdict(label="review" if measurement.seq == 3 else "normal", reason="I have not seen this before")


class Telltale:
    """A model that quotes labels and paths in its sentence, and fails at frame 4 with an error that names them."""

    def __call__(self, measurement):
        sample = measurement.labels["sample"]
        if measurement.seq == 4:
            raise OSError(f"cannot read {sample} of somebody")
        return Verdict(label="change" if measurement.seq == 1 else "normal", reason=f"{sample} in '/data/{sample} x'")


class Quoting:
    """A rule that quotes the label of the frame before, the model, and a file of that name."""

    def __init__(self) -> None:
        self.before = ""

    def __call__(self, measurement, verdicts):
        labels, before = measurement.labels, self.before or measurement.labels["sample"]
        self.before = labels["sample"]
        if measurement.seq == 4:
            return Decision(action=Action.PAUSE, reason=verdicts["telltale"].reason)
        if measurement.seq not in (0, 3):
            return None
        temperature = measurement.context["temperature"].value
        where = f"{before} of {labels['file']} at /data/{before}/x"
        return Decision(action=Action.PAUSE, reason=f"{where} is {temperature:g} K: look at it")


class Tiny:
    """Frames of 256 bytes, as fast as they are taken."""

    def __init__(self, frames: int) -> None:
        self.frames = frames

    def __call__(self):
        for k in range(self.frames):
            data = np.full(64, k, np.uint32)
            yield Arrival(source="det", data=data, dims=("x",), unit="counts", time_ns=10**18 + k, source_seq=k)

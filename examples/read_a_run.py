"""Read a run with xarray: raw patterns, features with their uncertainty, and what became of each frame.

    python examples/read_a_run.py RUN          RUN: the folder of a run, as `insitu run` prints it
    python examples/read_a_run.py              makes a short simulated one first

Nothing of insitu is needed to read: `show` imports only xarray.
"""

import sys
from pathlib import Path

import xarray as xr


def show(run: Path) -> None:
    """Print what is in a sealed run, source by source."""
    for folder in sorted((run / "records.zarr").iterdir()):
        if not folder.is_dir():
            continue
        source = folder.name
        raw = xr.open_zarr(run / "raw.zarr", group=f"{source}/0", chunks=None)
        frames = raw["frames"].where(raw["state"] == 0, drop=True)  # rows whose state is not 0 hold no data
        sizes = " x ".join(f"{size} {dim}" for dim, size in frames.sizes.items())
        print(f"{source}: {sizes}, {frames.attrs['units']}, from {raw['time'].min().values} UTC")
        axis = raw[raw["frames"].dims[-1]]
        mean = frames.mean("frame")
        print(f"  strongest on average at {float(mean.idxmax()):.3f} {axis.attrs['units']}")
        records = xr.open_zarr(run / "records.zarr", group=source, chunks=None)
        for name, values in records.data_vars.items():
            if f"{name}_sigma" in records:
                sigma = float(records[f"{name}_sigma"].mean())
                unit = values.attrs.get("units", "")
                print(f"  {name}: {float(values.min()):.5g} to {float(values.max()):.5g} +- {sigma:.2g} {unit}")


def simulated() -> Path:
    """A short simulated run, to have something to read."""
    from insitu.config import load
    from insitu.run import run

    sets = ["detector.reader.frames=40", "detector.reader.rate=1 kHz", "detector.reader.exposure=1 ms"]
    summary = run(load("xrd_heating_demo", sets=sets), data_root=Path("insitu-data"))
    print(f"SIMULATED: {summary.path}")
    return Path(summary.path)


if __name__ == "__main__":
    show(Path(sys.argv[1]) if len(sys.argv) > 1 else simulated())

"""Everything is compiled when a recipe has been loaded: no spectrum waits for it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, sys, tomllib
from pathlib import Path
from insitu.config import load
from insitu.types import Arrival, Frame

recipe = tomllib.loads(Path(sys.argv[1]).read_text())
for entry in recipe["features"]:
    if entry["use"] in ("xafs.edge", "xafs.exafs"):
        entry["arrays"] = True
detector = {"format": 1, "source": "xas", "reader": {"use": "spectra"}}
setup = load(recipe, inputs=sys.argv[2], detectors={"spectra": detector})
pipeline, frames = setup.pipeline(), []

def kernels():
    found = {}
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith(("insitu.maths", "insitu.features", "insitu.prepare")):
            for name, value in vars(module).items():
                if hasattr(value, "nopython_signatures"):
                    found[f"{value.py_func.__module__}.{value.py_func.__name__}"] = len(value.signatures)
    return found

for n, a in enumerate(a for a in setup.sources[0].reader()() if isinstance(a, Arrival)):
    frames.append(Frame(source=a.source, data=a.data, dims=a.dims, unit=a.unit, time_ns=a.time_ns, seq=n, n=n,
                        axes=a.axes, context=a.context, labels=a.labels))
    for array in (a.data, *(axis.values for axis in a.axes.values())):
        array.flags.writeable = False
before = kernels()
assert len(before) > 12 and "insitu.maths.absorption.edge._top" in before
told = sum(f.value is not None for frame in frames for f in pipeline.measure(frame).features.values())
print(json.dumps({"before": before, "after": kernels(), "spectra": len(frames), "told": told}))
"""


@pytest.mark.parametrize("folder", ["xaslib/Fe", "series_lno_ni_k_operando", "columns_misc"])
def test_nothing_is_compiled_while_spectra_are_measured(data: Path, folder: str) -> None:
    recipe = Path(__file__).resolve().parents[2] / "pipelines" / "xafs.toml"
    command = [sys.executable, "-c", SCRIPT, str(recipe), str(data / "xafs" / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["spectra"] >= 10
    assert found["told"] > 10 * found["spectra"]
    assert found["after"] == found["before"]

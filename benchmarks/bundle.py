"""What a network adds to the start of a run: from the folder of a bundle to a session that gave its golden outputs.

Each start is a new process that has imported already what any recipe needs. The peer does the same with the packages
that one would take: `model_signing` for the signature, `onnx` to check the graph, `numpy` and onnxruntime for the rest.
Both must find the same golden outputs and refuse a flipped bit.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import interleave, table
from insitu.models import signing
from tests import networks

BEFORE = """
import sys, time
from pathlib import Path
import insitu.config, insitu.run
from insitu.units import check_unit
check_unit("counts")
folder, public = Path(sys.argv[1]), Path(sys.argv[2])
began, busy = time.perf_counter(), time.process_time()
"""
OURS = """
from insitu.errors import ModelError as Refused
from insitu.models.bundle import read_bundle, session
def start():
    bundle = read_bundle(folder, keys=[public])
    return session(bundle).run(None, {"x": bundle.golden()[0]})[0]
"""
PEER = """
import numpy as np, onnx, onnxruntime
from model_signing import verifying
Refused = ValueError
def start():
    verifying.Config().use_elliptic_key_verifier(public_key=public).verify(folder, folder / "signature.json")
    onnx.checker.check_model(onnx.load(folder / "model.onnx"), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    made = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    with np.load(folder / "golden.npz", allow_pickle=False) as golden:
        out = made.run(None, {"x": golden["input"]})[0]
        np.testing.assert_allclose(out, golden["output"], rtol=1e-3, atol=1e-4)
    return out
"""
AFTER = """
out = start()
took, busy = time.perf_counter() - began, time.process_time() - busy
data = bytearray((folder / "LICENSE").read_bytes())
data[0] ^= 1
(folder / "LICENSE").write_bytes(data)
try:
    start()
except Refused:
    data[0] ^= 1
    (folder / "LICENSE").write_bytes(data)
else:
    raise SystemExit("a flipped bit was taken")
print(took, busy, out.tobytes().hex())
"""


def main(folder: Path, *, quick: bool) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        private, public = signing.make_keys(Path(place) / "keys")
        networks.write(Path(place) / "tiny", private)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = str(Path(place) / "compiled")  # as an installer leaves it
        outputs: set[str] = set()
        computing: dict[str, list[float]] = {}

        def start(script: str) -> float:
            command = [sys.executable, "-c", BEFORE + script + AFTER, str(Path(place) / "tiny"), str(public)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            took, busy, out = done.stdout.split()
            outputs.add(out)
            computing.setdefault(script, []).append(1e3 * float(busy))
            return 1e3 * float(took)

        jobs = {"insitu": lambda: start(OURS), "model_signing, onnx": lambda: start(PEER)}
        figures = interleave(jobs, 3 if quick else 15)
        assert len(outputs) == 1, "the golden outputs differ"
        table("start of a verified bundle, beyond the recipe's own", figures, "ms", "insitu", {})
        ours, theirs = (statistics.median(computing[script]) for script in (OURS, PEER))
        print(f"  of which the processor computed {ours:.0f} ms and {theirs:.0f} ms; goal: at most 500 ms")

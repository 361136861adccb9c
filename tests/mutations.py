"""Mutate bundles and have each looked at by a process of its own whose memory is limited.

`tampered`: somebody without a key changes files, names and kinds of files; the signature is left as it was. `hostile`:
somebody with a trusted key signs what no bundle may be. All of them must be refused. `noisy`: random bytes in the
network, signed again; such a one is refused, or it is harmless: its golden outputs come out. The process that reads
them may not crash, hang, or use more memory than it may (RLIMIT_AS). Used by the tests (a sample) and by
`tests/prove.py`.
"""

import io
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from insitu.models import signing
from insitu.models.arrays import write_arrays
from insitu.models.manifest import Manifest
from tests import hostile, networks
from tests.tampering import TAMPERED, Mutation, Rng, rewrite

ROOT = Path(__file__).resolve().parent.parent
ADDRESSES = 1 << 30
"""Bytes of address space that the reading process gets beyond what it has after it has read an honest bundle."""
PATIENCE_S = 120.0


# -- with a trusted key: each changes a file, which is then signed again


def _network(folder: Path, network: onnx.ModelProto) -> None:
    (folder / "model.onnx").write_bytes(network.SerializeToString())


def forbidden(folder: Path, rng: Rng) -> None:
    network = networks.classifier()
    hostile.FORBIDDEN[int(rng.integers(len(hostile.FORBIDDEN)))](network)
    _network(folder, network)


def bomb(folder: Path, rng: Rng) -> None:
    nodes, weights = hostile.BOMBS[str(rng.choice(sorted(hostile.BOMBS)))]
    _network(folder, networks.model(nodes, weights))
    _told(folder, operators=tuple(sorted({node.op_type for node in nodes})))


def sixty_four_gib(folder: Path, rng: Rng) -> None:
    """Declared somewhere: a weight, a constant, the input, the output, a value between."""
    network = networks.classifier()
    sizes = [int(n) for n in rng.permutation([2 ** int(k) for k in rng.multinomial(34, [1 / 3] * 3)])]
    where = int(rng.integers(5))
    if where == 0:
        network.graph.initializer[int(rng.integers(3))].dims[:] = sizes
    elif where == 1:
        constant = helper.make_tensor("c", onnx.TensorProto.FLOAT, [1], [0.0])
        constant.dims[:] = sizes
        network.graph.node.insert(0, helper.make_node("Constant", [], ["c0"], value=constant))
    elif where == 4:
        network.graph.value_info.append(helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, sizes))
    else:
        value = (network.graph.input if where == 2 else network.graph.output)[0]
        value.CopyFrom(helper.make_tensor_value_info(value.name, onnx.TensorProto.FLOAT, sizes))
    _network(folder, network)


def odd_manifest(folder: Path, rng: Rng) -> None:
    path = folder / "manifest.json"
    told = path.read_bytes()
    depth = int(rng.choice([20, 1000, 50_000]))
    choices: list[tuple[bytes, bytes]] = [
        (b'"points": 32', b'"points": ' + b"[" * depth + b"]" * depth),
        (b'"points": 32', b'"points": ' + b'{"a":' * depth + b"1" + b"}" * depth),
        (b'"points": 32', b'"points": 1' + b"0" * int(rng.integers(20, 100_000))),
        (b'"points": 32', b'"points": 1e999'),
        (b'"points": 32', b'"points": -Infinity'),
        (b'"points": 32', b'"points": 32,\n      "points": 32'),
        (b'"serial": 7', b'"serial": 7,\n  "serial": 8'),
        (b'"serial": 7', b'"serial": 9223372036854775808'),
        (b'"serial": 7', b'"serial": null'),
        (b'"serial": 7', b'"serial": "7"'),
        (b'"serial": 7', b'"serial": 7, "seriel": 7'),
        (b'"name": "tiny"', b'"name": "../../tiny"'),
        (b'"name": "tiny"', b'"name": "tiny\\u0000"'),
        (b'"model.onnx": "sha256:', b'"/etc/passwd": "sha256:'),
        (b'"created": "2026-11-22"', b'"created": "9999-99-99"'),
        (b'"expires": "2126-11-22"', b'"expires": "2026-11-21"'),
        (b'"format": 1', b'"format": 2'),
        (b"null,\n      1,\n      32", b"null,\n      1,\n      " + b"9" * 30),
        (b"null,\n      1,\n      32", b",".join([b"1"] * 1000)),
        (b'"labels": [', b'"labels": [' + b'"x",' * 20_000),
        (b"three phases", b"three \xff\xfe phases"),
        (b"three phases", b"three " + b"x" * 300_000),
        (told, b""),
        (told, b"{}\n"),
        (told, b"[" * 200_000),
    ]
    old, new = choices[int(rng.integers(len(choices)))]
    assert old in told, old
    path.write_bytes(told.replace(old, new, 1))


def odd_arrays(folder: Path, rng: Rng) -> None:
    x, y = networks.inputs(), np.zeros((4, 3), np.float32)
    good = (folder / "golden.npz").read_bytes()
    choices: list[Callable[[], bytes]] = [
        lambda: write_arrays({"input": x, "output": y}),
        lambda: write_arrays({"input": x, "output": np.full_like(y, np.nan)}),
        lambda: write_arrays({"input": x, "output": np.full_like(y, np.inf)}),
        lambda: write_arrays({"input": x, "output": y[:, :2]}),
        lambda: write_arrays({"input": x[:0], "output": y[:0]}),
        lambda: write_arrays({"input": x, "output": y, "more": y}),
        lambda: write_arrays({"input": np.zeros((20_000, 1, 32), np.float32), "output": np.zeros((20_000, 3), "f4")}),
        lambda: write_arrays({"input": np.zeros((2**24,), np.float64), "output": y}),  # 128 MiB in 128 KiB
        lambda: saved(input=x, output=y).replace(b"(4, 1, 32)", b"(4, 1, 99)"),
        lambda: good[: int(rng.integers(len(good)))],
        lambda: rng.bytes(int(rng.integers(1, 3000))),
        lambda: b"PK\x05\x06" + b"\0" * 18,
        lambda: saved(input=np.array([{"x": 1}], object), output=y),
    ]
    (folder / "golden.npz").write_bytes(choices[int(rng.integers(len(choices)))]())


def saved(**arrays: np.ndarray) -> bytes:
    """What numpy writes, not packed; objects by pickle."""
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def _told(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_bytes(replace(Manifest.from_json(path.read_bytes()), **changes).to_json())


def expired(folder: Path, rng: Rng) -> None:
    _told(folder, created="2020-01-01", expires="2021-01-01")


def another_network(folder: Path, rng: Rng) -> None:
    _network(folder, networks.classifier(seed=int(rng.integers(1, 1000))))


HOSTILE: tuple[Mutation, ...] = (
    forbidden, forbidden, bomb, bomb, sixty_four_gib, sixty_four_gib, odd_manifest, odd_manifest, odd_arrays, expired,
    another_network,
)  # fmt: skip


def noise(folder: Path, rng: Rng) -> None:
    def change(data: bytearray) -> bytearray:
        for _ in range(int(rng.integers(1, 6))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        return data

    rewrite(folder / "model.onnx", change)


# -- looking at them


CHILD = """
import json, os, resource, sys
from pathlib import Path
from insitu.errors import ModelError
from insitu.models.bundle import read_bundle
def most():
    # KiB that were in memory at one time at most; ru_maxrss would begin with what the parent had
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
read_bundle(Path(sys.argv[1]))
size = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[2]),) * 2)
base = most()
for line in sys.stdin:
    try:
        read_bundle(Path(os.fsdecode(bytes.fromhex(line.strip()))))
        said = {"refused": False}
    except ModelError as e:
        said = {"refused": True, "why": str(e), "code": e.exit_code}
    print(json.dumps(said | {"kib": most() - base}), flush=True)
"""


class Looker:
    """The process that reads bundles: one after the other, with limited memory."""

    def __init__(self, honest: Path, public: Path) -> None:
        environment = {**os.environ, signing.KEYS: str(public), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", CHILD, str(honest), str(ADDRESSES)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=ROOT
        )

    def look(self, folder: Path, what: str) -> dict[str, Any]:
        """What the process said of a bundle. Raises where it died or hangs."""
        asked, said, complaints = self.process.stdin, self.process.stdout, self.process.stderr
        assert asked is not None
        assert said is not None
        assert complaints is not None
        asked.write(os.fsencode(folder).hex() + "\n")
        asked.flush()
        assert select.select([said], [], [], PATIENCE_S)[0], f"{what}: no answer within {PATIENCE_S:g} s"
        line = said.readline()
        assert line, f"{what}: the process died ({self.process.wait()})\n{complaints.read()}"
        return json.loads(line)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def mutated(seed: int, folder: Path, many: Mapping[str, int]) -> dict[str, int]:
    """`many` of each kind (`tampered`, `hostile`, `noisy`). Raises where one is taken that must be refused, and where
    the process crashes, hangs or runs out of memory. Counts for the report."""
    rng = np.random.default_rng((seed, 9))
    private, public = signing.make_keys(folder / "keys")
    networks.write(folder / "honest", private)
    networks.write(folder / "older", private, networks.classifier(seed=3), serial=3)
    work = folder / "work"
    counts = {"bundles": 0, "refused": 0, "harmless": 0, "latest_peak_MiB": 0}
    looker = Looker(folder / "honest", public)
    try:
        for i, (kind, change) in enumerate(_drawn(rng, many)):
            work.mkdir()
            shutil.copytree(folder / "older", work / "older")
            copy = shutil.copytree(folder / "honest", work / f"bundle{i}")
            change(copy, rng)
            if kind != "tampered":
                sign_again(copy, private)
            what = f"seed {seed}, {i}: {kind}, {change.__name__}"
            said = looker.look(copy, what)
            counts["bundles"] += 1
            counts["refused"] += said["refused"]
            counts["latest_peak_MiB"] = max(counts["latest_peak_MiB"], said["kib"] // 1024)
            if said["refused"]:
                assert said["code"] == 6, f"{what}: {said}"
            else:
                counts["harmless"] += 1
                assert kind == "noisy", f"{what}: taken"
            shutil.rmtree(work)
    finally:
        looker.close()
    return counts


def _drawn(rng: Rng, many: Mapping[str, int]) -> list[tuple[str, Mutation]]:
    """Every mutation of a kind in turn, beginning anywhere."""
    kinds: dict[str, tuple[Mutation, ...]] = {"tampered": TAMPERED, "hostile": HOSTILE, "noisy": (noise,)}
    drawn = []
    for kind, n in many.items():
        first = int(rng.integers(len(kinds[kind])))
        drawn += [(kind, kinds[kind][(first + i) % len(kinds[kind])]) for i in range(n)]
    return drawn


def sign_again(folder: Path, key: Path) -> None:
    """With a trusted key; the digests in the manifest are made to fit where it can still be read."""
    try:
        networks.sign_again(folder, key)
    except ValueError:
        (folder / signing.NAME).unlink(missing_ok=True)
        signing.sign(folder, key)

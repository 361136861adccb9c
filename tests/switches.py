"""A process that switches models all the time and is killed: what is in force afterwards is whole and runs."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from insitu.models.bundle import call, session
from insitu.models.registry import Registry
from tests.bundles import convolutions, pair, written

SWITCHING = """
import random, sys
from pathlib import Path
from insitu.models.registry import Registry
from insitu.errors import ModelError
registry = Registry(Path(sys.argv[1]), keys=[Path(sys.argv[2])])
dice = random.Random(int(sys.argv[3]))
print("ready", flush=True)
while True:
    step = dice.choice(["add", "activate", "canary", "promote", "rollback"])
    try:
        if step == "add":
            registry.add(Path(dice.choice(sys.argv[4:])))
        elif step == "activate":
            registry.activate("tiny", str(dice.randint(1, 3)))
        elif step == "canary":
            registry.canary("tiny", str(dice.randint(1, 3)))
        elif step == "promote":
            registry.promote("tiny", why="x", criteria={})
        else:
            registry.rollback("tiny")
    except ModelError:
        pass
"""


def killed(root: Path, public: Path, bundles: list[Path], seed: int) -> None:
    """One process that switches all the time, killed at a random moment: what is in force is whole and runs."""
    arguments = [sys.executable, "-c", SWITCHING, str(root), str(public), str(seed), *map(str, bundles)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    time.sleep(random.Random(seed).uniform(0.0, 0.4))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    registry = Registry(root, keys=[public])
    choice = registry.choose("tiny", 0.0)
    assert not choice.told
    golden, expected = choice.acting.golden()
    (found,) = call(session(choice.acting), golden, choice.acting.manifest)
    assert np.allclose(found, expected, atol=1e-4)


def times(seed: int, folder: Path, kills: int) -> dict[str, int]:
    """A registry of three bundles, killed so often while it is switched."""
    private, public = pair(folder / "keys")
    bundles = [
        written(folder / f"b{k}", convolutions(seed=k), key=private, serial=k, version=f"1.{k}.0") for k in (1, 2, 3)
    ]
    registry = Registry(folder / "models", keys=[public])
    for bundle in bundles:
        registry.add(bundle)
    registry.activate("tiny", "1")
    for kill in range(kills):
        killed(registry.root, public, bundles, 1000 * seed + kill)
    return {"kills": kills, "entries": len(registry.entries())}

"""`make prove`: the long, seeded versions of the fault tests, with a dated file that says what was shown.

    python tests/prove.py --out results/                 some 15 minutes
    python tests/prove.py --out results/ --quick         about a minute
    python tests/prove.py --out results/ --minutes 600   new seeds until the time is over
    python tests/prove.py --out results/ --kills 1000 --flips 0

Writes `prove-<time>.json` and `.md`. Exit status 1 where anything failed; the folder of a failed seed is kept beside.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a script, the folder of the tests is there and the one above is not

from insitu import __version__  # noqa: E402
from insitu.run.environment import environment  # noqa: E402
from tests.experiments import EXPERIMENTS, Counts, Experiment  # noqa: E402

KEPT = 5
"""Folders of failed seeds that are kept."""


@dataclass(slots=True)
class Result:
    """What came of one experiment. `counts` are sums over the seeds, those called `latest_...` maxima; `left_out`: why
    it was not done."""

    name: str
    shows: str
    first_seed: int
    seeds: int = 0
    passed: int = 0
    seconds: float = 0.0
    left_out: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, counts: Mapping[str, int]) -> None:
        self.passed += 1
        for key, value in counts.items():
            before = self.counts.get(key, 0)
            self.counts[key] = max(before, value) if key.startswith("latest_") else before + value


def once(experiment: Experiment, seed: int, scratch: Path, keep: Path) -> tuple[Counts, str]:
    """One seed in a folder of its own; its counts, or why it failed (the folder is then kept)."""
    folder = Path(tempfile.mkdtemp(prefix="insitu-prove-", dir=scratch))
    try:
        return experiment.once(seed, folder), ""
    except Exception:  # noqa: BLE001 - whatever went wrong is the finding
        why = traceback.format_exc()
        if len(list(keep.glob("*"))) < KEPT:
            shutil.copytree(folder, keep, dirs_exist_ok=True)
        return {}, why
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def experiments_of(
    names: Mapping[str, int], table: Mapping[str, Experiment], minutes: float | None
) -> Iterator[tuple[str, int | None, float | None]]:
    """(name, seeds, seconds): either so many seeds, or seeds until the time is over."""
    parts = sum(table[name].part for name, seeds in names.items() if seeds)
    for name, seeds in names.items():
        if seeds:
            yield name, None if minutes else seeds, minutes * 60 * table[name].part / parts if minutes else None


def prove(
    table: Mapping[str, Experiment],
    names: Mapping[str, int],
    pool: Executor,
    *,
    workers: int,
    out: Path,
    seed: int = 0,
    minutes: float | None = None,
) -> list[Result]:
    """Run the experiments one after the other, `workers` seeds at a time."""
    results = []
    for name, seeds, seconds in experiments_of(names, table, minutes):
        result = Result(name, table[name].shows, seed)
        results.append(result)
        if (needs := table[name].needs) and find_spec(needs) is None:
            result.left_out = f"{needs} is not installed"
            print(f"{name}: left out, {result.left_out}", file=sys.stderr)
            continue
        began = time.monotonic()
        todo = islice(count(seed), seeds)
        running: dict[Future[tuple[Counts, str]], int] = {}
        while True:
            over = seconds is not None and result.seeds > 0 and time.monotonic() - began > seconds
            for s in islice(todo, 0 if over else workers - len(running)):
                keep = out / f"failed-{name}-{s}"
                running[pool.submit(once, table[name], s, Path(tempfile.gettempdir()), keep)] = s
            if not running:
                break
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                counts, why = done.result()
                s = running.pop(done)
                result.seeds += 1
                if why:
                    result.failures.append({"seed": s, "why": why})
                else:
                    result.add(counts)
            result.seconds = round(time.monotonic() - began, 1)
            tell(result, seeds)
        print(file=sys.stderr)
    return results


def tell(result: Result, seeds: int | None) -> None:
    """One line of progress, rewritten on a terminal."""
    of = f" of {seeds}" if seeds else ""
    failed = f", {len(result.failures)} FAILED" if result.failures else ""
    line = f"{result.name}: {result.seeds}{of} seeds, {result.seconds:.0f} s{failed}"
    if sys.stderr.isatty():
        print(f"\r{line}   ", end="", file=sys.stderr, flush=True)
    elif result.seeds == seeds or result.seeds % 10 == 0:
        print(line, file=sys.stderr, flush=True)


def commit() -> str:
    """The commit that is proved, with `+` where files were changed since."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "not known"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def report(results: Sequence[Result], began: datetime, arguments: Sequence[str]) -> dict[str, Any]:
    """Everything that the files say."""
    now = environment()
    return {
        "began": began.isoformat(timespec="seconds"),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "passed": all(not r.failures for r in results),
        "arguments": list(arguments),
        "commit": commit(),
        "insitu": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "packages": now["packages"],
        "experiments": [asdict(r) for r in results],
    }


def text(body: Mapping[str, Any]) -> str:
    """The report for people."""
    outcome = "passed" if body["passed"] else "FAILED"
    lines = [
        f"# insitu, fault tests of {body['began']}: {outcome}",
        "",
        f"insitu {body['insitu']}, commit {body['commit']}, Python {body['python']}, {body['system']}, "
        f"{body['processors']} processors. Arguments: `{' '.join(body['arguments']) or 'none'}`.",
        "",
        "| experiment | seeds | passed | what was counted | s |",
        "|---|---|---|---|---|",
    ]
    for r in body["experiments"]:
        seeds = f"{r['first_seed']} to {r['first_seed'] + r['seeds'] - 1}" if r["seeds"] else "none"
        counts = ", ".join(f"{value:,} {key.replace('_', ' ')}" for key, value in r["counts"].items())
        passed = f"left out: {r['left_out']}" if r["left_out"] else f"{r['passed']} of {r['seeds']}"
        lines.append(f"| {r['name']}: {r['shows']} | {seeds} | {passed} | {counts} | {r['seconds']:.0f} |")
    for r in body["experiments"]:
        for failure in r["failures"]:
            lines += ["", f"## {r['name']}, seed {failure['seed']}", "", "```", failure["why"].rstrip(), "```"]
    versions = ", ".join(f"{name} {version}" for name, version in body["packages"].items())
    return "\n".join([*lines, "", f"With {versions}.", ""])


def write(body: Mapping[str, Any], out: Path, began: datetime) -> Path:
    """Both files; the path of the readable one."""
    stem = out / f"prove-{began:%Y-%m-%dT%H%M%SZ}"
    stem.with_suffix(".json").write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(text(body), encoding="utf-8")
    return stem.with_suffix(".md")


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results"), help="where the dated files go")
    parser.add_argument("--quick", action="store_true", help="few seeds, about a minute")
    parser.add_argument("--minutes", type=float, help="go on with new seeds for so long, instead of so many seeds")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="seeds at a time")
    for name, experiment in EXPERIMENTS.items():
        parser.add_argument(
            f"--{name}", type=int, metavar="N", help=f"{experiment.shows}: N seeds ({experiment.seeds})"
        )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    options, began = parsed(given), datetime.now(UTC)
    names = {}
    for name, experiment in EXPERIMENTS.items():
        asked = getattr(options, name)
        names[name] = asked if asked is not None else experiment.quick if options.quick else experiment.seeds
    options.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        results = prove(
            EXPERIMENTS,
            names,
            pool,
            workers=options.workers,
            out=options.out,
            seed=options.seed,
            minutes=options.minutes,
        )
    body = report(results, began, given)
    path = write(body, options.out, began)
    print(text(body))
    print(f"Written: {path}", file=sys.stderr)
    return 0 if body["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())

"""`insitu model fit`: a score for anomalies of an instrument of yours, from its own stored good runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insitu.cli.model_options import Keys, Serial, Sign, folder_of
from insitu.cli.model_registry import Root
from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, runs
from insitu.cli.say import answer, note, table

if TYPE_CHECKING:
    from insitu.models.manifest import Manifest
    from insitu.replay.good_runs import GoodRun
    from insitu.training.own_anomaly import Own

EXPECTED = "--like BUNDLE, an anomaly bundle whose numbers are taken, or --features 'KEYS*'"


def fit(
    which: Annotated[
        list[str], typer.Argument(metavar="RUN...", autocompletion=runs, help="Good runs: paths, uids, or `last`.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="Where the bundle goes.")],
    like: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE", help="An anomaly bundle whose numbers are taken: a name, folder or registry:NAME."
        ),
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(metavar="KEYS", help="Recorded features instead, with * and ?, such as 'video_*'; repeatable."),
    ] = None,
    log: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Its logarithm is taken (levels, noise); repeatable.")
    ] = None,
    by: Annotated[
        str, typer.Option(metavar="LABEL", help="A label of the frames that they are learnt apart by (sample, ...).")
    ] = "",
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", metavar="SHARE", help="Good frames that may be called an anomaly.")
    ] = 0.01,
    name: Annotated[str | None, typer.Option(help="Of the bundle; else that of the folder.")] = None,
    modality: Annotated[str, typer.Option(help="Where --like names no bundle: video, xrd, ...")] = "other",
    source: Annotated[str | None, typer.Option(help="The only source that is looked at.")] = None,
    sign: Sign = None,
    serial: Serial = None,
    root: Root = None,
    key: Keys = None,
    data_root: DataRoot = DATA_ROOT,
    allow_unsigned: Annotated[bool, typer.Option("--allow-unsigned", help="--like may be unsigned.")] = False,
    as_json: AsJson = False,
) -> int:
    """Learn from good runs what is usual, and set the threshold for a declared share of false alarms, by frames left
    out with their whole run. Too few runs for that share are refused, with how many are needed."""
    from insitu.catalog import find_run
    from insitu.errors import UsageError
    from insitu.replay.good_runs import good_run
    from insitu.training import own_anomaly

    if (like is None) == (not features):
        raise UsageError("it is not said which numbers of a frame are looked at", where="--like", expected=EXPECTED)
    paths = list(dict.fromkeys(find_run(run, data_root) for run in which))
    parent = None if like is None else _parent(like, root, key or [], allow_unsigned=allow_unsigned)
    kind, params = _numbers(parent and parent[0], paths, features, log or [], source)
    known = [good_run(path, kind, params, by=by, source=source) for path in paths]
    for line in _told(known):
        note(line)
    if again := sum(len(run.values) > 0 for run in known) - len(own_anomaly.usable(known)):
        note(f"{again} of the runs hold the very frames of another one: they count once")
    found = own_anomaly.fit(known, kind, false_alarms)
    called = name or re.sub(r"[^a-z0-9_]+", "_", out.name.lower()).strip("_0123456789-") or "own_anomaly"
    before = parent if parent is not None and parent[0].name == called else None  # an earlier one of the same
    about = own_anomaly.About(
        name=called, modality=parent[0].modality if parent else modality, preparation=kind, params=params,
        serial=serial or (before[0].serial + 1 if before else 1), parent=before[1] if before else "",
    )  # fmt: skip
    bundle = own_anomaly.write(found, known, about, out, sign)
    body = _body(found, own_anomaly.usable(known), bundle.manifest) | {"path": str(out), "digest": bundle.digest}
    answer(body | {"signed_by": bundle.signed_by}, _text(body, kind, signed=bool(bundle.signed_by)), as_json=as_json)
    return 0


def _parent(name: str, root: Path | None, keys: list[Path], *, allow_unsigned: bool) -> tuple[Manifest, str]:
    """The bundle whose numbers are taken, and its digest."""
    from insitu import catalog
    from insitu.errors import ModelError, NotFoundError
    from insitu.models.bundle import read_bundle
    from insitu.models.registry import Registry

    if name.startswith("registry:"):
        bundle = Registry(root, keys=keys).read(name.removeprefix("registry:"), "current")
    else:
        folder = folder_of(Path(name))
        if not (folder / "manifest.json").is_file():
            shipped = catalog.shipped_folder("pipelines") / "models"
            known = sorted(path.parent.name for path in shipped.glob("*_anomaly/manifest.json"))
            raise NotFoundError(
                f'no bundle is named "{name}"', where="--like", expected=f"a folder, or one of {', '.join(known)}"
            )
        bundle = read_bundle(folder, keys=keys, allow_unsigned=allow_unsigned)
    m = bundle.manifest
    if m.task != "anomaly" or m.preparation.name not in ("features", "pattern"):
        raise ModelError(
            f"{m.name} is for {m.task} on {m.preparation.name!r}", where="--like",
            expected="an anomaly score on features or diffraction patterns", remedy="`insitu model refit` fits labels",
        )  # fmt: skip
    return m, bundle.digest


def _numbers(
    parent: Manifest | None, paths: list[Path], features: list[str] | None, log: list[str], source: str | None
) -> tuple[str, dict[str, Any]]:
    """The preparation and its parameters."""
    from insitu.errors import UsageError
    from insitu.replay.good_runs import ends, keys_like
    from insitu.training.own_patterns import common

    if parent is not None and parent.preparation.name == "pattern":
        frames = [frame for path in paths for frame in ends(path, source=source)]
        return "pattern", common(frames, parent.preparation.params)
    params: dict[str, Any] = (
        dict(parent.preparation.params) if parent else {"keys": list(keys_like(paths, features or [], source=source))}
    )
    if unknown := [key for key in log if key not in params["keys"]]:
        raise UsageError(
            f"{unknown[0]!r} is none of the numbers", where="--log", expected=f"one of {', '.join(params['keys'])}"
        )
    logs = [*params.get("log", []), *log]
    return "features", params | ({"log": list(dict.fromkeys(logs))} if logs else {})


def _told(known: list[GoodRun]) -> list[str]:
    """What a person has to know: frames that cannot be used, and those that were called an anomaly."""
    lines: dict[str, int] = {}
    for run in known:
        for why, n in run.refused.items():
            lines[f"cannot be used: {why}"] = lines.get(f"cannot be used: {why}", 0) + n
        for model, n in run.said.items():
            text = f"were called an anomaly by {model!r}: they are learnt as good ones"
            lines[text] = lines.get(text, 0) + n
    return [f"{n} frames {text}" for text, n in sorted(lines.items(), key=lambda pair: -pair[1])[:6]]


def _body(found: Own, known: list[GoodRun], m: Manifest) -> dict[str, Any]:
    return {
        "name": m.name, "version": m.version, "serial": m.serial, "runs": len(known), "frames": found.level.frames,
        "independent": round(found.level.independent, 1), "threshold": m.decision.threshold,
        "false_alarms": found.rate, "left_out": {"alarms": sum(found.alarms), "runs": sum(n > 0 for n in found.alarms)},
        "not_used": sum(run.lost for run in known), "preparation": dict(m.preparation.params),
        "largest": [{"frame": address, "score": round(score, 4)} for address, score in found.largest],
    }  # fmt: skip


def _text(body: Mapping[str, Any], kind: str, *, signed: bool) -> str:
    many, held = f"{body['frames']:,} frames of {body['runs']} runs", body["left_out"]
    rows = [
        ("learnt from", f"{many}, as good as {body['independent']:,.0f} that are independent"),
        ("threshold", f"{body['threshold']:.4g}: at most {100 * body['false_alarms']:g} % of good frames are above it"),
        ("left out", f"{held['alarms']} false alarms, in {held['runs']} of the runs, each by what the others say"),
        ("largest", ", ".join(f"{one['score']:.3g} ({one['frame']})" for one in body["largest"][:3])),
    ]
    use = '[[features]] use = "onnx", [[models]] use = "network"' if kind == "pattern" else '[[models]] use = "network"'
    head = f"{body['name']} {body['version']}, serial {body['serial']}{'' if signed else ', NOT SIGNED (give --sign)'}"
    return f'{head}: {body["path"]}\n{table(rows)}\nIn a recipe: {use}, bundle = "{body["path"]}"'

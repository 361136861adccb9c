"""`insitu model ...`: everything about bundles. One file per family of commands; this one has their list, and the
commands that look at one bundle: `verify`, `show`, and `key`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insitu.cli.model_options import Folder, Keys, Unsigned, folder_of
from insitu.cli.options import AsJson
from insitu.cli.say import answer, size, table

if TYPE_CHECKING:
    from insitu.models.bundle import Bundle
    from insitu.models.manifest import Manifest

COMMANDS: dict[str, str] = {
    "verify": "insitu.cli.model:verify",
    "show": "insitu.cli.model:show",
    "key": "insitu.cli.model:key",
    "quantise": "insitu.cli.model_quantise:quantise",
    "prune": "insitu.cli.model_quantise:prune",
    "distil": "insitu.cli.model_quantise:distil",
    "add": "insitu.cli.model_registry:add",
    "list": "insitu.cli.model_registry:listing",
    "activate": "insitu.cli.model_registry:activate",
    "shadow": "insitu.cli.model_registry:shadow",
    "canary": "insitu.cli.model_registry:canary",
    "promote": "insitu.cli.model_registry:promote",
    "rollback": "insitu.cli.model_registry:rollback",
    "log": "insitu.cli.model_registry:history",
    "fit": "insitu.cli.model_fit:fit",
    "refit": "insitu.cli.model_refit:refit",
}
"""Command to the function that does it; `insitu model --help` lists them in this order."""

HELP = """Networks as signed bundles: verify one, see what it says of itself, make keys, keep and switch them.

FOLDER is the folder of a bundle. A bundle that is refused: exit status 6."""


def application() -> typer.Typer:
    """The sub-commands as one application."""
    app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None)
    for name, place in COMMANDS.items():
        module, function = place.split(":")
        app.command(name)(getattr(import_module(module), function))
    return app


def verify(
    folder: Folder,
    key: Keys = None,
    allow_unsigned: Unsigned = False,
    least_serial: Annotated[int, typer.Option(metavar="N", help="Refuse an older serial.")] = 0,
    as_json: AsJson = False,
) -> int:
    """Verify a bundle: files, signature, digests, age, operators, sizes, golden outputs."""
    from insitu.models.bundle import read_bundle

    bundle = read_bundle(folder_of(folder), keys=key or (), allow_unsigned=allow_unsigned, least_serial=least_serial)
    body = {
        "verified": True, "path": str(folder), "name": bundle.manifest.name, "version": bundle.manifest.version,
        "serial": bundle.manifest.serial, "expires": bundle.manifest.expires, "digest": bundle.digest,
        "signed_by": bundle.signed_by, "bytes": _bytes(bundle), "golden": len(bundle.golden()[0]),
    }  # fmt: skip
    text = (
        f"{body['name']} {body['version']}, serial {body['serial']}: verified. {_signer(bundle)}; "
        f"{body['golden']} golden outputs came out; expires on {body['expires']}.\n{bundle.digest}"
    )
    answer(body, text, as_json=as_json)
    return 0


def show(folder: Folder, key: Keys = None, allow_unsigned: Unsigned = False, as_json: AsJson = False) -> int:
    """What a bundle says of itself: task, data, figures, input, decision. It is verified first."""
    from insitu.models.bundle import read_bundle

    bundle = read_bundle(folder_of(folder), keys=key or (), allow_unsigned=allow_unsigned)
    body = {"manifest": bundle.manifest.to_dict(), "digest": bundle.digest, "signed_by": bundle.signed_by}
    answer(body, _text(bundle), as_json=as_json)
    return 0


def key(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the two files are written.")],
    name: Annotated[str, typer.Option("--name", help="Of the files: NAME.key and NAME.pub.")] = "models",
    as_json: AsJson = False,
) -> int:
    """Make a pair of keys (EC P-256): NAME.key signs and stays secret, NAME.pub is given to whoever verifies."""
    from insitu.models.signing import KEYS, make_keys, public_of

    private, public = make_keys(folder, name)
    made = public_of(private).fingerprint
    text = (
        f"{private} signs bundles: keep it secret (only you may read it).\n{public} verifies them: copy it to where "
        f"the bundles run, and name its folder in {KEYS} there.\n{made}"
    )
    answer({"private": str(private), "public": str(public), "fingerprint": made}, text, as_json=as_json)
    return 0


def _bytes(bundle: Bundle) -> int:
    return sum(map(len, bundle.files.values()))


def _signer(bundle: Bundle) -> str:
    return f"signed with {bundle.signed_by[:23]}" if bundle.signed_by else "NOT SIGNED: accepted because you said so"


def _text(bundle: Bundle) -> str:
    m = bundle.manifest
    rows = [
        ("bundle", f"{m.name} {m.version}, serial {m.serial}, {size(_bytes(bundle))}"),
        ("digest", bundle.digest),
        ("signed", _signer(bundle)),
        ("valid", f"{m.created} to {m.expires}"),
        ("does", f"{m.task} of {m.modality}: {m.description}"),
        ("labels", _some(m.labels)),
        ("input", _tensor(m.inputs) + f", made by {m.preparation.name!r}"),
        *(("output", _tensor(t)) for t in m.outputs),
        ("decision", _decision(m)),
        ("trained by", f"{m.training.script}, split {m.training.split}, seed {m.training.seed}"),
        *(("on", f"{d.name}: {d.n:,} {d.kind}") for d in m.training.data),
        *((f"{x.name}", _metric(x)) for x in m.metrics),
        ("numbers", m.quantisation.kind),
        ("operators", ", ".join(m.operators)),
        ("licence", m.licence),
    ]
    if m.latency:
        rows.append(("latency", f"median {m.latency.p50_ms:g} ms, p99 {m.latency.p99_ms:g} ms on {m.latency.cpu}"))
    if {d.kind for d in m.training.data} == {"simulated"} and all(x.data == "simulated" for x in m.metrics):
        rows.append(("mind", "trained and tried on simulated data only"))
    return table(rows)


def _some(labels: tuple[str, ...], most: int = 12) -> str:
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + more


def _tensor(tensor: Any) -> str:
    shape = " x ".join("batch" if n is None else str(n) for n in tensor.shape)
    return f"{tensor.name}: {shape} {tensor.dtype}" + (f" in {tensor.unit}" if tensor.unit else "")


def _decision(m: Manifest) -> str:
    told: Mapping[str, Any] = {
        "temperature": m.decision.temperature,
        "unknown below": m.decision.abstain_below,
        "threshold": m.decision.threshold,
        "false alarms": m.decision.false_alarms,
    }
    return ", ".join(f"{key} {value}" for key, value in told.items() if value is not None)


def _metric(x: Any) -> str:
    between = f" ({x.low:.4g} to {x.high:.4g})" if x.low is not None and x.high is not None else ""
    note = f"; {x.note}" if x.note else ""
    return f"{x.value:.4g}{between} on {x.n:,} {x.data}" + (f", {x.split}" if x.split else "") + note

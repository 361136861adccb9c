"""A network as a bundle: a folder that is verified as a whole before any part of it is believed.

The order is the point. (1) Every file is read once, within limits. (2) The signature is held against those bytes. (3)
The manifest is parsed, and every digest in it compared. (4) Serial and date. (5) The graph: operators and sizes. (6)
onnxruntime loads those very bytes, and the golden outputs must come out. Nothing is read from the disk a second time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from insitu.errors import InsituError, MissingExtraError, ModelError
from insitu.models import coherence, graph, mlbom, signing
from insitu.models.arrays import read_arrays, write_arrays
from insitu.models.folder import read_folder, write_folder
from insitu.models.manifest import NAME, Manifest
from insitu.models.signing import sha256

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MOST_GOLDEN = 256
"""Golden inputs of a bundle; each costs one inference at every start."""


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified bundle, whole in memory. `digest` (over the manifest's bytes, which name the digest of every other
    file) is what verdicts are signed with; `signed_by` is the fingerprint of the key, "" where it was not signed."""

    manifest: Manifest
    files: Mapping[str, bytes] = field(repr=False)
    digest: str
    signed_by: str
    made: "InferenceSession | None" = field(default=None, repr=False)

    @property
    def model(self) -> bytes:
        """The bytes of `model.onnx`."""
        return self.files["model.onnx"]

    def golden(self) -> tuple[np.ndarray, np.ndarray]:
        """Prepared inputs `(k, ...)` and what the network gives for them: its first output `(k, ...)`."""
        arrays = _golden(self.files, self.manifest)
        return arrays["input"], arrays["output"]

    def calibration(self) -> np.ndarray | None:
        """Prepared inputs `(k, ...)` for quantising, where the bundle has some."""
        data = self.files.get("calibration.npz")
        return None if data is None else read_arrays(data, "calibration.npz", ("input",))["input"]


def read_bundle(
    folder: Path,
    *,
    keys: Sequence[Path] = (),
    allow_unsigned: bool = False,
    least_serial: int = 0,
    today: date | None = None,
    stored: bool = False,
) -> Bundle:
    """Read and verify a bundle. Raises `ModelError`: which file or key, why, and what to do.

    `keys`: public keys (files, or folders of `*.pub`) that count beside the project's own and those of
    `INSITU_MODEL_KEYS`. `allow_unsigned` takes a bundle without a signature, never one with a wrong signature.
    `least_serial`: an older one is refused. `today`: the day that the expiry is compared with. `stored`: it is the copy
    in a run, whose log vouches for these bytes: who signed them and their age were looked at when the run began.
    """
    try:
        files = read_folder(folder)
        if stored:
            return _verified({n: d for n, d in files.items() if n != signing.NAME}, {}, True, 0, date.min)
        trusted = signing.trusted(keys) if signing.NAME in files else {}
        return _verified(files, trusted, allow_unsigned, least_serial, today or datetime.now(UTC).date())
    except InsituError as e:
        if not e.where.startswith((str(folder), "/")):  # else it names a whole path: of the bundle, or of a key
            e.where = f"{folder}/{e.where}" if e.where else str(folder)
        raise


def _verified(
    files: Mapping[str, bytes], trusted: Mapping[str, signing.Key], allow_unsigned: bool, least_serial: int, today: date
) -> Bundle:
    signature = files.get(signing.NAME)
    if signature is not None:
        signed = {name: data for name, data in files.items() if name != signing.NAME}
        signer = signing.verify(signature, signed, trusted)
    elif allow_unsigned:
        signer = ""
    else:
        raise ModelError(
            "not signed", expected=f"a {signing.NAME} made with a trusted key",
            remedy="Sign it, or take it as it is: --allow-unsigned, in a recipe allow_unsigned = true (it is recorded)",
        )  # fmt: skip
    found = Manifest.from_json(files[NAME])
    _check_files(found, files)
    _check_age(found, least_serial, today)
    coherence.check(found)
    golden = _golden(files, found)
    graph.check(files["model.onnx"], found, len(golden["input"]))
    session = open_session(files["model.onnx"])
    _reproduce(session, found, golden)
    return Bundle(found, files, sha256(files[NAME]), signer, session)


def _check_files(found: Manifest, files: Mapping[str, bytes]) -> None:
    """Every other file is there with the digest of the manifest, and no more."""
    others = files.keys() - {NAME, signing.NAME}
    for name in sorted(others | found.files.keys()):
        if name not in found.files or name not in others:
            what = "not in the manifest" if name in others else "in the manifest, but not here"
            raise ModelError(what, where=name, remedy="Get the whole bundle again")
        if sha256(files[name]) != found.files[name]:
            raise ModelError(
                "not the bytes that the manifest names", where=name, expected=found.files[name],
                remedy="Get the bundle again from where it comes from",
            )  # fmt: skip


def _check_age(found: Manifest, least_serial: int, today: date) -> None:
    if found.serial < least_serial:
        raise ModelError(
            f"serial {found.serial} of {found.name} is older than what is in force", where="manifest.json: serial",
            expected=f"{least_serial} or more", remedy=f"`insitu model rollback {found.name}` goes back on purpose",
        )  # fmt: skip
    if today > date.fromisoformat(found.expires):
        raise ModelError(
            f"{found.name} {found.version} expired on {found.expires}", where="manifest.json: expires",
            expected=f"a day after {today}", remedy="Get a newer bundle, or re-fit this one: `insitu model refit`",
        )  # fmt: skip


def _golden(files: Mapping[str, bytes], found: Manifest) -> dict[str, np.ndarray]:
    """The golden arrays: `input`, `output`, and `output1`, ... where there are more outputs."""
    names = ("input", *_outputs(found))
    arrays = read_arrays(files["golden.npz"], "golden.npz", names)
    k = len(arrays["input"]) if arrays["input"].ndim else 0
    for name, tensor in zip(names, (found.inputs, *found.outputs), strict=True):
        array, shape = arrays[name], tensor.shape
        expected = (k, *(shape[1:] if shape[0] in (None, 1) else shape))
        if not 1 <= k <= MOST_GOLDEN or array.shape != expected or array.dtype != tensor.dtype:
            raise ModelError(
                f"{name} is {array.dtype} of {list(array.shape)}", where="golden.npz",
                expected=f"{tensor.dtype} of {list(expected)}, with 1 to {MOST_GOLDEN} cases",
                remedy="Write the bundle again",
            )  # fmt: skip
    return arrays


def _outputs(found: Manifest) -> tuple[str, ...]:
    return ("output", *(f"output{i}" for i in range(1, len(found.outputs))))


def open_session(model: bytes) -> "InferenceSession":
    """onnxruntime on these bytes: one thread, nodes one after the other. Raises `ModelError`."""
    try:
        import onnxruntime as ort
    except ImportError as e:
        raise MissingExtraError("onnxruntime", "models", purpose="running a network") from e

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # what is wrong is raised, not printed
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as e:
        raise ModelError(
            f"onnxruntime does not load it: {_first_line(e)}", where="model.onnx",
            remedy=f"Export the network again for onnxruntime {ort.__version__}, or install a newer one",
        ) from e  # fmt: skip


def session(bundle: Bundle) -> "InferenceSession":
    """The session of a verified bundle: the one that reproduced the golden outputs."""
    return bundle.made or open_session(bundle.model)


def call(made: "InferenceSession", inputs: np.ndarray, found: Manifest) -> list[np.ndarray]:
    """The raw outputs for `(k, ...)` prepared inputs, each `(k, ...)`: in one call, or one by one where the network
    takes no batch. Raises `ModelError`."""
    name = found.inputs.name
    try:
        if found.inputs.shape[0] is None:
            return [np.asarray(x) for x in made.run(None, {name: inputs})]
        single = found.inputs.of(1)
        each = [made.run(None, {name: np.ascontiguousarray(x.reshape(single))}) for x in inputs]
    except Exception as e:
        raise ModelError(f"onnxruntime fails: {_first_line(e)}", where="model.onnx") from e
    out = []
    for i, tensor in enumerate(found.outputs):
        shape = tensor.of(1)[1:] if tensor.shape[0] == 1 else tensor.of(1)
        out.append(np.stack([np.asarray(x[i]).reshape(shape) for x in each]))
    return out


def _reproduce(made: "InferenceSession", found: Manifest, golden: Mapping[str, np.ndarray]) -> None:
    """The golden outputs come out on this machine, within the manifest's tolerance."""
    tolerance = found.tolerance
    outputs = call(made, golden["input"], found)
    for name, output in zip(_outputs(found), outputs, strict=True):
        expected = golden[name]
        if not np.isfinite(expected).all():
            raise ModelError(
                f"the golden {name} holds numbers that are not finite", where="golden.npz", expected="finite numbers",
                remedy="Write the bundle with inputs for which the network gives numbers",
            )  # fmt: skip
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.abs(output.astype(np.float64) - expected) if output.shape == expected.shape else np.array(np.inf)
            most = tolerance.absolute + tolerance.relative * np.abs(expected.astype(np.float64))
            wrong = int(np.count_nonzero(~(error <= most)))
        if wrong:
            raise ModelError(
                f"the golden {name} does not come out: {wrong:,} of {expected.size:,} numbers differ, "
                f"by up to {np.nanmax(error, initial=0.0):.3g}", where="golden.npz",
                expected=f"within {tolerance.absolute:g} + {tolerance.relative:g} of the value",
                remedy="The network works differently on this machine (or for a batch than one by one): do not use it; "
                "write the bundle again here",
            )  # fmt: skip


def _first_line(e: Exception) -> str:
    return str(e).strip().split("\n")[0][:300]


def write_bundle(
    folder: Path,
    manifest: Manifest,
    *,
    model: bytes,
    golden: tuple[np.ndarray, ...],
    calibration: np.ndarray | None = None,
    licence: str,
    key: Path | None,
) -> Bundle:
    """Write a bundle whole (or nothing), signed with the private key in the file `key` (None: unsigned), and read it
    back as a user will. `golden`: prepared inputs `(k, ...)` and the raw outputs, one array for each output.
    `licence`: the text of the file LICENSE. `operators` and `files` of the manifest are filled in here.
    """
    names = ("input", *_outputs(manifest))
    files: dict[str, bytes] = {
        "model.onnx": model,
        "golden.npz": write_arrays(dict(zip(names, golden, strict=True))),
        "LICENSE": licence.encode(),
    }
    if calibration is not None:
        files["calibration.npz"] = write_arrays({"input": calibration})
    digests = {name: sha256(data) for name, data in files.items()}
    files[mlbom.NAME] = mlbom.make(manifest, digests)
    digests[mlbom.NAME] = sha256(files[mlbom.NAME])
    whole = replace(manifest, operators=graph.operators_of(model), files=digests)
    files[NAME] = whole.to_json()
    read: list[Bundle] = []

    def finish(made: Path) -> None:
        if key is not None:
            signing.sign(made, key)
        read.append(_read_back(made, key, whole))

    write_folder(folder, files, finish)
    return read[0]


def _read_back(made: Path, key: Path | None, whole: Manifest) -> Bundle:
    """The new bundle as its users will see it; `batch_exact` is tried, not believed."""
    trusted = {}
    if key is not None:
        public = signing.public_of(key)
        trusted[public.fingerprint] = public
    bundle = _verified(read_folder(made), trusted, key is None, 0, date.fromisoformat(whole.created))
    inputs = bundle.golden()[0]
    if whole.batch_exact:
        together, single = (
            [call(session(bundle), part, whole) for part in parts]
            for parts in ([inputs], [inputs[i : i + 1] for i in range(len(inputs))])
        )
        if any(
            np.concatenate([part[i] for part in single]).tobytes() != whole_output.tobytes()
            for i, whole_output in enumerate(together[0])
        ):
            raise ModelError(
                "the network gives other numbers for a batch than one by one", where="batch_exact", expected="false",
                remedy="Write the bundle with batch_exact=False",
            )  # fmt: skip
    return bundle

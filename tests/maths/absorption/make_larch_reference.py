"""Make the tables `larch_edges.csv` and `larch_curves.csv` beside this file: what xraylarch finds on the same spectra.

    PYTHON_WITH_LARCH tests/maths/absorption/make_larch_reference.py DATA/xafs

xraylarch 2026.3.1 in an environment of its own (`pip install xraylarch==2026.3.1`): it is a reference, never a
dependency. `larch_edges.csv`: E0 and edge step of `pre_edge` with its defaults. `larch_curves.csv`: rows of
(name, e0, step, what, values): norm and flat at every 9th point, chi(k) of autobk (rbkg 1, kweight 2), and every 4th
|chi(R)| of xftf (kmin 3, kmax 12, dk 1, kweight 2, hanning).

Where there are XANES only, larch's least squares stops up to 1e-3 short of its own minimum. "chi" is what larch gives;
"chi_converged" is the same function minimised to the end (ftol = xtol = 1e-15, started anew three times).
"""

import csv
import importlib
import sys
import warnings
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
CURVES = (
    "xaslib/Cu/cu_metal_rt.xdi",
    "xaslib/Fe/Fe2O3_rt_01.xdi",
    "xaslib/Fe/FeS2_rt_01.xdi",
    "xaslib/Cr/cr2s3_15K_001.xdi",
    "xaslib/V/V2O3.xdi",
    "xaslib/Fe/Hansel2001_Fe_foil_xanes_001.xdi",
    "xaslib/Mn/MnO2_rt_01.xdi",
)


def converged(energy, mu, e0, step):
    """chi(k) of autobk with its minimisation carried to the end."""
    import larch
    from larch.xafs import autobk

    module = importlib.import_module("larch.xafs.autobk")
    plain = module.leastsq

    def to_the_end(function, start, args, **keys):
        keys.update(ftol=1e-15, xtol=1e-15, epsfcn=1e-10)
        found = plain(function, start, args, **keys)
        for _ in range(3):
            found = plain(function, found[0], args, **keys)
        return found

    module.leastsq = to_the_end
    try:
        group = larch.Group(energy=energy, mu=mu, e0=e0, edge_step=step)
        autobk(group, rbkg=1.0, kweight=2)
    finally:
        module.leastsq = plain
    return group.chi


def write(name, lines):
    import larch

    with (HERE / name).open("w", newline="", encoding="utf-8") as out:
        out.write(f"# xraylarch {larch.__version__}, made by make_larch_reference.py\n")
        csv.writer(out, lineterminator="\n").writerows(lines)


def main(folder):
    import larch
    import xafs_files as files
    from larch.xafs import autobk, pre_edge, xftf

    edges, curves = [("name", "e0", "step")], [("name", "e0", "step", "what", "values")]
    spectra = {known.path: (known.energy, known.mu) for known in files.library(folder)}
    spectra |= files.cu_foils(folder)
    for number, one in enumerate(files.athena(folder / "athena/FeFoil_QXAFS_Compare.prj")):
        spectra[f"fe_foil_{number}"] = one
    energy, series = files.operando(folder)
    spectra |= {f"operando_{number}": (energy, series[number - 1]) for number in (1, 31, 58)}
    wanted = (*CURVES, "cu_10k", "operando_31")
    for name, (energy, mu) in spectra.items():
        group = larch.Group(energy=energy, mu=mu)
        pre_edge(group)
        edges.append((name, f"{group.e0:.4f}", f"{group.edge_step:.8g}"))
        if name not in wanted and not name.startswith("cu_"):
            continue
        autobk(group, rbkg=1.0, kweight=2)
        found = {}
        if name in wanted:
            found = {"norm": group.norm[::9], "flat": group.flat[::9], "chi": group.chi}
            if group.k[-1] < 8.0:
                found["chi_converged"] = converged(energy, mu, group.e0, group.edge_step)
        if group.k[-1] > 12.0:
            xftf(group, kmin=3, kmax=12, dk=1, kweight=2, window="hanning")
            found["chir_mag"] = group.chir_mag[::4]
            found["shell"] = [np.max(group.chir_mag)]
        for what, values in found.items():
            text = " ".join(f"{value:.7g}" for value in values)
            curves.append((name, repr(float(group.e0)), repr(float(group.edge_step)), what, text))
    write("larch_edges.csv", edges)
    write("larch_curves.csv", curves)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main(Path(sys.argv[1]))

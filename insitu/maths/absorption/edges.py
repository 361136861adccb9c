"""X-ray absorption edges of all elements to californium: which edge a spectrum shows, and where a named one lies.

Binding energies in eV of K, L1, L2, L3, M4 and M5 (0: none). They are tabulated values: chemistry moves an edge by up
to 20 eV, and monochromators are off by a few.

Source of the numbers: W. T. Elam, B. D. Ravel, J. R. Sieber, Radiat. Phys. Chem. 63 (2002) 121, as in xraydb 4.5.8.
"""

from typing import NamedTuple

from insitu.maths.absorption.spectrum import NotMeasurable

SHELLS: tuple[str, ...] = ("K", "L1", "L2", "L3", "M4", "M5")
LIKELY = {"K": 0.0, "L3": 12.0, "M5": 14.0, "L2": 16.0, "L1": 20.0, "M4": 20.0}
"""How many eV nearer an edge of this shell must lie to be preferred to a K edge: what beamlines scan by habit."""
SHIFT = 5.0
"""E0 lies this far above the tabulated energy in the middle of what is measured (metals 0, high oxides 15 to 20)."""
BELOW, ABOVE = 40.0, 60.0
"""How far below and above the tabulated energy an edge is looked for, eV."""


class Edge(NamedTuple):
    """One absorption edge: `element` symbol, `shell` ("K", "L3", ...), tabulated `energy` in eV."""

    element: str
    shell: str
    energy: float

    @property
    def near(self) -> tuple[float, float]:
        """Between which energies E0 of a measured spectrum is to be looked for, eV."""
        return self.energy - BELOW, self.energy + ABOVE


def edge_of(element: str, shell: str = "K") -> Edge:
    """The tabulated edge. Raises `NotMeasurable` for an unknown element or a shell that it does not have.

    >>> edge_of("Fe", "K").energy
    7112.0
    """
    name = element.strip().capitalize()
    wanted = shell.strip().upper()
    if name not in ENERGIES:
        raise NotMeasurable(f"no absorption edges known for {element!r}: expected an element symbol, such as Fe")
    have: dict[str, float] = dict(zip(SHELLS, ENERGIES[name], strict=False))
    if not have.get(wanted):
        names = ", ".join(s for s, v in have.items() if v)
        raise NotMeasurable(f"{name} has no {shell!r} edge in the table: it has {names}")
    return Edge(name, wanted, have[wanted])


def edges_between(low: float, high: float) -> list[Edge]:
    """All tabulated edges between two energies in eV, lowest first.

    >>> [edge[:2] for edge in edges_between(5460.0, 5490.0)]
    [('V', 'K'), ('La', 'L3')]
    """
    found = [
        Edge(element, shell, energy)
        for element, energies in ENERGIES.items()
        for shell, energy in zip(SHELLS, energies, strict=False)
        if low <= energy <= high
    ]
    return sorted(found, key=lambda edge: edge.energy)


def guess_edge(e0: float) -> Edge:
    """The edge that a measured E0 most likely belongs to: the nearest, K before L3 before the others.

    E0 is compared with the tabulated energy + 5 eV (below 2 keV + 2 eV, and habits count less). The energy alone
    cannot tell edges that lie within some 20 eV of one another (V K, 5465, from La L3, 5483): a name in the file or
    the recipe is better. Raises `NotMeasurable` where no edge lies between 60 eV below and 40 eV above (below 2 keV:
    12 and 6).

    >>> [guess_edge(e0)[:2] for e0 in (7125.6, 8980.3, 11564.0, 708.7)]
    [('Fe', 'K'), ('Cu', 'K'), ('Pt', 'L3'), ('Fe', 'L3')]
    """
    soft = e0 < 2000.0  # shifts and calibration errors are smaller there, edges denser, L edges as usual as K
    near = edges_between(e0 - 12.0, e0 + 6.0) if soft else edges_between(e0 - ABOVE, e0 + BELOW)
    if not near:
        raise NotMeasurable(f"no absorption edge is tabulated near {e0:.1f} eV")
    shift, habit = (2.0, 0.25) if soft else (SHIFT, 1.0)
    return min(near, key=lambda edge: abs(e0 - shift - edge.energy) + habit * LIKELY[edge.shell])


ENERGIES: dict[str, tuple[float, ...]] = {
    "H": (13.6,),
    "He": (24.6,),
    "Li": (54.7, 5.3),
    "Be": (111.5, 8.0, 3.0, 3.0),
    "B": (188.0, 12.6, 4.7, 4.7),
    "C": (284.2, 18.0, 7.2, 7.2),
    "N": (409.9, 37.3, 17.5, 17.5),
    "O": (543.1, 41.6, 18.2, 18.2),
    "F": (696.7, 45.0, 19.9, 19.9),
    "Ne": (870.2, 48.5, 21.7, 21.6),
    "Na": (1070.8, 63.5, 30.4, 30.5),
    "Mg": (1303.0, 88.6, 49.6, 49.2),
    "Al": (1559.0, 117.8, 72.9, 72.5),
    "Si": (1839.0, 149.7, 99.8, 99.2),
    "P": (2145.5, 189.0, 136.0, 135.0),
    "S": (2472.0, 230.9, 163.6, 162.5),
    "Cl": (2822.0, 270.0, 202.0, 200.0),
    "Ar": (3205.9, 326.3, 250.6, 248.4),
    "K": (3608.4, 378.6, 297.3, 294.6),
    "Ca": (4038.5, 438.4, 349.7, 346.2),
    "Sc": (4492.0, 498.0, 403.6, 398.7),
    "Ti": (4966.0, 560.9, 460.2, 453.8, 2.0, 2.0),
    "V": (5465.0, 626.7, 519.8, 512.1, 2.0, 2.0),
    "Cr": (5989.0, 696.0, 583.8, 574.1, 2.0, 2.0),
    "Mn": (6539.0, 769.1, 649.9, 638.7, 2.0, 2.0),
    "Fe": (7112.0, 844.6, 719.9, 706.8, 2.0, 2.0),
    "Co": (7709.0, 925.1, 793.2, 778.1, 3.0, 3.0),
    "Ni": (8333.0, 1008.6, 870.0, 852.7, 4.0, 4.0),
    "Cu": (8979.0, 1096.7, 952.3, 932.7, 5.0, 5.0),
    "Zn": (9659.0, 1196.2, 1044.9, 1021.8, 10.2, 10.1),
    "Ga": (10367.0, 1299.0, 1143.2, 1116.4, 18.7, 18.7),
    "Ge": (11103.0, 1414.6, 1248.1, 1217.0, 29.8, 29.2),
    "As": (11867.0, 1527.0, 1359.1, 1323.6, 41.7, 41.7),
    "Se": (12658.0, 1652.0, 1474.3, 1433.9, 55.5, 54.6),
    "Br": (13474.0, 1782.0, 1596.0, 1550.0, 70.0, 69.0),
    "Kr": (14326.0, 1921.0, 1730.9, 1678.4, 95.0, 93.8),
    "Rb": (15200.0, 2065.0, 1864.0, 1804.0, 113.0, 112.0),
    "Sr": (16105.0, 2216.0, 2007.0, 1940.0, 136.0, 134.2),
    "Y": (17038.0, 2373.0, 2156.0, 2080.0, 157.7, 155.8),
    "Zr": (17998.0, 2532.0, 2307.0, 2223.0, 181.1, 178.8),
    "Nb": (18986.0, 2698.0, 2465.0, 2371.0, 205.0, 202.3),
    "Mo": (20000.0, 2866.0, 2625.0, 2520.0, 231.1, 227.9),
    "Tc": (21044.0, 3043.0, 2793.0, 2677.0, 257.6, 253.9),
    "Ru": (22117.0, 3224.0, 2967.0, 2838.0, 284.2, 280.0),
    "Rh": (23220.0, 3412.0, 3146.0, 3004.0, 311.9, 307.2),
    "Pd": (24350.0, 3604.0, 3330.0, 3173.0, 340.5, 335.2),
    "Ag": (25514.0, 3806.0, 3524.0, 3351.0, 374.0, 368.3),
    "Cd": (26711.0, 4018.0, 3727.0, 3538.0, 411.9, 405.2),
    "In": (27940.0, 4238.0, 3938.0, 3730.0, 451.4, 443.9),
    "Sn": (29200.0, 4465.0, 4156.0, 3929.0, 493.2, 484.9),
    "Sb": (30491.0, 4698.0, 4380.0, 4132.0, 537.5, 528.2),
    "Te": (31814.0, 4939.0, 4612.0, 4341.0, 583.4, 573.0),
    "I": (33169.0, 5188.0, 4852.0, 4557.0, 630.8, 619.3),
    "Xe": (34561.0, 5453.0, 5107.0, 4786.0, 689.0, 676.4),
    "Cs": (35985.0, 5714.0, 5359.0, 5012.0, 740.5, 726.6),
    "Ba": (37441.0, 5989.0, 5624.0, 5247.0, 795.7, 780.5),
    "La": (38925.0, 6266.0, 5891.0, 5483.0, 853.0, 836.0),
    "Ce": (40443.0, 6548.0, 6164.0, 5723.0, 902.4, 883.8),
    "Pr": (41991.0, 6835.0, 6440.0, 5964.0, 948.3, 928.8),
    "Nd": (43569.0, 7126.0, 6722.0, 6208.0, 1003.3, 980.4),
    "Pm": (45184.0, 7428.0, 7013.0, 6459.0, 1052.0, 1027.0),
    "Sm": (46834.0, 7737.0, 7312.0, 6716.0, 1110.9, 1083.4),
    "Eu": (48519.0, 8052.0, 7617.0, 6977.0, 1158.6, 1127.5),
    "Gd": (50239.0, 8376.0, 7930.0, 7243.0, 1221.9, 1189.6),
    "Tb": (51996.0, 8708.0, 8252.0, 7514.0, 1276.9, 1241.1),
    "Dy": (53789.0, 9046.0, 8581.0, 7790.0, 1333.0, 1292.0),
    "Ho": (55618.0, 9394.0, 8918.0, 8071.0, 1392.0, 1351.0),
    "Er": (57486.0, 9751.0, 9264.0, 8358.0, 1453.0, 1409.0),
    "Tm": (59390.0, 10116.0, 9617.0, 8648.0, 1515.0, 1468.0),
    "Yb": (61332.0, 10486.0, 9978.0, 8944.0, 1576.0, 1528.0),
    "Lu": (63314.0, 10870.0, 10349.0, 9244.0, 1639.0, 1589.0),
    "Hf": (65351.0, 11271.0, 10739.0, 9561.0, 1716.0, 1662.0),
    "Ta": (67416.0, 11682.0, 11136.0, 9881.0, 1793.0, 1735.0),
    "W": (69525.0, 12100.0, 11544.0, 10207.0, 1872.0, 1809.0),
    "Re": (71676.0, 12527.0, 11959.0, 10535.0, 1949.0, 1883.0),
    "Os": (73871.0, 12968.0, 12385.0, 10871.0, 2031.0, 1960.0),
    "Ir": (76111.0, 13419.0, 12824.0, 11215.0, 2116.0, 2040.0),
    "Pt": (78395.0, 13880.0, 13273.0, 11564.0, 2202.0, 2122.0),
    "Au": (80725.0, 14353.0, 13734.0, 11919.0, 2291.0, 2206.0),
    "Hg": (83102.0, 14839.0, 14209.0, 12284.0, 2385.0, 2295.0),
    "Tl": (85530.0, 15347.0, 14698.0, 12658.0, 2485.0, 2389.0),
    "Pb": (88005.0, 15861.0, 15200.0, 13035.0, 2586.0, 2484.0),
    "Bi": (90526.0, 16388.0, 15711.0, 13419.0, 2688.0, 2580.0),
    "Po": (93105.0, 16939.0, 16244.0, 13814.0, 2798.0, 2683.0),
    "At": (95730.0, 17493.0, 16785.0, 14214.0, 2909.0, 2787.0),
    "Rn": (98404.0, 18049.0, 17337.0, 14619.0, 3022.0, 2892.0),
    "Fr": (101137.0, 18639.0, 17907.0, 15031.0, 3136.0, 3000.0),
    "Ra": (103922.0, 19237.0, 18484.0, 15444.0, 3248.0, 3105.0),
    "Ac": (106755.0, 19840.0, 19083.0, 15871.0, 3370.0, 3219.0),
    "Th": (109651.0, 20472.0, 19693.0, 16300.0, 3491.0, 3332.0),
    "Pa": (112601.0, 21105.0, 20314.0, 16733.0, 3611.0, 3442.0),
    "U": (115606.0, 21757.0, 20948.0, 17166.0, 3728.0, 3552.0),
    "Np": (118669.0, 22427.0, 21600.0, 17610.0, 3849.0, 3664.0),
    "Pu": (121791.0, 23104.0, 22266.0, 18057.0, 3970.0, 3775.0),
    "Am": (124982.0, 23808.0, 22952.0, 18510.0, 4096.0, 3890.0),
    "Cm": (128241.0, 24526.0, 23651.0, 18970.0, 4224.0, 4009.0),
    "Bk": (131556.0, 25256.0, 24371.0, 19435.0, 4353.0, 4127.0),
    "Cf": (134939.0, 26010.0, 25108.0, 19907.0, 4484.0, 4247.0),
}

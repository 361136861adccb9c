"""Features: a frame to numbers with units. Short names for `use` in a recipe's `[[features]]`."""

FEATURES = {
    "front": "insitu.features.front:MovingFront",
    "image.pixels": "insitu.features.image:Pixels",
    "particles": "insitu.features.particles:Particles",
    "prepared": "insitu.features.prepared:Prepared",
    "totals": "insitu.features.totals:Totals",
    "video.drift": "insitu.features.video_drift:Drift",
    "video.quality": "insitu.features.video_quality:Quality",
    "xafs.combination": "insitu.features.xafs_combination:Combination",
    "xafs.edge": "insitu.features.xafs_edge:EdgeFeatures",
    "xafs.exafs": "insitu.features.xafs_exafs:Exafs",
    "xafs.foil": "insitu.features.xafs_foil:Foil",
    "xafs.quality": "insitu.features.xafs_quality:Quality",
    "xmcd": "insitu.features.xmcd:Xmcd",
    "xrd.cell": "insitu.features.xrd_cell:Cell",
    "xrd.pair": "insitu.features.xrd_pair:Pair",
    "xrd.peaks": "insitu.features.xrd:Peaks",
    "xrd.phases": "insitu.features.xrd_phases:Phases",
    "xrd.rings": "insitu.features.rings:Rings",
    "xrd.size_strain": "insitu.features.xrd_size:SizeStrain",
}

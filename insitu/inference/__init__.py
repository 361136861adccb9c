"""Inference: measurements to verdicts. Short names for `use` in a recipe's `[[models]]`."""

MODELS = {
    "change_point": "insitu.inference.change_point:ChangePoint",
    "classes": "insitu.inference.classes:Classes",
    "departure": "insitu.inference.departure:Departure",
    "drift": "insitu.inference.drift:Drift",
    "fuse": "insitu.inference.fuse:Fuse",
    "gaps": "insitu.inference.track_gaps:Gaps",
    "grain_track": "insitu.inference.grain_track:GrainTrack",
    "limits": "insitu.inference.limits:Limits",
    "network": "insitu.inference.onnx_verdict:Network",
    "phases": "insitu.inference.phases:Phases",
    "phases.agree": "insitu.inference.phases_agree:PhasesAgree",
    "track": "insitu.inference.track:Track",
    "track.front": "insitu.inference.track_front:TrackFront",
}

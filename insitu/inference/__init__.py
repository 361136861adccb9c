"""Inference: measurements to verdicts. Short names for `use` in a recipe's `[[models]]`."""

MODELS = {
    "change_point": "insitu.inference.change_point:ChangePoint",
    "grain_track": "insitu.inference.grain_track:GrainTrack",
    "limits": "insitu.inference.limits:Limits",
    "phases": "insitu.inference.phases:Phases",
    "track": "insitu.inference.track:Track",
    "track.front": "insitu.inference.track_front:TrackFront",
}

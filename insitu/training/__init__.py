"""Scripts that make the shipped models: `python -m insitu.training.NAME --out FOLDER`. Nothing here runs on the edge.

Tools that they share: `options` (command line), `splits` (by group, never by row), `metrics` (with n and intervals),
`export` (weights as ONNX), `latency`, `publish` (the bundle). Torch (extra `train`) is imported where it is needed.
"""

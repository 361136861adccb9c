"""Speed beside what a user would pick instead: ratios of interleaved runs, medians, and a check that both sides did
the same work. `python -m benchmarks [NAME ...] [--quick] [--folder DISK]`."""

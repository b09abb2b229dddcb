"""Every benchmark in turn: `python -m benchmarks`, or `make bench`."""

from benchmarks import apply, cloud, peer, plan, ranges, up, warm

for benchmark in (plan, peer, warm, ranges, cloud, up, apply):
    benchmark.main()

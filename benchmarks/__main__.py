"""Every benchmark in turn: `python -m benchmarks`, or `make bench`."""

from benchmarks import apply, peer, plan, ranges, up, warm

for benchmark in (plan, peer, warm, ranges, up, apply):
    benchmark.main()

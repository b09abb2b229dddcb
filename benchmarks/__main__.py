"""Every benchmark in turn: `python -m benchmarks`, or `make bench`."""

from benchmarks import peer, plan, ranges, up, warm

for benchmark in (plan, peer, warm, ranges, up):
    benchmark.main()

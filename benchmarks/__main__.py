"""Every benchmark, one line each: `python -m benchmarks`, or `make bench`."""

from benchmarks import peer, plan, up, warm

for benchmark in (plan, peer, warm, up):
    benchmark.main()

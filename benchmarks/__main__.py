"""Every benchmark, one line each: `python -m benchmarks`, or `make bench`."""

from benchmarks import plan, up

for benchmark in (plan, up):
    benchmark.main()

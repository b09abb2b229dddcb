"""What is wanted, and what was decided before: the environment and its lock.

`load` reads `environment.yaml` into a frozen `Environment`; `Lock` is the memory
of decisions. Invariant: nothing past this package sees YAML, units or defaults.
"""

"""Real Kafka as processes on this machine, with nothing but Python installed.

Invariant: a process is ours only if its pid, its start time and its node's folder agree.
"""

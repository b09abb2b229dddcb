"""Every setting of every file, decided by pure functions and printed by Jinja.

Invariant: each emitted key exists in the deployed version's own definitions, each
constant cites its source, and templates decide nothing.
"""

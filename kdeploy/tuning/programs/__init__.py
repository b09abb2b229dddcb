"""Programs that nodes get as files and that run on their hosts.

Invariant: each is whole in its file, needs Python's standard library alone, and imports nothing of kdeploy.
"""

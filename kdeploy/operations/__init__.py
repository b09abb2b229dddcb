"""The order of things: up, down, the rolling order, resume.

The only package that puts infra, playbooks and cluster together. Invariant:
running any of it again after a crash finishes it; what is, is compared with what
should be, and only the difference is done.
"""

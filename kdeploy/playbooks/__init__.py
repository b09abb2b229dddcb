"""The Ansible playbook and its roles, and how they are run.

They carry what the Blueprint decided to hosts and compute nothing. Invariant: Ansible is a
process of its own, always; no secret is in its arguments, its output or its log.
"""

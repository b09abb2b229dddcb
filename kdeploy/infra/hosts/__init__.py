"""Machines that a person already has, reached by SSH: bare metal or virtual, with systemd.

Looking, starting and stopping go over SSH directly, because they are asked for again and again;
everything that changes a host goes through the playbook, which is given to this room as a value.
Invariant: what is on the host decides; nothing about it is remembered here in between.
"""

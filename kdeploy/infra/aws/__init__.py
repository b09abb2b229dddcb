"""Nodes in AWS: Pulumi makes machines, networks and names as the Blueprint says.

Invariant: components take slices of the Blueprint and decide nothing; no secret is in what they are given, so
none is in Pulumi's state.
"""

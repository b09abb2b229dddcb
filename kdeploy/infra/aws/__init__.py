"""Machines from AWS: Pulumi makes what the Blueprint says, provider hosts does all the rest.

Invariant: nothing here decides; a program takes slices of the Blueprint, and a stack carries it out.
"""

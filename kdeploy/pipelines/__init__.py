"""Pipelines: the ready workflows, and what their jobs tell GitHub or GitLab.

`ready` holds the files that a team copies; `forge` speaks to the host of the repository; `telling` decides
what is said there, and where something of ours is brought up to date in place of being said again.

Invariant: no cluster is contacted from here, and the token of the forge is in no message and no text.
"""

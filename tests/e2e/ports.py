"""First ports of every cluster of processes under test: two rows of tests run side by side on one machine.

Invariant: below 32768, from where Linux lends ports to outgoing connections (net.ipv4.ip_local_port_range); away from
those that a person's own clusters use (19000 on); and no two clusters have a hundred ports in common, of which each
takes one for each of its roles.
"""

from __future__ import annotations

from typing import Final

SESSION: Final = {"local": 20000, "local-kraft": 20100}
THREAD: Final = {"local": 20200, "local-kraft": 20300}
PREVIEW: Final = 20400
GITLAB: Final = 20500
GITHUB: Final = 20600
CHANGES: Final = 20700
PROVIDER: Final = 20800
PASSIVE: Final = (21000, 23000)
ACTIVE: Final = (25500, 26500)
THREE: Final = (20900, 21900, 26900)
THREE_PASSIVE: Final = (19700, 24800, 25800)
FAULTS: Final = {"local": 24200, "local-kraft": 24300}

CLUSTERS: Final = (
    *(one for table in (SESSION, THREAD, FAULTS) for one in table.items()),
    *(("local", port) for port in (PREVIEW, CHANGES)),
    *(("local-kraft", port) for port in (GITLAB, GITHUB)),
    *(("local-two-dc-passive", port) for port in PASSIVE),
    *(("local-two-dc-active", port) for port in ACTIVE),
    *(("local-three-dc-active", port) for port in THREE),
    *(("local-three-dc-passive", port) for port in THREE_PASSIVE),
)
"""Each with its environment."""

"""An AWS for tests: a real Pulumi engine, a provider that turns resources into calls, and moto that answers.

See README.md for what it does not prove. `python -m tests.cloud` starts one to work with by hand.
"""

from __future__ import annotations

"""What a lock's machines and volumes cost is what the plan said they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdeploy import planner
from kdeploy.planner.decide import decide
from kdeploy.planner.locked import monthly_usd
from kdeploy.spec import load
from kdeploy.spec.lock import LockedDatacenter

SHIPPED = Path(__file__).parents[2] / "environments"


def decided(tmp_path: Path, text: str) -> tuple[LockedDatacenter, dict[str, float]]:
    folder = tmp_path / "some"
    folder.mkdir(exist_ok=True)
    (folder / "environment.yaml").write_text(text)
    environment = load.load(folder).environment
    plan = planner.plan(environment)
    (locked,) = decide(environment, plan, None, lambda: "i" * 22).datacenters
    return locked, plan.datacenters[0].cost.parts


PROD = (SHIPPED / "prod-eu" / "environment.yaml").read_text()


@pytest.mark.parametrize(
    "extra",
    ["", "planner: {price_discount: 30%}\n"],
)
def test_a_lock_costs_what_its_plan_said(tmp_path: Path, extra: str) -> None:
    locked, parts = decided(tmp_path, PROD + extra)
    machines = sum(parts[name] for name in ("brokers", "volumes", "coordination"))
    assert monthly_usd(locked, 0.3 if extra else 0.0) == pytest.approx(machines, abs=0.02)


def test_what_has_no_price_has_none(tmp_path: Path) -> None:
    locked, _ = decided(tmp_path, PROD)
    gone = locked.brokers.model_copy(update={"instance_type": "m0.gone"})
    assert monthly_usd(locked.model_copy(update={"brokers": gone})) is None
    assert monthly_usd(locked.model_copy(update={"region": None})) is None

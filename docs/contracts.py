"""The JSON Schema of every document that a command prints: what docs/schemas/ holds, and what has been promised.

    python docs/contracts.py --accept    promise what is new in docs/schemas/index.json

Documents that are a dataclass have their schema from it; those that a command puts together have it here, by
hand. Both are closed: every field is required and none other is allowed, so a document that changes fails the
test that holds it against its schema.

The rule for a change. A field that is added keeps its version: write it here, run `make docs`, then the command
above. A field that is renamed, removed, or given another type or meaning takes another version: write it under a
new name (`kdeploy.up/v2`) in the command and here. `--accept` refuses the second kind of change under an old
version, and a test fails until what is in docs/schemas/ is what the index promises.

Invariant: the index is written by `--accept` alone, never by `make docs`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from kdeploy.cluster.mirror import MirrorStatus
from kdeploy.planner.arithmetic import Arithmetic
from kdeploy.planner.capacity import FleetCapacity
from kdeploy.planner.costs import Costs
from kdeploy.planner.result import Assumption, Plan

FOLDER: Final = Path(__file__).parent / "schemas"
INDEX: Final = FOLDER / "index.json"

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
NUMBER: Final[Schema] = {"type": "number"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
ACTION: Final[Schema] = {"enum": ["create", "start", "update", "restart", "none", "unseen"]}


def optional(schema: Schema) -> Schema:
    """That, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def items(schema: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": schema}


def each(schema: Schema) -> Schema:
    """A map from any name."""
    return {"type": "object", "additionalProperties": schema}


def fields(**found: Schema) -> Schema:
    """An object with just these fields."""
    return {
        "type": "object",
        "properties": found,
        "required": sorted(found),
        "additionalProperties": False,
    }


def of(kind: Any) -> Schema:  # noqa: ANN401 - any dataclass
    """The schema of a dataclass as `asdict` prints it, closed."""
    return closed(TypeAdapter(kind).json_schema(mode="serialization"))


def closed(part: Any) -> Any:  # noqa: ANN401 - JSON
    """Every field required and no other allowed; without titles, defaults and descriptions."""
    if isinstance(part, list):
        return [closed(one) for one in part]
    if not isinstance(part, dict):
        return part
    found = {
        key: closed(value)
        for key, value in part.items()
        if key not in ("title", "default", "description") or isinstance(value, dict)
    }
    if isinstance(found.get("properties"), dict):
        found |= {"required": sorted(found["properties"]), "additionalProperties": False}
    return found


CHECK: Final = fields(name=TEXT, ok=FLAG, detail=TEXT)
NODE: Final = fields(node=TEXT, action=ACTION, reason=TEXT)
CHECKED: Final = {"datacenter": TEXT, "ok": FLAG, "checks": items(CHECK)}
OUTCOME: Final = fields(
    **CHECKED,
    changed=FLAG,
    bootstrap=TEXT,
    client_properties=optional(TEXT),
    nodes=items(NODE),
    changes=items(TEXT),
    left=items(TEXT),
    without=items(TEXT),
)
CHANGE: Final = fields(
    datacenter=TEXT,
    layer={
        "enum": [
            *("resources", "host", "files", "nodes", "settings", "topics", "users", "acls", "quotas", "cost")
        ]
    },
    kind=TEXT,
    name=TEXT,
    what=TEXT,
    why=TEXT,
    before=optional(TEXT),
    after=optional(TEXT),
    restart=FLAG,
    effect={"enum": ["create", "change", "remove", "start", "restart", "none"]},
    path=optional(TEXT),
    diff=TEXT,
)
DRIFTED: Final = {
    "layer": {"enum": ["nodes", "files", "host", "settings", "topics", "users", "acls", "quotas"]},
    "name": TEXT,
    "key": TEXT,
}
PLACE: Final = {"file": TEXT, "line": COUNT, "path": TEXT}
LOCAL_DISKS: Final = fields(count=COUNT, size=NUMBER, write_throughput=NUMBER, documented=FLAG)
TYPE: Final = fields(
    name=TEXT,
    family=TEXT,
    architecture=TEXT,
    current_generation=FLAG,
    vcpus=COUNT,
    reference_processors=NUMBER,
    memory=NUMBER,
    network=NUMBER,
    ebs_throughput=NUMBER,
    ebs_iops=NUMBER,
    local_disks=optional(LOCAL_DISKS),
    usd_per_hour=NUMBER,
)
VOLUME: Final = fields(
    usd_per_gib_month=NUMBER,
    usd_per_iops_month=items(fields(beyond=NUMBER, usd=NUMBER)),
    usd_per_mib_s_month=NUMBER,
    least_size=NUMBER,
    most_size=NUMBER,
    most_iops=NUMBER,
    most_throughput=NUMBER,
    confidence=each(TEXT),
)

STEP: Final = fields(what=TEXT, seconds=optional(NUMBER))
FAILOVER: Final = fields(
    environment=TEXT,
    source=TEXT,
    target=TEXT,
    planned=FLAG,
    epoch=COUNT,
    rto_seconds=optional(NUMBER),
    rpo_seconds=optional(NUMBER),
    records_lost=optional(COUNT),
    records_lost_is_estimated=FLAG,
    records_lost_at_most=optional(COUNT),
    records_lost_if_still_written=optional(COUNT),
    last_seen=optional(TEXT),
    steps=items(STEP),
    exported=optional(fields(folder=TEXT, records=COUNT)),
    already=FLAG,
    dry_run=FLAG,
    behind=optional(fields(records=optional(COUNT), seconds=optional(NUMBER))),
    groups=items(fields(group=TEXT, re_read=COUNT, skipped=COUNT, untranslated=COUNT, checkpoint=FLAG)),
    notes=items(TEXT),
    refused=items(TEXT),
    returned=optional(TEXT),
    warnings=items(TEXT),
    handed=optional(each(TEXT)),
    taken_back=items(TEXT),
)
OBJECTIVE: Final = fields(objective_seconds=NUMBER, seconds=optional(NUMBER), met=FLAG)
DRILL: Final = fields(
    environment=TEXT,
    mode={"enum": ["active-passive", "active-active"]},
    active=optional(TEXT),
    ok=FLAG,
    rpo=OBJECTIVE,
    rto=OBJECTIVE,
    directions=items(
        fields(
            source=TEXT,
            target=TEXT,
            mirrored_now=FLAG,
            written=COUNT,
            arrived=COUNT,
            doubled=COUNT,
            p50_seconds=optional(NUMBER),
            p99_seconds=optional(NUMBER),
            max_seconds=optional(NUMBER),
            unmirrored_records=COUNT,
            behind=optional(fields(records=optional(COUNT), seconds=optional(NUMBER))),
            group=optional(fields(seconds=optional(NUMBER), committed=COUNT, goes_on=optional(COUNT))),
        )
    ),
    steps=items(STEP),
    problems=items(TEXT),
    removed=items(TEXT),
)


def _of_planning() -> dict[str, Schema]:
    """What says what is wanted, planned and known, before anything runs."""
    fleet = of(FleetCapacity)
    shared = ("feasible", "throughput", "peak", "bottleneck", "limits")
    return {
        "kdeploy.plan/v1": of(Plan),
        "kdeploy.cost/v1": of(Costs),
        "kdeploy.explain/v1": fields(explanations=items(of(Arithmetic))),
        "kdeploy.capacity/v1": fields(
            environment=optional(TEXT),
            **{name: fleet["properties"][name] for name in shared},
            datacenters=items(fleet),
            assumed=fields(imbalance=NUMBER, lagging=NUMBER, hot_window=optional(NUMBER), encrypted=FLAG),
            assumptions=items(of(Assumption)),
        ),
        "kdeploy.catalogue/v1": fields(
            region=TEXT,
            date=TEXT,
            exact=FLAG,
            catalogue=TEXT,
            offering_known=FLAG,
            sources=each(TEXT),
            cross_zone_usd_per_gib=NUMBER,
            cross_region_usd_per_gib=NUMBER,
            volumes=each(VOLUME),
            types=items(TYPE),
        ),
        "kdeploy.catalogue-refresh/v1": fields(
            region=TEXT, date=TEXT, file=TEXT, types=COUNT, left_out=each(COUNT), volumes=each(TEXT)
        ),
        "kdeploy.validate/v1": fields(
            valid=FLAG,
            environments=items(
                fields(
                    name=TEXT,
                    file=TEXT,
                    valid=FLAG,
                    fits=optional(FLAG),
                    problems=items(fields(**PLACE, wrong=TEXT, right=TEXT)),
                    risks=items(fields(**PLACE, name=TEXT, why=TEXT)),
                )
            ),
        ),
        "kdeploy.vault-listing/v1": fields(
            environment=TEXT,
            certificates=items(fields(name=TEXT, subject=TEXT, not_after=TEXT)),
            passwords=items(TEXT),
        ),
    }


def _of_changes() -> dict[str, Schema]:
    """What says how a cluster differs, and what was done about it."""
    return {
        "kdeploy.preview/v2": fields(
            environment=TEXT,
            pending=FLAG,
            clusters=items(fields(datacenter=TEXT, pending=FLAG, compared=FLAG)),
            summary=fields(create=COUNT, change=COUNT, remove=COUNT, start=COUNT, restart=COUNT, files=COUNT),
            changes=items(CHANGE),
            notes=items(TEXT),
        ),
        "kdeploy.apply/v1": fields(
            environment=TEXT,
            changed=FLAG,
            clusters=items(fields(datacenter=TEXT, changes=items(CHANGE))),
        ),
        "kdeploy.drift/v1": fields(
            environment=TEXT,
            drifted=FLAG,
            items=items(
                fields(
                    **DRIFTED,
                    datacenter=TEXT,
                    git=optional(TEXT),
                    found=optional(TEXT),
                    winner={"enum": ["git", "cluster"]},
                    why=TEXT,
                )
            ),
            accepted=optional(fields(files=items(TEXT), left=items(fields(**DRIFTED, why=TEXT)))),
            unseen=items(TEXT),
        ),
        "kdeploy.import/v1": fields(
            environment=TEXT,
            files=items(TEXT),
            topics=items(TEXT),
            users=items(TEXT),
            quotas=items(TEXT),
            left_out=items(TEXT),
        ),
    }


def _of_running() -> dict[str, Schema]:
    """What says what became of nodes, and how they are."""
    return {
        "kdeploy.up/v1": fields(environment=TEXT, changed=FLAG, clusters=items(OUTCOME)),
        "kdeploy.status/v1": fields(
            environment=TEXT,
            ok=FLAG,
            clusters=items(
                fields(
                    **CHECKED,
                    nodes=items(
                        fields(
                            node=TEXT,
                            action=ACTION,
                            reason=TEXT,
                            rack=TEXT,
                            role={"enum": ["zookeeper", "controller", "broker", "mirror"]},
                            running=FLAG,
                            detail=TEXT,
                        )
                    ),
                )
            ),
        ),
        "kdeploy.verify/v1": fields(environment=TEXT, ok=FLAG, clusters=items(fields(**CHECKED))),
        "kdeploy.restart/v1": fields(environment=TEXT, restarted=items(TEXT)),
        "kdeploy.replace/v1": fields(
            environment=TEXT,
            node=TEXT,
            old=TEXT,
            new=TEXT,
            fence={"enum": ["stopped", "vouched", "before"]},
            clusters=items(OUTCOME),
        ),
        "kdeploy.unlock/v1": fields(environment=TEXT, ended=items(TEXT), unasked=items(TEXT)),
        "kdeploy.clients/v1": fields(
            environment=TEXT,
            clients=items(
                fields(
                    datacenter=TEXT,
                    user=optional(TEXT),
                    administrator=FLAG,
                    bootstrap=TEXT,
                    external=FLAG,
                    folder=TEXT,
                    files=items(TEXT),
                )
            ),
        ),
        "kdeploy.mirror/v1": of(MirrorStatus),
        "kdeploy.failover/v1": FAILOVER,
        "kdeploy.drill/v1": DRILL,
        "kdeploy.drill-preview/v1": fields(
            environment=TEXT,
            mode=TEXT,
            active=optional(TEXT),
            steps=items(TEXT),
            removes=items(TEXT),
            refused=items(TEXT),
        ),
        "kdeploy.down/v1": fields(environment=TEXT, stopped=items(TEXT), data={"enum": ["kept", "deleted"]}),
    }


def schemas() -> dict[str, Schema]:
    """Every document's schema by its `schema` value."""
    found = {}
    for name, schema in sorted({**_of_planning(), **_of_changes(), **_of_running()}.items()):
        whole = {**schema, "properties": {"schema": {"const": name}, **schema["properties"]}}
        whole["required"] = sorted(whole["properties"])
        # What a dataclass of another refers to stands at the top of the document.
        definitions = _lifted(whole)
        found[name] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": name,
            **whole,
            **({"$defs": definitions} if definitions else {}),
        }
    return found


def _lifted(part: Any) -> dict[str, Schema]:  # noqa: ANN401 - JSON
    found: dict[str, Schema] = {}
    if isinstance(part, dict):
        found |= part.pop("$defs", {})
        for value in list(part.values()):
            found |= _lifted(value)
    elif isinstance(part, list):
        for value in part:
            found |= _lifted(value)
    return found


def file_name(name: str) -> str:
    """`preview-v2.json` for `kdeploy.preview/v2`."""
    return name.removeprefix("kdeploy.").replace("/", "-") + ".json"


def texts() -> dict[Path, str]:
    """What each file of docs/schemas/ holds, but for the index."""
    return {
        FOLDER / file_name(name): json.dumps(schema, indent=2, sort_keys=True) + "\n"
        for name, schema in schemas().items()
    }


def promise() -> dict[str, dict[str, Any]]:
    """What is promised of each document: the hash of its schema's file, and the type of each of its fields."""
    found = schemas()
    written = texts()
    return {
        name: {
            "sha256": hashlib.sha256(written[FOLDER / file_name(name)].encode()).hexdigest(),
            "fields": dict(sorted(_fields("", schema, schema.get("$defs", {})).items())),
        }
        for name, schema in found.items()
    }


def _fields(path: str, part: Schema, definitions: dict[str, Schema]) -> dict[str, str]:
    """Each field by its path, `clusters[].nodes[].action`, with its type in words."""
    if "$ref" in part:
        return _fields(path, definitions[part["$ref"].rpartition("/")[2]], definitions)
    found = {path: _type(part)} if path else {}
    for name, one in part.get("properties", {}).items():
        found |= _fields(f"{path}.{name}" if path else name, one, definitions)
    if isinstance(part.get("items"), dict):
        found |= _fields(f"{path}[]", part["items"], definitions)
    if isinstance(part.get("additionalProperties"), dict):
        found |= _fields(f"{path}{{}}", part["additionalProperties"], definitions)
    for one in part.get("anyOf", ()):
        below = _fields(path, one, definitions)
        found |= {where: what for where, what in below.items() if where != path}
    return found


def _type(part: Schema) -> str:
    if "anyOf" in part:
        return " or ".join(sorted(_type(one) for one in part["anyOf"]))
    if "$ref" in part:
        return "object"
    if "const" in part:
        return f"the text {part['const']}"
    return (
        "one of " + ", ".join(map(str, part["enum"])) if "enum" in part else str(part.get("type", "anything"))
    )


def broken(promised: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Promises that are not kept any more, a sentence each; a value more in a closed list breaks none."""
    found = []
    for name, before in promised.items():
        if name not in now:
            found.append(f"{name} is gone: keep it for as long as a command can print it")
            continue
        for path, kind in before["fields"].items():
            after = now[name]["fields"].get(path)
            if after is None:
                found.append(f"{name}: {path} is gone: it takes another version")
            elif after != kind and not _wider(kind, after):
                found.append(f"{name}: {path} was {kind} and is {after}: it takes another version")
    return found


def _wider(before: str, after: str) -> bool:
    """Whether a closed list has all values that it had."""
    both = before.startswith("one of ") and after.startswith("one of ")
    old, new = (set(text.removeprefix("one of ").split(", ")) for text in (before, after))
    return both and old <= new


def accept() -> int:
    """Promise what is new; refuses what breaks a promise."""
    now = promise()
    promised = json.loads(INDEX.read_text()) if INDEX.exists() else {}
    # The version before of a document that has another now is printed by nobody any more.
    superseded = {name for name in promised if name not in now and _has_another(name, now)}
    wrong = broken({name: one for name, one in promised.items() if name not in superseded}, now)
    for sentence in wrong:
        print(sentence)
    if not wrong:
        INDEX.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    return 1 if wrong else 0


def _has_another(name: str, now: dict[str, Any]) -> bool:
    return any(one.partition("/")[0] == name.partition("/")[0] for one in now)


if __name__ == "__main__":
    sys.exit(accept() if "--accept" in sys.argv[1:] else f"{__doc__}")

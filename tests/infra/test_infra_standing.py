"""What stands of a node is told without the content of any secret, on this machine and on hosts."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdeploy.blueprint import RenderedFile
from kdeploy.infra import Standing
from kdeploy.infra.hosts import look, remote
from kdeploy.infra.local.provider import LocalProvider
from tests.infra.nodes import SECRETS, blueprint, node

SECRET = "secrets/identity.pem"
DIGEST = hashlib.sha256(SECRETS[SECRET]).hexdigest()


@pytest.fixture
def home(tmp_path: Path, provider: LocalProvider) -> Path:
    one = node()
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    return tmp_path / "nodes" / "here" / "broker-1"


def test_of_a_node_that_was_never_there_nothing_stands(provider: LocalProvider) -> None:
    assert provider.standing([node()]) == {}


def test_what_was_put_there_is_told_with_its_command(provider: LocalProvider, home: Path) -> None:
    assert provider.standing([node()]) == {
        "here/broker-1": Standing(
            {"config/hint.txt": "soft\n", "config/server.properties": "broker.id=1\n"},
            {SECRET: DIGEST},
            (),
            ("-Xmx64m", "Serve", "config/server.properties"),
        )
    }


@pytest.mark.parametrize("how", ["edited", "gone", "open to others"])
@pytest.mark.parametrize("path", ["config/server.properties", SECRET])
def test_what_somebody_changed_is_named_and_a_secret_is_not_shown(
    provider: LocalProvider, home: Path, path: str, how: str
) -> None:
    file = home / path
    if how == "edited":
        file.write_text("hunter3\n")
    elif how == "gone":
        file.unlink()
    else:
        file.chmod(0o644)
    (found,) = provider.standing([node()]).values()
    assert found.by_hand == (path,)
    shown = {"edited": "hunter3\n", "gone": "", "open to others": "broker.id=1\n"}[how]
    assert found.files["config/server.properties"] == (shown if path != SECRET else "broker.id=1\n")
    assert found.secrets == {SECRET: DIGEST}, "what was put there, not what is there"
    assert "hunter" not in repr(replace(found, files={}))


def test_a_file_that_is_on_its_way_out_still_stands(provider: LocalProvider, home: Path) -> None:
    record = json.loads((home / "node.json").read_text())
    record["stale"], record["applied"] = ["config/old.txt"], None
    (home / "config/old.txt").write_text("old\n")
    (home / "node.json").write_text(json.dumps(record))
    (found,) = provider.standing([node()]).values()
    assert found.files["config/old.txt"] == "old\n"


def test_a_host_tells_its_texts_and_of_secrets_only_what_was_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, secret, gone = (tmp_path / name for name in ("a.conf", "key.pem", "b.conf"))
    plain.write_text("now\n")
    secret.write_text("hunter2\n")
    os.chmod(secret, 0o600)
    record = tmp_path / "node.json"
    files = {str(plain): "x", str(secret): hashlib.sha256(b"hunter2\n").hexdigest(), str(gone): "y"}
    record.write_text(json.dumps({"files": files, "secrets": [str(secret)]}))
    monkeypatch.setattr(remote, "RECORD", str(record))
    answer: dict[str, Any] = remote.files({})
    assert "hunter2" not in json.dumps(answer)
    assert look.standing(answer) == Standing(
        {str(plain): "now\n", str(gone): ""}, {str(secret): files[str(secret)]}, (str(plain), str(gone))
    )


def test_a_host_that_was_never_touched_has_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "RECORD", str(tmp_path / "none"))
    assert look.standing(remote.files({})) is None


def test_a_text_of_any_bytes_is_told(provider: LocalProvider, home: Path) -> None:
    (home / "config/hint.txt").write_bytes(b"\xff\xfe")
    one = replace(node(), files=(*node().files, RenderedFile("config/new.txt", "new\n")))
    (found,) = provider.standing([one]).values()
    assert found.files["config/hint.txt"] == "\ufffd\ufffd"
    assert "config/new.txt" not in found.files

"""`vault create`, `show` and `edit`: what they change, what they show, and what they never show."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kdeploy.cli import main
from kdeploy.operations import places, prepare
from kdeploy.security import vault as vault_file
from kdeploy.spec.load import Loaded, load

PASSWORD = "a long password for tests"
ENVIRONMENTS = {
    "dev": "datacenters: [{provider: local}]\n",
    "prod": "datacenters: [{provider: aws, region: eu-west-1, racks: [a, b, c]}]\n",
}
USERS = "users:\n  - name: alice\n  - name: bob\n"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two environments, a state folder, and no password from outside."""
    for name, text in ENVIRONMENTS.items():
        folder = tmp_path / "environments" / name
        folder.mkdir(parents=True)
        (folder / "environment.yaml").write_text(text + USERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("KDEPLOY_VAULT_PASSWORD_FILE", raising=False)
    monkeypatch.setenv("KDEPLOY_VAULT_PASSWORD", PASSWORD)
    monkeypatch.delenv("VISUAL", raising=False)
    return tmp_path


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kdeploy", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return call


def lock(name: str) -> Loaded:
    loaded = load(Path("environments") / name)
    prepare.save_lock(prepare.design(loaded, freeze=True))
    return loaded


def secrets_in(loaded: Loaded) -> set[str]:
    from kdeploy.security import password

    key = password.local_password(places.vault_key_file(loaded)) if places.is_local(loaded) else PASSWORD
    opened = vault_file.read(places.vault_file(loaded), key)
    keys = {identity.key.splitlines()[2] for identity in opened.identities().values()}
    return keys | set(opened.passwords.values()) | {key}


@pytest.mark.parametrize(
    ("name", "remedy"), [("dev", "kdeploy up dev"), ("prod", "kdeploy plan prod --lock")]
)
def test_a_vault_waits_for_the_decisions_in_the_lock(run: Run, name: str, remedy: str) -> None:
    code, out, err = run("vault", "create", name)
    assert (code, out) == (1, "")
    assert "nothing is decided" in err
    assert remedy in err


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_create_makes_the_vault_once_and_then_finds_nothing_missing(run: Run, name: str) -> None:
    loaded = lock(name)
    code, out, _ = run("vault", "create", name)
    assert code == 0
    assert "the password of alice" in out
    before = places.vault_file(loaded).read_bytes()
    assert run("vault", "create", name)[:2] == (0, f"{places.vault_file(loaded)}: nothing is missing\n")
    assert places.vault_file(loaded).read_bytes() == before


def test_create_adds_the_password_of_a_new_user_alone(run: Run, place: Path) -> None:
    loaded = lock("prod")
    run("vault", "create", "prod")
    before = vault_file.read(places.vault_file(loaded), PASSWORD)
    with (place / "environments/prod/environment.yaml").open("a") as file:
        file.write("  - name: carol\n")
    code, out, _ = run("vault", "create", "prod")
    assert code == 0
    assert out.splitlines()[1:] == ["  the password of carol"]
    after = vault_file.read(places.vault_file(loaded), PASSWORD)
    assert after.identities() == before.identities()
    assert dict(after.passwords) == {**before.passwords, "carol": after.passwords["carol"]}


def test_a_short_password_makes_no_vault(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = lock("prod")
    monkeypatch.setenv("KDEPLOY_VAULT_PASSWORD", "short-one")
    code, _, err = run("vault", "create", "prod")
    assert code == 1
    assert "too short" in err
    assert "short-one" not in err
    assert not places.vault_file(loaded).exists()


def test_a_wrong_password_is_one_message_and_exit_code_1(run: Run, place: Path) -> None:
    lock("prod")
    run("vault", "create", "prod")
    (place / "other").write_text("not the password\n")
    for command in ("create", "show", "edit"):
        code, out, err = run("vault", command, "prod", "--vault-password-file", str(place / "other"))
        assert (code, out) == (1, "")
        assert "the password is wrong" in err
        assert "not the password" not in err


@pytest.mark.parametrize("output", ["text", "markdown", "json"])
def test_show_lists_names_and_endings_and_no_secret(run: Run, output: str) -> None:
    loaded = lock("dev")
    run("vault", "create", "dev")
    code, out, err = run("vault", "show", "dev", "--output", output)
    assert code == 0
    for name in ("authority/nodes", "administrator", "node/dc1/broker-1", "brokers/dc1", "user/alice"):
        assert name in out
    assert "CN=broker-1.dc1,OU=nodes,O=dev" in out
    assert not [secret for secret in secrets_in(loaded) if secret in out + err]


def test_show_as_json_is_a_documented_contract(run: Run) -> None:
    lock("dev")
    run("vault", "create", "dev")
    listing = json.loads(run("vault", "show", "dev", "--output", "json")[1])
    assert listing["schema"] == "kdeploy.vault-listing/v1"
    assert listing["passwords"] == ["user/alice", "user/bob"]
    assert set(listing["certificates"][0]) == {"name", "subject", "not_after"}


def test_reveal_prints_the_one_secret_that_was_named(run: Run) -> None:
    loaded = lock("prod")
    run("vault", "create", "prod")
    opened = vault_file.read(places.vault_file(loaded), PASSWORD)
    for name in ("alice", "user/alice"):
        assert run("vault", "show", "prod", "--reveal", name)[1] == opened.passwords["alice"] + "\n"
    assert run("vault", "show", "prod", "--reveal", "administrator")[1] == opened.administrator.key
    code, _, err = run("vault", "show", "prod", "--reveal", "nobody")
    assert (code, "nothing called 'nobody'" in err) == (2, True)
    assert run("vault", "show", "prod", "--reveal", "alice", "--output", "json")[0] == 2


def editor(place: Path, program: str) -> str:
    """An EDITOR that runs a Python program with the text's path in `file`, and notes what it saw."""
    script = place / "editor.py"
    script.write_text(
        "import json, os, sys\n"
        "from pathlib import Path\n"
        "file = Path(sys.argv[1])\n"
        f"note = Path({str(place / 'seen')!r})\n"
        "modes = [file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777]\n"
        "note.write_text(json.dumps([str(file), modes, sorted(os.environ)]))\n"
        f"{program}\n"
    )
    return shlex.join([sys.executable, str(script)])


@pytest.fixture
def made(run: Run) -> Loaded:
    loaded = lock("prod")
    run("vault", "create", "prod")
    return loaded


def test_edit_keeps_what_was_changed(
    run: Run, place: Path, made: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import re; file.write_text(re.sub('alice: .*', 'alice: a-new-password', file.read_text()))"
    monkeypatch.setenv("EDITOR", editor(place, program))
    code, out, _ = run("vault", "edit", "prod")
    assert (code, out.split(";")[0]) == (0, "changed")
    assert vault_file.read(places.vault_file(made), PASSWORD).passwords["alice"] == "a-new-password"
    assert stat.S_IMODE(places.vault_file(made).stat().st_mode) == 0o600


def test_the_text_being_edited_is_private_and_gone_afterwards(
    run: Run, place: Path, made: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", editor(place, "(file.parent / '.vault.yaml.swp').write_text('a copy')"))
    before = places.vault_file(made).read_bytes()
    assert run("vault", "edit", "prod")[:2] == (0, "nothing was changed\n")
    file, modes, variables = json.loads((place / "seen").read_text())
    assert modes == [0o600, 0o700]
    assert not Path(file).parent.exists()
    assert "KDEPLOY_VAULT_PASSWORD" not in variables
    assert places.vault_file(made).read_bytes() == before


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            "file.write_text(file.read_text().replace('alice: ', 'alice: x #'))",
            "passwords.alice: is not 8 to 256",
        ),
        (
            "file.write_text(file.read_text().replace('environment: prod', 'environment: dev'))",
            "is made out to",
        ),
        ("file.write_text('')", "document: is missing"),
        ("file.unlink()", "the edited file is gone"),
        ("sys.exit(3)", "ended with code 3"),
    ],
)
def test_broken_content_leaves_the_vault_as_it_was(
    run: Run, place: Path, made: Loaded, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    monkeypatch.setenv("EDITOR", editor(place, program))
    secrets, before = secrets_in(made), places.vault_file(made).read_bytes()
    code, out, err = run("vault", "edit", "prod")
    assert (code, out) == (1, "")
    assert message in err
    assert places.vault_file(made).read_bytes() == before
    assert not [secret for secret in secrets if secret in err]
    assert not Path(json.loads((place / "seen").read_text())[0]).parent.exists()


def test_a_person_may_go_back_to_the_same_text(
    place: Path, made: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kdeploy.operations import vaults

    program = (
        "text = file.read_text()\n"
        "if 'schema: broken' in text:\n"
        "    file.write_text(text.replace('schema: broken', 'schema: kdeploy.vault/v1').replace('alice: ', 'carol: '))\n"
        "else:\n"
        "    file.write_text(text.replace('schema: kdeploy.vault/v1', 'schema: broken'))"
    )
    monkeypatch.setenv("EDITOR", editor(place, program))
    faults: list[str] = []

    def go_back(fault: str) -> bool:
        faults.append(fault)
        return True

    assert vaults.edit(made, go_back)
    assert len(faults) == 1
    assert faults[0].startswith("schema: ")
    assert set(vault_file.read(places.vault_file(made), PASSWORD).passwords) == {"bob", "carol"}


def test_an_editor_that_is_not_there_is_named(
    run: Run, made: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "no-such-editor")
    code, _, err = run("vault", "edit", "prod")
    assert code == 1
    assert "no-such-editor cannot be started" in err


@pytest.mark.parametrize(("named", "said"), [('vim "', "no closing quotation"), ("  ", "vi")])
def test_an_editor_that_cannot_be_read_as_a_command_is_no_defect(
    run: Run, made: Loaded, monkeypatch: pytest.MonkeyPatch, named: str, said: str
) -> None:
    monkeypatch.setenv("EDITOR", named)
    monkeypatch.setenv("PATH", "/nowhere")
    code, _, err = run("vault", "edit", "prod")
    assert code == 1
    assert said in err
    assert "cannot be started" in err


def test_ctrl_c_in_the_editor_is_the_editors(
    run: Run, place: Path, made: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A terminal sends it to both of us; an editor such as vim takes it as a command and goes on.
    program = (
        "import re, signal, time\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, 'it is not told to ignore it'\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "time.sleep(0.2)\n"
        "file.write_text(re.sub('alice: .*', 'alice: a-new-password', file.read_text()))"
    )
    monkeypatch.setenv("EDITOR", editor(place, program))
    code, out, _ = run("vault", "edit", "prod")
    assert (code, out.split(";")[0]) == (0, "changed")


def test_two_people_do_not_edit_at_once(
    run: Run, place: Path, made: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import sys; sys.argv = ['kdeploy', 'vault', 'edit', 'prod']; from kdeploy.cli import main; main()"
    )
    second = (
        "import subprocess\n"
        f"other = subprocess.run([sys.executable, '-c', {program!r}], capture_output=True, text=True)\n"
        "Path('other').write_text(f'{other.returncode} {other.stderr}')"
    )
    monkeypatch.setenv("EDITOR", editor(place, second))
    assert run("vault", "edit", "prod")[0] == 0
    assert (
        (place / "other").read_text().startswith("6 kdeploy: another kdeploy is at work on prod: vault edit")
    )


def test_ansible_vault_opens_it(place: Path, made: Loaded) -> None:
    (place / "password").write_text(PASSWORD)
    command = [
        str(Path(sys.executable).with_name("ansible-vault")),
        "view",
        "--vault-password-file",
        str(place / "password"),
    ]
    surroundings = {"HOME": str(place), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    seen = subprocess.run(
        [*command, str(places.vault_file(made))], capture_output=True, text=True, check=True, env=surroundings
    )
    assert "schema: kdeploy.vault/v1" in seen.stdout
    assert vault_file.read(places.vault_file(made), PASSWORD).passwords["alice"] in seen.stdout

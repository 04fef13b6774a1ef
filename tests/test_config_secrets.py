"""A secret is written by reference, found at the start, and shown to nobody."""

import json
import logging
import os
import pickle

import msgspec
import pytest

from gateway import log
from gateway.config import ConfigError, load
from gateway.config.document import Document
from gateway.config.secrets import Hidden

SECRET = "h7nter2-and-more"
HUB = '[hub]\nid = "hub-0042"\n[uplink]\nurl = "mqtts://broker.example.com"\npassword = {}\n'


@pytest.fixture
def password(tmp_path):
    """A function that reads a config whose password is written so, and gives the password."""

    def read(written: str, **options) -> str:
        (tmp_path / "hub.toml").write_text(HUB.format(written))
        return load(tmp_path / "hub.toml", **{"environ": {}, **options}).uplink.password

    return read


def told(password, written: str, **options) -> str:
    with pytest.raises(ConfigError) as caught:
        password(written, **options)
    (problem,) = caught.value.problems
    assert problem.path.startswith("uplink.password")
    assert (problem.line, problem.column >= 12) == (5, True)
    return problem.text.partition(": ")[2]


def test_a_secret_comes_from_a_credential_of_the_service(password, tmp_path):
    (tmp_path / "mqtt").write_text(SECRET + "\n")
    assert password('{ credential = "mqtt" }', credentials_dir=tmp_path) == SECRET
    assert password('{ credential = "mqtt" }', environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}) == SECRET


def test_a_secret_comes_from_a_file_that_only_the_hub_may_read(password, tmp_path):
    file = tmp_path / "mqtt"
    file.write_text(SECRET)
    file.chmod(0o600)
    assert password(f'{{ file = "{file}" }}') == SECRET
    assert password('{ file = "mqtt" }') == SECRET, "a relative path is meant from the file that says so"
    file.chmod(0o640)
    assert password(f'{{ file = "{file}" }}') == SECRET


def test_a_secret_comes_from_the_environment(password):
    assert password('{ env = "MQTT_PASSWORD" }', environ={"MQTT_PASSWORD": SECRET}) == SECRET


@pytest.mark.parametrize(
    ("content", "secret"), [("x\n", "x"), ("x\r\n", "x"), ("x\n\n", "x\n"), (" x ", " x "), ("ü", "ü"), ("a\nb\n", "a\nb")]
)
def test_one_newline_at_the_end_is_no_part_of_a_secret(password, tmp_path, content, secret):
    (tmp_path / "mqtt").write_bytes(content.encode())
    assert password('{ credential = "mqtt" }', credentials_dir=tmp_path) == secret


def test_a_config_can_be_checked_where_its_secrets_are_not(password):
    for written in ('{ credential = "mqtt" }', '{ file = "/nowhere" }', '{ env = "NOWHERE" }'):
        assert password(written, resolve_secrets=False) == ""


def test_a_secret_that_is_not_there_is_told_with_how_to_put_it_there(password, tmp_path):
    remedy = "expected LoadCredential=mqtt:/etc/canary/secrets/mqtt in the service's unit"
    assert told(password, '{ credential = "mqtt" }') == (
        f'there is no credential "mqtt" ($CREDENTIALS_DIRECTORY is not set), {remedy}'
    )
    assert told(password, '{ credential = "mqtt" }', credentials_dir=tmp_path) == (
        f'there is no credential "mqtt" in {tmp_path}, {remedy}'
    )
    assert told(password, '{ env = "MQTT_PASSWORD" }') == (
        'there is no environment variable "MQTT_PASSWORD", expected the service to have it'
    )
    assert told(password, '{ file = "mqtt" }') == (
        f"there is no file {tmp_path}/mqtt, expected the secret in it: `install -m 600 /dev/stdin {tmp_path}/mqtt`"
    )


def test_a_file_that_others_may_read_is_told_with_how_to_close_it(password, tmp_path):
    (tmp_path / "mqtt").write_text(SECRET)
    (tmp_path / "mqtt").chmod(0o644)
    assert told(password, '{ file = "mqtt" }') == (
        f"{tmp_path}/mqtt can be read by every user of this machine, expected `chmod 600 {tmp_path}/mqtt`"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", 'the file "mqtt" is empty'),
        (b"\n", 'the file "mqtt" is empty'),
        (b"\xff\xfe\xfd", "is not text"),
        (b"x" * 70_000, "too large"),
    ],
)
def test_a_file_without_a_usable_secret_is_told(password, tmp_path, content, words):
    (tmp_path / "mqtt").write_bytes(content)
    (tmp_path / "mqtt").chmod(0o600)
    assert words in told(password, '{ file = "mqtt" }')


def test_what_is_no_file_is_told(password, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in (".", "pipe", "/dev/zero"):
        assert "is no file" in told(password, f'{{ file = "{name}" }}')
    assert "cannot be read" in told(password, '{ file = "a\\u0000b" }')


@pytest.mark.parametrize(
    "written",
    [
        f'"{SECRET}"',
        f"'{SECRET}'",
        f'"""\n{SECRET}"""',
        f'["{SECRET}"]',
        f'{{ password = "{SECRET}" }}',
        f'{{ file = ["{SECRET}"] }}',
        f'{{ file = "/x", text = "{SECRET}" }}',
        f'{{ env = "X", file = "{SECRET}" }}',
        SECRET,
        f'"{SECRET}',
        f"„{SECRET}“",
        f'{{ text = "{SECRET} }}',
        f'"{SECRET}" x',
        f'"{SECRET}\\x"',
        f'"{SECRET}" "{SECRET}"',
        f"'{SECRET}'s'",
        f"[{SECRET}",
        "5 " + SECRET,
        "2024-" + SECRET,
    ],
)
def test_a_secret_that_somebody_writes_down_is_refused_and_never_repeated(password, written):
    for resolve in (True, False):
        with pytest.raises(ConfigError) as caught:
            password(written, resolve_secrets=resolve)
        assert caught.value.problems[0].line == 5
        assert SECRET not in str(caught.value)
        assert SECRET not in repr(caught.value)
        assert SECRET not in "".join(map(repr, caught.value.problems))


@pytest.mark.parametrize(
    "line",
    [
        f"password {SECRET}",
        f'password "{SECRET}"',
        f'password: "{SECRET}"',
        f"password == {SECRET}",
        f'pass word = "{SECRET}"',
        f'passwort = "{SECRET}"',
    ],
)
def test_a_line_about_a_secret_that_is_not_toml_is_not_repeated(line):
    document = Document.decode("hub.toml", f"[uplink]\n{line}\n".encode())
    assert SECRET not in "".join(str(problem) for problem in document.problems)


def test_a_password_in_the_address_of_the_broker_is_not_repeated(tmp_path):
    (tmp_path / "hub.toml").write_text(f'[hub]\nid = "h"\n[uplink]\nurl = "mqtt://me:{SECRET}@broker/x"\n')
    with pytest.raises(ConfigError, match="expected the keys username and password") as caught:
        load(tmp_path / "hub.toml")
    assert SECRET not in str(caught.value)


# ---------------------------------------------------------------- once it is read


def test_a_secret_shows_as_stars_wherever_it_is_printed(password, tmp_path, caplog):
    (tmp_path / "mqtt").write_text(SECRET)
    config_password = password('{ credential = "mqtt" }', credentials_dir=tmp_path)
    config = load(tmp_path / "hub.toml", credentials_dir=tmp_path)
    for shown in (repr(config), str(config), f"{config}", f"{config_password}", str(config_password), repr([config_password])):
        assert SECRET not in shown
    assert "***" in repr(config.uplink)
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("connecting with %s and %r", config_password, config.uplink)
    assert SECRET not in caplog.text
    assert SECRET not in log._line({"event": "connecting", "password": config_password, "uplink": config.uplink})
    with pytest.raises(TypeError):
        msgspec.json.encode(config.uplink)


def test_a_secret_is_the_text_itself_to_whoever_connects_with_it():
    secret = Hidden(SECRET)
    assert secret.encode() == SECRET.encode()
    assert secret == SECRET
    assert hash(secret) == hash(SECRET)
    assert bytes.fromhex(Hidden("00ff")) == b"\x00\xff"
    assert bool(Hidden("")) is False
    assert (str(Hidden("")), repr(Hidden(""))) == ("", "''")
    assert pickle.loads(pickle.dumps(secret)) == SECRET
    assert json.dumps(len(secret)) == str(len(SECRET))


def test_another_secret_is_another_config(password, tmp_path):
    (tmp_path / "mqtt").write_text(SECRET)
    old = password('{ credential = "mqtt" }', credentials_dir=tmp_path)
    (tmp_path / "mqtt").write_text("renewed")
    assert password('{ credential = "mqtt" }', credentials_dir=tmp_path) != old

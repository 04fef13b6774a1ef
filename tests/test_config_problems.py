"""What a person reads about the mistakes in a config, word by word: tests/golden/config/<case>/{hub.toml,problems.txt}.

`GOLDEN=write pytest tests/test_config_problems.py` renews the expected words; look at the difference before you keep it.
"""

import os
from pathlib import Path

import pytest

from gateway.config import ConfigError, load

CASES = Path(__file__).parent / "golden" / "config"


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_every_mistake_is_told_in_one_run_with_its_place_and_remedy(case, monkeypatch):
    monkeypatch.chdir(CASES / case)
    with pytest.raises(ConfigError) as caught:
        load("hub.toml", profiles=["profiles"], resolve_secrets=False)
    told = f"{caught.value}\n"
    if os.environ.get("GOLDEN") == "write":
        Path("problems.txt").write_text(told)
    assert told == Path("problems.txt").read_text()

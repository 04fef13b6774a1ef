"""The example, the JSON Schema and the reference say what the reader goes by."""

import json
import re
from datetime import date, time
from pathlib import Path

import pytest
import tomli

import drivers
from gateway import diagnosis
from gateway.config import check_file, load
from gateway.config.reference import BEGIN, END, reference, renew
from gateway.config.schema import schema

FOLDER = Path(__file__).parent.parent / "config"
SHIPPED = [name for name, entry in drivers.available().items() if entry.value.startswith("drivers.")]
EXAMPLE = tomli.loads((FOLDER / "hub.toml").read_text())


# ---------------------------------------------------------------- the example


def test_the_example_has_no_mistake_and_shows_every_kind_of_bus_and_rule():
    config = load(FOLDER / "hub.toml", resolve_secrets=False)
    assert {bus.common.driver for bus in config.buses.values()} == {"modbus-rtu", "modbus-tcp", "serial", "ble"}
    assert {rule.kind for rule in config.rules.values()} >= {"threshold", "rate", "stuck", "silent", "when"}
    assert check_file(FOLDER / "hub.toml").endswith("and 7 rules")


def test_the_example_explains_its_tables_and_keys_where_they_stand():
    speaks_for_itself = {"username", "contact", "name", "maker", "address", "serial", "chamber_temp", "burner", "door"}
    seen, explained = set(), set()
    for line in (FOLDER / "hub.toml").read_text().splitlines():
        if match := re.match(r"\[(\w+)|(\w+)[\w.]* +=", line):
            seen.add(match[1] or match[2])
            explained |= {match[1] or match[2]} if "  #" in line else set()
        elif heading := re.match(r"# ---- (\w+)s:", line):
            explained.add({"Buse": "bus"}.get(heading[1], heading[1].lower()))
    assert len(seen) > 40
    assert seen - explained - speaks_for_itself == set()


def test_the_first_line_of_the_example_names_the_schema():
    assert (FOLDER / "hub.toml").read_text().startswith("#:schema hub.schema.json\n")
    assert (FOLDER / "hub.schema.json").is_file()


# ---------------------------------------------------------------- the schema


def test_the_schema_in_the_folder_is_the_one_that_the_types_make():
    made = json.dumps(schema(SHIPPED), indent=1, ensure_ascii=False) + "\n"
    assert (FOLDER / "hub.schema.json").read_text() == made, "renew it: python -m gateway.config.schema > config/hub.schema.json"


def complaints(value, schema, where="config"):
    """What a value does that its schema forbids: the words of JSON Schema that ours uses, and no others."""
    assert not schema.keys() - {
        *["$schema", "title", "description", "default", "examples", "type", "properties", "required", "additionalProperties"],
        *[
            "propertyNames",
            "pattern",
            "enum",
            "const",
            "not",
            "oneOf",
            "anyOf",
            "items",
            "minItems",
            "maxItems",
            "minLength",
            "maxLength",
        ],
        *["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minProperties", "maxProperties", "format"],
    }
    kinds = {"object": dict, "array": list, "string": str | date | time, "integer": int, "number": int | float, "boolean": bool}
    if "type" in schema:
        types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if not any(isinstance(value, kinds[one]) and (one == "boolean") == isinstance(value, bool) for one in types):
            yield f"{where}: {value!r} is no {types}"
            return
    if isinstance(value, dict):
        yield from table_complaints(value, schema, where)
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1e9):
            yield f"{where}: {len(value)} items"
        for item in value:
            yield from complaints(item, schema.get("items", {}), f"{where}[]")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{where}: {value!r} is not {schema['pattern']}"
    if isinstance(value, int | float) and not schema.get("minimum", -1e99) <= value <= schema.get("maximum", 1e99):
        yield f"{where}: {value} is out of range"
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        yield f"{where}: {value!r} is none of {schema}"
    if "not" in schema and not list(complaints(value, schema["not"], where)):
        yield f"{where}: {value!r} is what it must not be"
    for word, fits in (("anyOf", lambda count: count > 0), ("oneOf", lambda count: count == 1)):
        if word in schema and not fits(sum(not list(complaints(value, one, where)) for one in schema[word])):
            yield f"{where}: {value!r} does not fit {word}"


def table_complaints(value, schema, where):
    for key in set(schema.get("required", [])) - value.keys():
        yield f"{where}: {key} is missing"
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", 1e9):
        yield f"{where}: {len(value)} keys"
    for key, inner in value.items():
        yield from complaints(key, schema.get("propertyNames", {}), f"{where}.{key}")
        known = schema.get("properties", {}).get(key, schema.get("additionalProperties", {}))
        if known is False:
            yield f"{where}: {key} is not known"
        else:
            yield from complaints(inner, known, f"{where}.{key}")


SCHEMA = schema(SHIPPED)


@pytest.mark.parametrize("name", ["hub.toml", "demo.toml"])
def test_an_editor_finds_no_fault_with_a_good_config(name):
    assert list(complaints(tomli.loads((FOLDER / name).read_text()), SCHEMA)) == []


@pytest.mark.parametrize(
    "path",
    [
        ("hub", "id", "hub 42"), ("hub", "sit", "x"), ("uplink", "password", "hunter2"), ("uplink", "password", {}),
        ("uplink", "keep_alive", 60), ("bus", "plant", "baud", "19200"), ("bus", "plant", "parity", "evn"),
        ("bus", "plant", "hots", "x"), ("bus", "x y", {"driver": "ble"}),
        ("device", "freezer-1", "every", 5), ("device", "freezer-1", "every", "5 sek"), ("device", "freezer-1", "unti", 5),
        ("device", "freezer-1", "points", "core_temp", "input", -1), ("device", "freezer-1", "points", "door", "discrte", 3),
        ("rule", "freezer-warm", "kind", "treshold"), ("rule", "freezer-warm", "abov", "5 °C"), ("rule", "freezer-warm", "on", []),
        ("devices", {}),
    ],
)  # fmt: skip
def test_an_editor_underlines_a_mistake(path):
    config = json.loads(json.dumps(EXAMPLE, default=str))
    *parents, key, value = path
    table = config
    for parent in parents:
        table = table[parent]
    table[key] = value
    assert list(complaints(config, SCHEMA))


def test_a_bus_of_a_driver_that_is_not_shipped_is_no_fault_to_an_editor():
    config = {"hub": {"id": "h"}, "bus": {"b": {"driver": "acme", "gate": 5}}}
    assert list(complaints(config, SCHEMA)) == []


# ---------------------------------------------------------------- the reference


def test_the_reference_in_the_folder_is_the_one_that_the_types_make():
    page = (FOLDER / "README.md").read_text()
    assert page == renew(page, reference(SHIPPED)), "renew it: python -m gateway.config.reference config/README.md"
    assert page.index(BEGIN) < page.index(END)


def test_the_reference_has_every_driver_and_every_kind_of_rule():
    made = reference(SHIPPED)
    assert all(f'`driver = "{name}"`' in made for name in SHIPPED)
    assert all(f'`kind = "{kind}"`' in made for kind in diagnosis.kinds())
    assert '| `keep_alive` | a time from 5 s to 1 h | `"1 min"` | MQTT keep-alive. |' in made
    assert "| `password` | a secret, by reference |  | Its password, by reference. |" in made

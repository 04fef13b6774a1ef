"""The scanner finds in any TOML text the very key paths that the parser finds."""

import string

import tomli
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.config.positions import in_text, line_and_column, scan

BARE = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=4)
ODD = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=4)


def basic(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


KEYS = st.one_of(BARE, ODD.map(basic), st.sampled_from([r'"\u00e9"', "'lit.eral'", "'#'", '"a]b"', "'='", '""', '"x y"']))
DOTTED = st.lists(KEYS, min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from([".", " . ", ". ", "\t."]).map(lambda dot: dot.join(parts))
)
SCALARS = st.one_of(
    st.sampled_from(
        [
            "1", "-17", "+3.5", "0xFF", "1e6", "inf", "nan", "true", "2024-05-01", "2024-05-01 12:00:00Z", "07:32:00",
            '""', "''",
            '"""three"""', "'''three'''", '"""a\nb = 1\n[c]\n# d"""', "'''\nx = \"\"\"\n'''", '"""q"""""', "'''q'''''",
            r'"\"]"', '"# no"', r'"""\""" x"""', "'a\\'", '"""\\\n   folded"""', '"[x]"', '"}"', '"ends in \\\\"',
        ]
    ),
    ODD.map(basic),
    st.integers().map(str),
)  # fmt: skip
GAP = st.sampled_from(["", " ", "\n", "\n  # a ] } comment, \"'\n", "\t"])


def arrays(inner):
    return st.tuples(st.lists(st.tuples(GAP, inner, GAP), max_size=3), st.booleans(), GAP).map(
        lambda made: "[" + ",".join(a + value + b for a, value, b in made[0]) + ("," if made[0] and made[1] else "") + made[2] + "]"
    )


def inline_tables(inner):
    return st.tuples(st.lists(st.tuples(GAP, DOTTED, inner, GAP), max_size=3), st.booleans(), GAP).map(
        lambda made: (
            "{"
            + ",".join(f"{a}{key} = {value}{b}" for a, key, value, b in made[0])
            + ("," if made[0] and made[1] else "")
            + made[2]
            + "}"
        )
    )


VALUES = st.recursive(SCALARS, lambda inner: arrays(inner) | inline_tables(inner), max_leaves=6)
COMMENT = st.sampled_from(["", " # a comment = [x]", "\t#"])
LINES = st.one_of(
    st.tuples(DOTTED, VALUES, COMMENT).map(lambda made: f"{made[0]} = {made[1]}{made[2]}"),
    st.tuples(DOTTED, COMMENT).map(lambda made: f"[{made[0]}]{made[1]}"),
    st.tuples(DOTTED, COMMENT).map(lambda made: f"[[ {made[0]} ]]{made[1]}"),
    st.sampled_from(["", "# only a comment", "   ", "\t# [x]"]),
)


def parsed_paths(value, path=()):
    """Every key path that the parser knows."""
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from parsed_paths(inner, (*path, key))


def accepted(lines):
    """The text of those lines that the parser accepts one after the other: names clash, and then a line is left out."""
    text = ""
    for line in lines:
        longer = f"{text}{line}\n"
        try:
            tomli.loads(longer)
        except tomli.TOMLDecodeError:
            continue
        text = longer
    return text


@settings(max_examples=60)
@given(st.lists(LINES, max_size=12))
@example(["[[a]]", "b = 1", "[a.c]", "d = 2", "[[a]]", "[[a.c]]", "x.y = [1, {z = 3}]"])
@example(["[a.b.c]", "[a]", "b.d = 1"])
def test_the_scanner_finds_the_paths_that_the_parser_finds(lines):
    text = accepted(lines)
    assert set(scan(text)) == set(parsed_paths(tomli.loads(text)))


@settings(max_examples=40)
@given(st.lists(st.tuples(DOTTED, st.integers(), COMMENT), max_size=8))
def test_a_value_stands_where_the_scanner_says(pairs):
    text = accepted(f"{key} = {number}{comment}" for key, number, comment in pairs)
    spots = scan(text)
    for path in parsed_paths(tomli.loads(text)):
        value = tomli.loads(text)
        for part in path:
            value = value[part]
        if isinstance(value, int):
            assert text[spots[path].value :].startswith(str(value))


@given(st.text(max_size=200))
def test_the_scanner_points_into_any_text(text):
    assert all(0 <= spot.key <= spot.value <= len(text) for spot in scan(text).values())


def test_places_are_told_as_people_count():
    text = '[device.freezer-1]\n\nbus = "plant"\n  points = { door = {\n    discrete = 3 } }\n'
    spots = scan(text)
    assert line_and_column(text, spots["device", "freezer-1"].key) == (1, 1)
    assert line_and_column(text, spots["device", "freezer-1", "bus"].key) == (3, 1)
    assert line_and_column(text, spots["device", "freezer-1", "bus"].value) == (3, 7)
    assert line_and_column(text, spots["device", "freezer-1", "points", "door", "discrete"].value) == (5, 16)


PLAIN = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\"'\\").map(lambda one: (one, one))
ESCAPES = st.sampled_from([(r"\"", '"'), (r"\\", "\\"), (r"\n", "\n"), (r"\u00b0", "°"), (r"\U0001F525", "\N{FIRE}")])
JOINED = st.sampled_from([("\\\n   ", ""), ("\\  \n\n", "")])
FORMS = {
    "'{}'": PLAIN,
    '"{}"': st.one_of(PLAIN, ESCAPES),
    "'''\n{}'''": st.one_of(PLAIN, st.just(("\n", "\n"))),
    '"""{}"""': st.one_of(PLAIN, ESCAPES, JOINED),
}


@given(st.sampled_from(list(FORMS)).flatmap(lambda form: st.tuples(st.just(form), st.lists(FORMS[form], max_size=12))))
def test_a_character_of_a_text_is_found_where_it_is_written(made):
    form, pieces = made
    if form.startswith('"""') and pieces and pieces[0][0] == "\n":
        return
    text = "key = " + form.format("".join(raw for raw, _ in pieces)) + "\n"
    value = tomli.loads(text)["key"]
    # Spaces and line ends that follow a backslash at the end of a line are not of the text.
    starts, place = [], text.index(form.partition("{")[0], 6) + len(form.partition("{")[0])
    for raw, plain in pieces:
        starts += [place] * len(plain)
        place += len(raw)
    if len(starts) == len(value):
        assert [in_text(text, 6, index) for index in range(len(value))] == starts

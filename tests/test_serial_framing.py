"""Promises of drivers/serial_line/framing.py."""

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.serial_line.checksum import Checksum, ChecksumKeys
from drivers.serial_line.framing import FrameKeys, Framer, Garbled, octets

NMEA = {"start": "$", "end": "\r\n"}
LINES = {"end": "\r\n"}
DSMR = {"start": "/", "end": "!", "tail": 4}
STX = {"start": "\x02", "end": "\x03", "tail": 1}
FIXED = {"start": "hex: 42 4D", "length": 8}
FIXED_ONLY = {"length": 4}
COUNTED = {"start": "h", "length_field": {"at": 1, "plus": 3}}
COUNTED_ONLY = {"length_field": {"at": 1, "size": 2, "endian": "little", "plus": 4}}
GAP = {"gap": 0.02}

XOR = {"algorithm": "xor"}
SUM16 = {"algorithm": "sum-16", "endian": "big"}
WAYS = [
    (NMEA, {"algorithm": "nmea"}), (NMEA, None), (LINES, None), (LINES, XOR), (DSMR, {"algorithm": "crc-16/arc", "format": "hex"}),
    (STX, {"algorithm": "xor", "skip": 1}), (FIXED, SUM16), (FIXED, None), (FIXED_ONLY, XOR), (COUNTED, XOR), (COUNTED, None),
    (COUNTED_ONLY, XOR), (GAP, None), (GAP, XOR), ({**GAP, "start": "$"}, None),
]  # fmt: skip


def framer(frame, checksum=None, longest=64):
    keys = msgspec.convert({"longest": longest, **frame}, FrameKeys)
    return Framer(keys, Checksum(msgspec.convert(checksum, ChecksumKeys)) if checksum else None)


def frames(way, *pieces):
    return [frame for piece in pieces for frame in way.feed(piece)] + way.idle()


def good(found):
    return [frame for frame in found if not isinstance(frame, Garbled)]


@pytest.mark.parametrize(
    ("frame", "checksum", "data", "says"),
    [
        (LINES, None, b"12.5\r\n13.0\r\n", [b"12.5", b"13.0"]),
        (NMEA, {"algorithm": "nmea"}, b"noise\r\n$A,1*5C\r\n$B*42\r\n", [b"$A,1", b"$B"]),
        (STX, {"algorithm": "xor", "skip": 1}, b"\x02ab\x03\x00\x02\x03\x03", [b"\x02ab\x03", b"\x02\x03"]),
        (FIXED, None, b"??BM123456BM654321", [b"BM123456", b"BM654321"]),
        (COUNTED, XOR, b"h\x02ab\x69", [b"h\x02ab"]),
        (COUNTED_ONLY, None, b"x\x02\x00ab!", [b"x\x02\x00ab!"]),
        (GAP, None, b"anything", [b"anything"]),
    ],
)
def test_each_way_of_framing_finds_its_frames(frame, checksum, data, says):
    found = frames(framer(frame, checksum), data)
    assert good(found) == says


def any_stream():
    """Noise that is full of what frames are made of."""
    crumbs = st.sampled_from(
        [b"\r\n", b"$", b"/", b"!", b"\x02", b"\x03", b"BM", b"h", b"*00", b"$A,1*5C\r\n", b"h\x02ab\x69", b"!0000"]
    )
    return st.lists(st.one_of(crumbs, st.binary(max_size=6)), max_size=30).map(b"".join)


@settings(max_examples=400)
@given(st.sampled_from(WAYS), any_stream(), st.data())
def test_how_a_stream_is_cut_changes_nothing(way, data, draw):
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    at_once = frames(framer(*way, longest=16), data)
    assert frames(framer(*way, longest=16), *pieces) == at_once
    assert frames(framer(*way, longest=16), *(bytes([byte]) for byte in data)) == at_once


@settings(max_examples=200)
@given(st.sampled_from(WAYS), any_stream(), st.integers(1, 40))
def test_the_buffer_never_outgrows_the_longest_frame(way, data, size):
    keep = framer(*way, longest=16)
    for at in range(0, len(data), size):
        keep.feed(data[at : at + size])
        assert len(keep._buffer) <= 16 + size


@pytest.mark.parametrize(
    ("frame", "checksum", "body"),
    [
        (NMEA, {"algorithm": "nmea"}, b"$A,1"),
        (NMEA, None, b"$A,1"),
        (DSMR, {"algorithm": "crc-16/arc", "format": "hex"}, b"/A!"),
        (STX, {"algorithm": "xor", "skip": 1}, b"\x02ab\x03"),
        (FIXED, SUM16, b"BMabcd"),
        (COUNTED, XOR, b"h\x02ab"),
        (COUNTED_ONLY, XOR, b"x\x02\x00ab"),
        (FIXED_ONLY, {"algorithm": "crc-8"}, b"abc"),  # XOR would not do: it takes any rotation of these bytes for a frame
    ],
)
@settings(max_examples=100)
@given(before=any_stream())
@example(before=b"$A,1*5")
@example(before=b"h\xff")
@example(before=b"BM")
@example(before=b"\x02")
def test_after_any_noise_frames_are_found_again(frame, checksum, body, before):
    """Noise costs at most the frames that it could be taken for the beginning of; from then on none is lost."""
    proof = Checksum(msgspec.convert(checksum, ChecksumKeys)).seal(body) if checksum else b""
    whole = body + proof + ("" if frame.get("tail") else frame.get("end", "")).encode()
    longest = 16
    lost, heard = longest // len(whole) + 1, 3
    found = good(frames(framer(frame, checksum, longest), before, whole * (lost + heard)))
    assert found[-heard:] == [body] * heard


def test_a_half_frame_before_a_whole_one_is_left_behind():
    assert good(frames(framer(NMEA), b"$A,1", b"$B,2\r\n")) == [b"$B,2"]
    assert good(frames(framer(NMEA, {"algorithm": "nmea"}), b"$A,1", b"$A,1*5C\r\n")) == [b"$A,1"]


def test_a_false_start_in_noise_costs_no_whole_frame():
    assert good(frames(framer(COUNTED, XOR), b"h\x20", b"h\x02ab\x69", b"\x00" * 40)) == [b"h\x02ab"]
    assert good(frames(framer(FIXED_ONLY, XOR), b"\x07", b"abc\x60")) == [b"abc"]


def test_a_bad_frame_is_told_once_with_its_reason():
    assert frames(framer(NMEA, {"algorithm": "nmea"}), b"$A,1*5D\r\n") == [Garbled("its checksum is wrong")]
    assert frames(framer(LINES, longest=8), b"0123456789\r\n12\r\n") == [Garbled("it does not end within 8 bytes"), b"12"]
    assert frames(framer(FIXED_ONLY, XOR), b"abcdxy") == [Garbled("its checksum is wrong")]
    assert frames(framer({**GAP, "start": "$"}), b"12") == [Garbled("it does not begin as a frame does")]
    assert frames(framer(GAP, longest=4), b"12345") == [Garbled("it does not end within 4 bytes")]


def test_a_bad_frame_after_a_good_one_is_told_again():
    found = frames(framer(COUNTED, XOR), b"h\x20" + b"h\x02ab\x69" + b"h\x02ab\x68" + b"\x00" * 40)
    assert found == [Garbled("its checksum is wrong"), b"h\x02ab", Garbled("its checksum is wrong")]


def test_a_gap_ends_a_frame_and_nothing_else_does():
    way = framer(GAP)
    assert way.feed(b"ab") == []
    assert way.feed(b"cd") == []
    assert way.idle() == [b"abcd"]
    assert way.idle() == []
    assert framer(LINES).idle() == []


def test_reset_forgets_half_a_frame():
    way = framer(LINES)
    way.feed(b"old 1")
    way.reset()
    assert way.feed(b"2\r\n") == [b"2"]


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ({}, "end"),
        ({"start": "$"}, "end"),
        ({"end": "\r\n", "length": 8}, "length"),
        ({"length": 8, "gap": 0.02}, "gap"),
        ({"length": 8, "tail": 1}, "tail"),
        ({"length": 2000}, "length"),
        ({"end": "€"}, "end"),
        ({"start": "hex: 4", "end": "\n"}, "start"),
    ],
)
def test_keys_that_contradict_each_other_are_a_mistake(written, key):
    with pytest.raises(msgspec.ValidationError, match=f"^{key}: "):
        msgspec.convert(written, FrameKeys)


def test_bytes_are_written_as_text_or_in_hex():
    assert octets("\x02A\xff\r") == b"\x02A\xff\r"
    assert octets("hex: 02 41ff 0d") == b"\x02A\xff\r"

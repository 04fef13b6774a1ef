"""The kinds of rule, one file each, which opens with what the kind claims, assumes, where its method is from, and when it sleeps.

A new kind is a new file here; nothing lists it. It has `Keys`, `fits` and `watches` (see `gateway.diagnosis.load_kind`), and a
class of `Watch` (`gateway/diagnosis/watch.py` says how one is asked). To prove it: a rule or two of it in `RULES` of
`tests/test_engine_properties.py`, where it must tell the same asleep as awake and cut as uncut; a test against a slow and obvious
reading of its claim; and a golden story (`tests/golden/README.md`).
"""

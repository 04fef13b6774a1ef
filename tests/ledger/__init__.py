"""The outage ledger: a real hub, a real broker, and everything between and below them fails; what is lost, what is told twice.

`make ledger`, or `cd tests && python -m ledger --hours 1 --seed 7`. Simulated devices give every reading a number of its own and go
beyond their limits all the time, so that nearly every reading is a moment. The ledger keeps its own book: what the hub has promised
(its journal names a moment after `Outbox.put` has returned; its file is read after each kill) and what a subscriber got.
"""

"""Which addresses to ask for together: the cheapest requests that read every wanted span whole. Pure.

An answer carries at most so many registers or bits, and asking costs more than listening, so neighbours are read together and small
gaps between them are read along and thrown away. What that is worth is one number, `max_gap`: a request costs as much as reading
`max_gap` addresses too many, and a little more. Everything else follows from it by adding up: see `plan`.

A device may refuse addresses that nobody listed as refused. `halves` says how to cut a refused block in two to find out where, and
what is to blame when both halves turn out well. Whoever asks keeps what is learnt and plans again with it.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """The addresses from `start` up to, but not including, `end`."""

    start: int
    end: int

    def holds(self, other: "Span") -> bool:
        """Whether all of `other` lies in here."""
        return self.start <= other.start and other.end <= self.end


class Block(NamedTuple):
    """One request: the wanted spans that it reads, in rising order, and from where to where that is."""

    extent: Span
    spans: tuple[Span, ...]


def _block(spans: Sequence[Span]) -> Block:
    return Block(Span(spans[0].start, max(span.end for span in spans)), tuple(spans))


def plan(wanted: Iterable[Span], *, limit: int, max_gap: int, refused: Collection[Span] = ()) -> list[Block]:
    """Blocks, in rising order, such that each wanted span is in exactly one of them, at the least cost.

    limit: the most addresses in a block; no wanted span may be longer.
    max_gap: the most unwanted addresses in a row that a block may bridge. A request is priced at max_gap + 1 addresses, so that
        bridging such a gap just pays.
    refused: no block holds any of these, unless it is one wanted span and nothing else: a device that refuses a span refuses all
        that hold it.

    Shortest path over the spans in rising order: `cost[i]` is the least for the first i spans, `first[i]` where its last block
    begins.
    """
    spans = sorted(set(wanted))
    request = max_gap + 1
    cost = [0, *[len(spans) * (request + limit) + 1] * len(spans)]
    first = [0] * len(cost)
    for begin, (start, end) in enumerate(spans):
        assert end - start <= limit, "a point longer than a block is a mistake that the driver's `check` tells"
        # A block that begins here and reaches this far would hold a refused span.
        barrier = min((bad.end for bad in refused if bad.start >= start), default=start + limit + 1)
        reach = end
        for stop, span in enumerate(spans[begin:], begin + 1):
            gap, reach = span.start - reach, max(reach, span.end)
            if gap > max_gap or reach - start > limit or (reach >= barrier and stop > begin + 1):
                break
            price = cost[begin] + request + reach - start
            if price < cost[stop]:
                cost[stop], first[stop] = price, begin
    blocks: list[Block] = []
    stop = len(spans)
    while stop:
        blocks.append(_block(spans[first[stop] : stop]))
        stop = first[stop]
    return blocks[::-1]


def halves(block: Block) -> tuple[Block, Block, Span]:
    """A block of two or more spans was refused: two smaller ones, and what is to blame if the device answers both in full.

    The cut is made at the widest gap, for a bridged gap is the likeliest culprit; else as near to the middle as can be without
    cutting through a span. To blame is then the gap, or where there is none the two addresses on either side of the cut: some
    devices do not read across the border of two of their own tables, or not so much at once.
    """
    spans = block.spans
    reach = [spans[0].end]  # reach[i]: how far the first i + 1 spans go
    for span in spans[1:]:
        reach.append(max(reach[-1], span.end))
    middle = len(spans) / 2
    clean = [cut for cut in range(1, len(spans)) if reach[cut - 1] <= spans[cut].start]
    if not clean:  # each span overlaps the next: no place is to blame, only the whole
        cut = len(spans) // 2
        return _block(spans[:cut]), _block(spans[cut:]), block.extent
    cut = max(clean, key=lambda cut: (spans[cut].start - reach[cut - 1], -abs(cut - middle)))
    left, right = _block(spans[:cut]), _block(spans[cut:])
    gap = Span(left.extent.end, right.extent.start)
    return left, right, gap if gap.start < gap.end else Span(gap.start - 1, gap.end + 1)

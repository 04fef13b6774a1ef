"""A plan reads every wanted span once, within the limits, never touching what is refused, and no plan is cheaper."""

from functools import cache
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.blocks import Block, Span, halves, plan


@st.composite
def spans(draw, *, most=40, longest=8, within=200):
    """Points as a device has them: any place, some overlapping, some the same."""
    starts = draw(st.lists(st.integers(0, within), min_size=1, max_size=most))
    return [Span(start, start + draw(st.integers(1, longest))) for start in starts]


limits = st.integers(8, 125)
gaps = st.integers(0, 20)


def addresses(span):
    return set(range(*span))


def apart(wanted, refused):
    """What a device that refuses these can still give: the spans that are not refused themselves."""
    return [span for span in wanted if not any(span.holds(bad) for bad in refused)]


@given(spans(), limits, gaps)
def test_every_span_is_read_once_and_whole(wanted, limit, max_gap):
    blocks = plan(wanted, limit=limit, max_gap=max_gap)
    assert sorted(span for block in blocks for span in block.spans) == sorted(set(wanted))
    assert all(block.extent.holds(span) for block in blocks for span in block.spans)


@given(spans(), limits, gaps)
def test_no_block_is_longer_than_the_limit_nor_bridges_more_than_the_bound(wanted, limit, max_gap):
    for block in plan(wanted, limit=limit, max_gap=max_gap):
        assert block.extent.end - block.extent.start <= limit
        useful = sorted(set().union(*map(addresses, block.spans)))
        assert (useful[0], useful[-1] + 1) == block.extent, "a block begins and ends with something wanted"
        assert all(later - earlier - 1 <= max_gap for earlier, later in pairwise(useful))


@given(spans(), st.lists(st.integers(0, 210), max_size=6), limits, gaps)
def test_a_refused_address_is_never_touched(wanted, forbidden, limit, max_gap):
    refused = [Span(address, address + 1) for address in forbidden]
    live = apart(wanted, refused)
    blocks = plan(live, limit=limit, max_gap=max_gap, refused=refused)
    assert not set().union(*(addresses(block.extent) for block in blocks)) & set(forbidden)
    assert sorted(span for block in blocks for span in block.spans) == sorted(set(live))


@given(spans(), st.lists(st.tuples(st.integers(0, 210), st.integers(1, 4)), max_size=6), limits, gaps)
def test_no_block_of_several_spans_holds_a_refused_span(wanted, refused, limit, max_gap):
    refused = [Span(start, start + count) for start, count in refused]
    for block in plan(wanted, limit=limit, max_gap=max_gap, refused=refused):
        assert len(block.spans) == 1 or not any(block.extent.holds(bad) for bad in refused)


@given(spans(most=9, within=60), st.integers(8, 20), st.integers(0, 6))
def test_no_plan_is_cheaper(wanted, limit, max_gap):
    """Against every way of cutting the spans into runs, with a request priced at max_gap + 1 addresses."""
    rising = sorted(set(wanted))

    def price(run):
        covered = sorted(set().union(*map(addresses, run)))
        if covered[-1] + 1 - covered[0] > limit or any(b - a - 1 > max_gap for a, b in pairwise(covered)):
            return float("inf")
        return max_gap + 1 + covered[-1] + 1 - covered[0]

    @cache
    def best(begin):
        if begin == len(rising):
            return 0
        return min(price(rising[begin:stop]) + best(stop) for stop in range(begin + 1, len(rising) + 1))

    blocks = plan(wanted, limit=limit, max_gap=max_gap)
    assert sum(max_gap + 1 + block.extent.end - block.extent.start for block in blocks) == best(0)


def test_fifty_registers_in_a_row_are_one_request():
    assert plan([Span(n, n + 1) for n in range(50)], limit=125, max_gap=0) == [
        Block(Span(0, 50), tuple(Span(n, n + 1) for n in range(50)))
    ]


def test_a_gap_is_bridged_up_to_the_bound_and_no_further():
    near, far = [Span(0, 2), Span(12, 14)], [Span(0, 2), Span(13, 15)]
    assert [block.extent for block in plan(near, limit=125, max_gap=10)] == [(0, 14)]
    assert [block.extent for block in plan(far, limit=125, max_gap=10)] == [(0, 2), (13, 15)]


def test_what_needs_two_requests_anyway_is_cut_at_the_gap():
    wanted = [Span(n, n + 1) for n in (*range(100), *range(105, 130))]
    assert [block.extent for block in plan(wanted, limit=125, max_gap=16)] == [(0, 100), (105, 130)]


# ---------------------------------------------------------------- finding out what is refused


@given(spans(), limits, gaps)
def test_halves_are_smaller_and_lose_nothing(wanted, limit, max_gap):
    for block in plan(wanted, limit=limit, max_gap=max_gap):
        if len(block.spans) > 1:
            left, right, culprit = halves(block)
            assert left.spans + right.spans == block.spans
            assert block.extent.holds(culprit)
            assert left.extent.holds(left.spans[0])
            if culprit != block.extent:
                assert not left.extent.holds(culprit)
                assert not right.extent.holds(culprit)


def test_the_widest_gap_is_suspected_first():
    block = plan([Span(0, 2), Span(3, 5), Span(9, 11), Span(12, 14)], limit=125, max_gap=10)[0]
    left, right, culprit = halves(block)
    assert (left.extent, right.extent, culprit) == ((0, 5), (9, 14), (5, 9))


def test_without_a_gap_the_border_in_the_middle_is_suspected():
    block = plan([Span(n, n + 2) for n in range(0, 8, 2)], limit=125, max_gap=10)[0]
    left, right, culprit = halves(block)
    assert (left.extent, right.extent, culprit) == ((0, 4), (4, 8), (3, 5))

"""A clerk and a desk on a real store: all that lies between a step of an episode and the outbox."""

from gateway import moments
from gateway.clerk import Clerk
from gateway.clock import VirtualClock
from gateway.config.model import Config, Desk, Hub
from gateway.moments import from_wire
from gateway.service.contract import Statement
from gateway.service.desk import Desk as ServiceDesk

from moments_of import change


def config(**keys) -> Config:
    return Config(hub=Hub(id="hub-0042"), uplink=None, desk=Desk(), owners={}, buses={}, devices={}, rules={}, **keys)


class Office:
    """`office.file(1, 2)` files changes about two freezers; `clock` is its time."""

    def __init__(self, store, **keys):
        self.clock = VirtualClock()
        self.store = store
        self.desk = ServiceDesk(config(**keys), store, self.clock, lambda: moments.Hub(clock="synced", version="0"))
        self.clerk = Clerk(config(**keys), store, self.clock)

    def file(self, *numbers, **facts):
        changes = [change(episode=f"warm freezer-{number}/t {number}", at=self.clock.now(), **facts) for number in numbers]
        return self.clerk.file(self.desk, [Statement(change=each) for each in changes])

    def file_one(self, one):
        return self.clerk.file(self.desk, [Statement(change=one)])

    def waiting(self):
        with self.store.transaction():
            return [from_wire(wire).data for (wire,) in self.store.execute("SELECT wire FROM moment ORDER BY seq")]

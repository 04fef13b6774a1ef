"""From readings to episodes. Pure: readings, deadlines and `now` go in, changes come out; no I/O, no clock, no asyncio."""

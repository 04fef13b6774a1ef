"""Small physical models of real machines. Each file says which physics it follows and what goes wrong with it.

A machine is pure: `advance(seconds)` moves its own time on, its attributes are what a sensor in it would read. How it speaks to
the world is the business of `gateway/demo/stage.py`.
"""

"""What would the hub have told? Recorded readings through the same engine, in virtual time, as fast as it can.

history.py   files of readings -> batches in the order of their times
rerun.py     batches -> the moments that there would have been, and what is needed to draw and count them
chart.py     a moment's evidence on a terminal
page.py      one self-contained page: every point with its episodes on it
labels.py    what really happened, and how well the moments tell it
"""

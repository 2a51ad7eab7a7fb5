"""Figures that anyone can measure again: `make bench`, or `python -m benchmarks NAME …` for some of them.

Every figure in the docs comes from here. Load is open-loop where latency is measured: requests are sent when they are
due, whatever the server does, and a latency counts from when its request was due (no coordinated omission).
"""

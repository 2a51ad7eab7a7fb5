"""The safety protocol under a virtual clock: real follower, lease, index, checker and grants over a modelled store.

A seed decides everything (delays, losses, freezes, crashes, failovers), so a schedule that breaks the promise can be
replayed. `World` runs one; `tests/support/broken.py` has the same parts, each with one safety rule taken out.
"""

"""The read side: the whole register in memory, kept current by the change feed, answering checks under a lease.

Refuses to write anything but its own replica row and the lookup log.
"""

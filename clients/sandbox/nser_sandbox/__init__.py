"""Servers of outside parties that the register works with, each a real one that such a party could run.

They import nothing of the register: what they know of it, they know from published formats and public keys.
"""

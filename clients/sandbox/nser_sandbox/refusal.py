"""Why a server of the sandbox does not start: one sentence for the one who runs it."""


class SetupRefused(Exception):
    """What the server was told cannot be used; its text says what, and what to do."""

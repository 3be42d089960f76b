"""The two ways in which a command can fail, each told in one sentence."""


class UserError(Exception):
    """The input is wrong: exit status 2. The message says what is wrong and what would be right."""


class RunError(Exception):
    """The work failed while running: exit status 1. The message says what happened and what is kept."""


class Stopped(Exception):
    """A signal asked the run to stop and its state was saved: exit status 128 + signal."""

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal

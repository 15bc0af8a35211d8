"""How a child process is waited for."""

from __future__ import annotations

import os
import resource
from contextlib import ExitStack

from topology.server.supervised_child import SupervisedChild

_MOST_OF_SELECT = 1024


def test_the_end_is_seen_by_who_has_many_files_open() -> None:
    """Its descriptor has a number then that native select() does not take."""
    child = SupervisedChild("true", 60.0, lambda: None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, _MOST_OF_SELECT + 100), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(_MOST_OF_SELECT + 1):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        child.launch(["sleep", "0.2"])
        stack.callback(child.end)
        child.wait()
        assert child.status == 0

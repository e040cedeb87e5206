"""Going into the background: the command ends once the service is ready, which then goes on.

A shell that evaluates what a command prints waits for the command's end. So a second process is
the service, and the first hands on what that one prints when it is ready.
"""

import os
import signal
import sys


def detach() -> int | None:
    """None in the process that goes on as the service, with a stdout that the other one reads.

    In the other one the exit status: 0 once the service has printed and closed its stdout, or the
    service's own where it ended before.
    """
    ready, said = os.pipe()
    service = os.fork()
    if service == 0:
        os.setsid()  # a Ctrl-C or the end of the terminal is not for the service
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, sys.stdin.fileno())
        os.dup2(said, sys.stdout.fileno())
        for descriptor in (ready, said, nowhere):
            os.close(descriptor)
        return None
    os.close(said)
    try:
        with os.fdopen(ready, encoding="utf-8") as lines:
            text = lines.read()
    except KeyboardInterrupt:
        os.kill(service, signal.SIGTERM)
        raise
    if not text:
        return os.waitstatus_to_exitcode(os.waitpid(service, 0)[1])
    sys.stdout.write(f"{text}# To end it all: kill {service}\n")
    sys.stdout.flush()
    return 0

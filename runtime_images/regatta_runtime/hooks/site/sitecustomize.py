"""Found by Python's `site` module because this folder leads PYTHONPATH: installs the hooks, then makes way.

An image may have a sitecustomize of its own, which this one hides: it is run as well, after ours.
"""

import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))


def _run_the_hidden_one() -> None:
    ours = sys.modules.pop("sitecustomize")
    hidden = [entry for entry in sys.path if os.path.abspath(entry) == _here]
    for entry in hidden:
        sys.path.remove(entry)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as problem:
        if problem.name != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = ours


try:
    from regatta_runtime import hooks

    hooks.install(os.environ)
except Exception as problem:  # whatever is wrong with us, the user's program runs
    print(f"[regatta] no hooks in this process: {type(problem).__name__}: {problem}", file=sys.stderr)
_run_the_hidden_one()

"""Stands in for a container that Prometheus reads: argument 1 says what it answers, argument 2 on which port."""

import itertools
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STEP = "regatta_runtime_steps_total"


def many():
    """Ten thousand series under a name of Regatta's."""
    return (f'{STEP}{{rank="0",series="{number}"}} 1\n' for number in range(10_000))


def endless():
    """Comments without an end."""
    return itertools.repeat("# " + "x" * 10_000 + "\n")


def wide():
    """One series whose label is as long as a novel."""
    return [f'{STEP}{{rank="0",text="{"x" * 100_000}"}} 1\n']


def lies():
    """Series that speak for another namespace, job and rank, some under names of others, from next year."""
    told = 'namespace="kube-system",pod="other",trainingjob="victim",worker="7"'
    yield f'{STEP}{{rank="0",{told}}} 7 {4 * 10**12}\n'
    yield f'{STEP}{{rank="first; drop table",{told}}} 7\n'
    yield f"up{{{told}}} 1\n"
    yield f"kube_pod_info{{{told}}} 1\n"
    yield f"regatta_leader{{{told}}} 1\n"
    yield f"namespace_trainingjob:regatta_goodput:ratio_rate5m{{{told}}} 1\n"


def feed():
    """What a feed tells, and what it has no business to tell."""
    yield "regatta_preprocess_samples_total 5\n"
    yield f"{STEP} 7\n"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        try:
            for text in globals()[sys.argv[1]]():
                self.wfile.write(text.encode())
        except OSError:
            pass  # whoever asked has had enough

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[2])), Handler).serve_forever()

"""The crew: the launchers of one attempt, which start, restart and end their training processes as one.

`coordinator` decides (pure), `service` is its voice on the network (worker 0), `link` is every launcher's line to it.
"""

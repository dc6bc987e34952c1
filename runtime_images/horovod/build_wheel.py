"""Compile Horovod against the framework of an image: `build_wheel.py SITE_PACKAGES VERSION TARGET`.

SITE_PACKAGES holds torch, tensorflow or both; the wheel of this VERSION goes into the folder TARGET. Runs on the Python
of the build's own environment, with what requirements-build.txt lists, a C++ compiler and make; where
HOROVOD_GPU_OPERATIONS is NCCL, not empty, also with a CUDA toolkit and NCCL.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

FRAMEWORKS = {"PYTORCH": "torch", "TENSORFLOW": "tensorflow"}


def show(packages):
    """Let this Python's programs import what lies there; the build's own packages come first."""
    Path(sysconfig.get_path("purelib"), "framework.pth").write_text("%s\n" % packages)


def settings(packages, found):
    """Return the variables that Horovod's build reads."""
    wanted = {"HOROVOD_WITH_GLOO": "1", "HOROVOD_WITHOUT_MPI": "1", "HOROVOD_WITHOUT_MXNET": "1"}
    for name in FRAMEWORKS:
        wanted["HOROVOD_%s_%s" % ("WITH" if name in found else "WITHOUT", name)] = "1"
    front = Path(__file__).resolve().with_name("cxx")
    wanted["CXX"] = str(front)
    wanted["MAKEFLAGS"] = os.environ.get("MAKEFLAGS") or "-j%d" % len(os.sched_getaffinity(0))
    # Horovod's build calls cmake by name.
    wanted["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return wanted


def main(packages, version, target):
    """Build the wheel."""
    found = [name for name, module in FRAMEWORKS.items() if Path(packages, module).is_dir()]
    if not found:
        sys.exit("there is neither torch nor tensorflow in %s" % packages)
    show(packages)
    command = [sys.executable, "-m", "pip", "wheel", "--no-cache-dir", "--no-deps", "--no-build-isolation", "--verbose"]
    environment = dict(os.environ, **settings(packages, found))
    if not environment.get("HOROVOD_GPU_OPERATIONS"):
        environment.pop("HOROVOD_GPU_OPERATIONS", None)  # an empty one is a wrong one
    subprocess.run([*command, "--wheel-dir", target, "horovod==%s" % version], check=True, env=environment)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: build_wheel.py SITE_PACKAGES VERSION TARGET")
    main(*sys.argv[1:])

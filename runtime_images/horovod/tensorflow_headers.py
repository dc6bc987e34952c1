"""Put TensorFlow's headers back, which its image leaves out: `tensorflow_headers.py SITE_PACKAGES`.

They come from the wheel of the very version that is installed. Without TensorFlow there, nothing is done.
"""

import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import distributions
from pathlib import Path

NAMES = ("tensorflow", "tensorflow-cpu")


def installed(packages):
    """Return name and version of the distribution, or None."""
    for found in distributions(path=[packages]):
        name = found.metadata["Name"].lower().replace("_", "-")
        if name in NAMES:
            return name, found.version
    return None


def main(packages):
    """Fetch the wheel and unpack its headers."""
    found = installed(packages)
    if found is None or Path(packages, "tensorflow", "include").is_dir():
        return
    pip = [sys.executable, "-m", "pip", "download", "--no-cache-dir", "--no-deps", "--only-binary", ":all:"]
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([*pip, "--dest", scratch, "%s==%s" % found], check=True)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as content:
            names = [name for name in content.namelist() if name.startswith("tensorflow/include/")]
            content.extractall(packages, names)
    print("%d headers of %s %s" % (len(names), *found))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: tensorflow_headers.py SITE_PACKAGES")
    main(sys.argv[1])

"""Let a CUDA build of torch run on CPUs without 3 GB of CUDA libraries: `cpu_stubs.py SITE_PACKAGES`.

Package registries carry torch for Linux as CUDA builds only. What its libraries are linked against has to be there when
they are loaded, yet nothing of it is called on a machine without a GPU. So for each CUDA library that is missing this
writes an empty one that has the same name and defines the same symbols; whoever calls one of them is told so, and ends.

For tests: a published CPU image takes torch from PyTorch's own index of CPU builds instead. Needs gcc and objdump.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

CUDA = re.compile(r"lib(cu|nv|nccl)")
# Found in the driver at run time, never linked to.
DRIVER = "libcuda.so.1"
# Libraries without symbol versions: their symbols are known by these prefixes alone.
PREFIXES = {"libnccl": "nccl", "libcufile": "cuFile", "libcusparseLt": "cusparseLt", "libnvshmem": "nvshmem"}

BODY = """#include <stdio.h>
#include <stdlib.h>
static int die(void) { fprintf(stderr, "%s is a stub: this installation of torch is for CPUs\\n"); abort(); }
"""


class Wanted:
    """What torch's libraries ask of others: library names, versioned symbols of each, and symbols without a version."""

    def __init__(self):
        self.libraries = set()
        self.versioned = {}
        self.loose = set()

    def read(self, library):
        """Add what one library asks for."""
        headers = objdump("-p", library)
        self.libraries.update(re.findall(r"NEEDED\s+(\S+)", headers))
        owner = {}
        for needed, block in re.findall(r"required from (\S+):\n((?:\s+0x.*\n)+)", headers):
            for line in block.splitlines():
                version = line.split()[-1]
                owner[version] = needed
                self.versioned.setdefault(needed, {}).setdefault(version, set())
        for line in objdump("-T", library).splitlines():
            match = re.search(r"\*UND\*\s+[0-9a-f]+\s+(?:\((\S+)\)\s+|Base\s+)?(\S+)$", line)
            if match and match[1] in owner:
                self.versioned[owner[match[1]]][match[1]].add(match[2])
            elif match:
                self.loose.add(match[2])


def objdump(*arguments):
    """Return what objdump prints."""
    return subprocess.run(["objdump", *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout


def write_stub(folder, name, wanted):
    """Compile one empty library."""
    versions = wanted.versioned.get(name, {})
    loose = {
        symbol
        for library, prefix in PREFIXES.items()
        if name.startswith(library)
        for symbol in wanted.loose
        if symbol.startswith(prefix)
    }
    symbols = sorted(loose.union(*versions.values()))
    with tempfile.TemporaryDirectory() as scratch:
        source, script = Path(scratch, "stub.c"), Path(scratch, "versions")
        source.write_text(BODY % name + "".join("int %s(void) { return die(); }\n" % symbol for symbol in symbols))
        script.write_text("".join(version_node(version, of) for version, of in sorted(versions.items())))
        command = ["gcc", "-w", "-fno-builtin", "-shared", "-fPIC", "-Wl,-soname," + name]
        command += ["-o", str(folder / name), str(source)]
        if versions:
            command.append("-Wl,--version-script=%s" % script)
        subprocess.run(command, check=True)


def version_node(version, symbols):
    """Return one version of a linker's version script."""
    exported = "global: " + "; ".join(sorted(symbols)) + ";" if symbols else ""
    return "%s { %s };\n" % (version, exported)


def main(site_packages):
    """Write a stub for each CUDA library that is asked for and missing."""
    site = Path(site_packages)
    libraries = site / "torch" / "lib"
    if not libraries.is_dir():
        sys.exit("there is no torch in %s" % site)
    wanted = Wanted()
    for library in sorted(libraries.glob("lib*.so*")):
        wanted.read(library)
    present = {path.name for path in (site / "nvidia").rglob("*.so*")} | {path.name for path in libraries.iterdir()}
    missing = sorted(name for name in wanted.libraries - present if CUDA.match(name) and name != DRIVER)
    for name in missing:
        write_stub(libraries, name, wanted)
    print("stubs written: %s" % (" ".join(missing) or "none"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: cpu_stubs.py SITE_PACKAGES")
    main(sys.argv[1])

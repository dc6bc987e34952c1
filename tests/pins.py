"""Pin every version that is installed anywhere: the developer's environment and what goes into the images.

The lists name no index: where packages come from is the business of the machine that installs them.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

REPO: Final = Path(__file__).resolve().parents[1]
IMAGES: Final = "runtime_images"
# What a CPU build of torch has no use for; none of it is imported where there is no GPU.
CUDA: Final = (
    "cuda-bindings",
    "cuda-toolkit",
    "nvidia-cudnn-cu13",
    "nvidia-cusparselt-cu13",
    "nvidia-nccl-cu13",
    "nvidia-nvshmem-cu13",
    "triton",
)
# TensorFlow names it for its own build.
UNUSED: Final = ("libclang",)
# Loads tokenizers from the network, which the feed never does.
UNREACHED: Final = ("huggingface-hub",)
# moto's botocore asks for a python-dateutil before 3, kubernetes for one from 3 on; the tests pass with the latter.
OVERRIDES: Final = ("python-dateutil>=3",)
# In the image on which Horovod's stands, with all that they need.
FRAMEWORKS: Final = ("tensorflow",)


def pin(
    target: str,
    *,
    source: str,
    options: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    instead: tuple[str, ...] = (),
) -> None:
    """Write one list, complete with what the wanted packages need, for every supported Python and machine."""
    uv = [sys.executable, "-m", "uv", "pip", "compile", source, "--universal", "--python-version", "3.11"]
    with tempfile.TemporaryDirectory() as folder:
        excluded, override = Path(folder, "excluded.txt"), Path(folder, "override.txt")
        excluded.write_text("\n".join(without))
        override.write_text("\n".join(instead))
        exclude = ["--excludes", str(excluded)] if without else []
        exclude += ["--override", str(override)] if instead else []
        quietly = ["--quiet", "--no-header", "--no-annotate", "--upgrade"]
        listed = subprocess.run(
            [*uv, *options, *exclude, *quietly], cwd=REPO, check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    wanted = " ".join((source, *options))
    lines = [line for line in listed.splitlines() if not line.startswith("regatta-operator")]
    (REPO / target).write_text("\n".join([f"# Pinned by `make pins` from {wanted}.", *lines]) + "\n")
    print(f"{target}: {len(lines)} packages")


def main() -> None:
    """Write all lists."""
    pin("constraints.txt", source="pyproject.toml", options=("--extra", "dev"), without=UNREACHED, instead=OVERRIDES)
    pin(f"{IMAGES}/operator/requirements.txt", source="pyproject.toml", options=("--extra", "operator"))
    pin(f"{IMAGES}/operator/requirements-build.txt", source=f"{IMAGES}/operator/requirements-build.in")
    pin(f"{IMAGES}/feed/requirements.txt", source=f"{IMAGES}/feed/requirements.in", without=UNREACHED)
    wanted = f"{IMAGES}/pytorch/requirements.in"
    pin(f"{IMAGES}/pytorch/requirements.txt", source=wanted)
    pin(f"{IMAGES}/pytorch/requirements-cpu.txt", source=wanted, without=CUDA)
    for build in ("", "-cpu"):
        wanted = f"{IMAGES}/tensorflow/requirements{build}"
        pin(f"{wanted}.txt", source=f"{wanted}.in", without=UNUSED)
    for part in ("", "-build", "-tensorflow"):
        wanted = f"{IMAGES}/horovod/requirements{part}"
        pin(f"{wanted}.txt", source=f"{wanted}.in", without=FRAMEWORKS)
    # On top of the PyTorch image: what that holds stays as it is.
    wanted = f"{IMAGES}/keras/requirements"
    pin(f"{wanted}.txt", source=f"{wanted}.in", options=("--constraint", f"{IMAGES}/pytorch/requirements.txt"))
    pin(
        "tests/frameworks/requirements.txt",
        source="tests/frameworks/requirements.in",
        options=("--constraint", f"{IMAGES}/keras/requirements.txt"),
        without=CUDA,
    )


if __name__ == "__main__":
    main()

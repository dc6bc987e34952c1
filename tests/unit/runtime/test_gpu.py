"""GPUs as NVIDIA's library tells of them: a small one in its place here, for no test machine has the driver."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from regatta_runtime.measure.gpu import Account, Device, Driver, Watch
from tests.cluster.tool import debian
from tests.cluster.tool.progress import Progress

LIBRARY = r"""
#include <string.h>
#define FIRST (d == (void *)1)
struct rates { unsigned gpu, memory; };
struct memory { unsigned long long total, free, used; };
int nvmlInit_v2(void) { return START; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device) { *device = (void *)(unsigned long)(i + 1); return 0; }
int nvmlDeviceGetUUID(void *d, char *text, unsigned size) { strncpy(text, FIRST ? "GPU-1" : "GPU-2", size); return 0; }
int nvmlDeviceGetName(void *d, char *text, unsigned size) { strncpy(text, "NVIDIA \"X\" 100", size); return 0; }
int nvmlDeviceGetUtilizationRates(void *d, struct rates *r) { r->gpu = FIRST ? 80 : 3; return 0; }
int nvmlDeviceGetMemoryInfo(void *d, struct memory *m) { m->total = 1000; m->used = 250; return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *d, unsigned long long *mj) { *mj = 123456; return FIRST ? 0 : 3; }
int nvmlDeviceGetPowerUsage(void *d, unsigned *mw) { *mw = 70500; return 0; }
"""


def library(folder: Path, *, start: int = 0) -> str:
    debian.ensure({"gcc": "gcc", "/usr/include/string.h": "libc6-dev"}, progress=Progress())
    source, target = folder / "nvml.c", folder / f"libnvidia-ml-{start}.so"
    source.write_text(LIBRARY.replace("START", str(start)))
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", target, source], check=True)
    return str(target)


def samples(lines: list[str]) -> dict[str, str]:
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_each_gpu_is_told_of_in_base_units_and_what_it_does_not_say_is_left_out(tmp_path: Path) -> None:
    driver = Driver(library(tmp_path))
    account = Account(driver.names())
    account.take(100.0, driver.look())
    account.take(101.0, driver.look())
    assert samples(account.lines()) == {
        'regatta_gpu_info{gpu="0",uuid="GPU-1",model="NVIDIA X 100"}': "1",
        'regatta_gpu_info{gpu="1",uuid="GPU-2",model="NVIDIA X 100"}': "1",
        'regatta_gpu_busy_seconds_total{gpu="0"}': "0.8",
        'regatta_gpu_busy_seconds_total{gpu="1"}': "0.03",
        'regatta_gpu_idle_seconds_total{gpu="0"}': "0",
        'regatta_gpu_idle_seconds_total{gpu="1"}': "1",
        'regatta_gpu_memory_used_bytes{gpu="0"}': "250",
        'regatta_gpu_memory_used_bytes{gpu="1"}': "250",
        'regatta_gpu_memory_size_bytes{gpu="0"}': "1000",
        'regatta_gpu_memory_size_bytes{gpu="1"}': "1000",
        'regatta_gpu_energy_joules_total{gpu="0"}': "123.456",
        'regatta_gpu_power_watts{gpu="0"}': "70.5",
        'regatta_gpu_power_watts{gpu="1"}': "70.5",
    }


def test_a_time_in_which_nobody_looked_is_neither_busy_nor_idle() -> None:
    account = Account([("GPU-1", "X")])
    for at, busy in ((0.0, 1.0), (1.0, 1.0), (61.0, 0.0), (62.0, 0.0)):
        account.take(at, [Device(busy)])
    told = samples(account.lines())
    assert told['regatta_gpu_busy_seconds_total{gpu="0"}'] == "1"
    assert told['regatta_gpu_idle_seconds_total{gpu="0"}'] == "1"


def test_the_utilization_is_the_mean_of_all_gpus_over_the_last_minute() -> None:
    account = Account([("GPU-1", "X"), ("GPU-2", "X")])
    assert account.utilization() is None
    for second in range(201):
        account.take(float(second), [Device(1.0 if second > 150 else 0.0), Device(0.0)])
    assert account.utilization() == pytest.approx(50 / 60 / 2)


def test_without_a_driver_or_with_one_that_does_not_start_there_are_no_such_metrics(tmp_path: Path) -> None:
    for name in ("libnvidia-ml-that-is-not-there.so.1", library(tmp_path, start=9)):
        with pytest.raises(OSError, match=r"cannot open|does not start"):
            Driver(name)
        watch = Watch(library=name)
        watch.begin()
        for thread in threading.enumerate():
            if thread.name == "gpu":
                thread.join(10)
        assert watch.lines() == []
        assert watch.utilization() is None

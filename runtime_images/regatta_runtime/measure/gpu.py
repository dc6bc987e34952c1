"""GPUs of this pod, as NVIDIA's driver tells of them, once a second; without a driver there are no such metrics.

Asked in a thread of its own: a driver that hangs must not hang the launcher. The library (NVML) comes with the driver;
the few functions that are needed are called directly, so nothing has to be installed in the image.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, List, NamedTuple, Optional, Tuple

from regatta_runtime.measure.exposition import family

LIBRARY = "libnvidia-ml.so.1"
PERIOD_SECONDS = 1.0
IDLE_BELOW = 0.05  # of its time
# Between two looks that lie further apart than this nothing is known.
LONGEST_GAP_SECONDS = 10.0
LATE_SECONDS = 60.0
_OK = 0


class Device(NamedTuple):
    """One GPU at one moment; None for what this kind of GPU does not tell."""

    busy: Optional[float]  # share of the last moments in which some kernel ran
    used: Optional[int] = None
    size: Optional[int] = None
    joules: Optional[float] = None
    watts: Optional[float] = None


class _Rates(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_ulonglong) for name in ("total", "free", "used"))


class Driver:
    """NVML of this machine; OSError where there is none, or where it does not work."""

    def __init__(self, library: str = LIBRARY) -> None:
        self._nvml = ctypes.CDLL(library)
        if self._call("nvmlInit_v2") is not True:
            raise OSError(f"{library} does not start")
        count = ctypes.c_uint()
        if not self._call("nvmlDeviceGetCount_v2", ctypes.byref(count)):
            raise OSError(f"{library} counts no GPUs")
        self._handles: List[ctypes.c_void_p] = []
        for index in range(count.value):
            handle = ctypes.c_void_p()
            if self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle)):
                self._handles.append(handle)

    def names(self) -> List[Tuple[str, str]]:
        """Identity and model of each GPU."""
        return [(self._text("nvmlDeviceGetUUID", h), self._text("nvmlDeviceGetName", h)) for h in self._handles]

    def look(self) -> List[Device]:
        """All GPUs as they are now."""
        return [self._look(handle) for handle in self._handles]

    def _look(self, handle: ctypes.c_void_p) -> Device:
        rates, memory, energy, power = _Rates(), _Memory(), ctypes.c_ulonglong(), ctypes.c_uint()
        told = self._call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory))
        spent = self._call("nvmlDeviceGetTotalEnergyConsumption", handle, ctypes.byref(energy))
        return Device(
            busy=rates.gpu / 100.0
            if self._call("nvmlDeviceGetUtilizationRates", handle, ctypes.byref(rates))
            else None,
            used=memory.used if told else None,
            size=memory.total if told else None,
            joules=energy.value / 1000.0 if spent else None,
            watts=power.value / 1000.0 if self._call("nvmlDeviceGetPowerUsage", handle, ctypes.byref(power)) else None,
        )

    def _text(self, function: str, handle: ctypes.c_void_p) -> str:
        buffer = ctypes.create_string_buffer(96)
        self._call(function, handle, buffer, ctypes.c_uint(96))
        text = buffer.value.decode("ascii", "replace")
        return "".join(c for c in text if c.isalnum() or c in " -_.")[:64]

    def _call(self, name: str, *arguments: object) -> bool:
        function = getattr(self._nvml, name, None)
        return function is not None and function(*arguments) == _OK


class Account:
    """Adds up what was seen of each GPU."""

    def __init__(self, names: List[Tuple[str, str]]) -> None:
        self._names = names
        self._at: Optional[float] = None
        self._now: List[Device] = []
        self._busy: Dict[int, float] = {}
        self._idle: Dict[int, float] = {}
        self._past: Deque[Tuple[float, float]] = deque()  # what passed of late, and how much of that they were busy
        self._lock = threading.Lock()

    def take(self, at: float, devices: List[Device]) -> None:
        """All GPUs, at one moment."""
        with self._lock:
            passed = 0.0 if self._at is None else at - self._at
            if passed <= LONGEST_GAP_SECONDS:
                for index, device in enumerate(devices):
                    if device.busy is not None:
                        self._busy[index] = self._busy.get(index, 0.0) + passed * device.busy
                        idle = passed if device.busy < IDLE_BELOW else 0.0
                        self._idle[index] = self._idle.get(index, 0.0) + idle
                told = [device.busy for device in devices if device.busy is not None]
                if told and passed:
                    self._past.append((passed, passed * sum(told) / len(told)))
                while sum(passed for passed, _ in self._past) > LATE_SECONDS:
                    self._past.popleft()
            self._at, self._now = at, devices

    def utilization(self) -> Optional[float]:
        """The mean share of the last minute in which a kernel ran, over all GPUs; None before there is one."""
        with self._lock:
            passed = sum(passed for passed, _ in self._past)
            return sum(busy for _, busy in self._past) / passed if passed else None

    def lines(self) -> List[str]:
        """Prometheus' lines; a GPU is its number in this pod."""
        with self._lock:
            now = list(enumerate(self._now))
            info = [({"gpu": str(i), "uuid": uuid, "model": model}, 1.0) for i, (uuid, model) in enumerate(self._names)]
            found: List[Tuple[str, str, str, Dict[int, Optional[float]]]] = [
                ("gpu_busy_seconds_total", "counter", "Time in which a kernel ran", dict(self._busy)),
                ("gpu_idle_seconds_total", "counter", "Time in which the GPU was busy below 5 %", dict(self._idle)),
                ("gpu_memory_used_bytes", "gauge", "Memory in use", {i: _float(d.used) for i, d in now}),
                ("gpu_memory_size_bytes", "gauge", "Memory of the GPU", {i: _float(d.size) for i, d in now}),
                ("gpu_energy_joules_total", "counter", "Energy since the driver began", {i: d.joules for i, d in now}),
                ("gpu_power_watts", "gauge", "Power drawn", {i: d.watts for i, d in now}),
            ]
        lines = family("regatta_gpu_info", "gauge", "What the GPU is", info)
        for name, kind, text, values in found:
            samples = [({"gpu": str(i)}, value) for i, value in values.items() if value is not None]
            lines += family(f"regatta_{name}", kind, text, samples)
        return lines


class Watch:
    """Looks at the GPUs until the process ends."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, library: str = LIBRARY) -> None:
        self._clock = clock
        self._library = library
        self._account: Optional[Account] = None

    def begin(self) -> None:
        """Start looking, if there is a driver."""
        threading.Thread(target=self._run, name="gpu", daemon=True).start()

    def lines(self) -> List[str]:
        """Prometheus' lines; none without a driver."""
        return [] if self._account is None else self._account.lines()

    def utilization(self) -> Optional[float]:
        """That of the last minute; None without a driver."""
        return None if self._account is None else self._account.utilization()

    def _run(self) -> None:
        try:
            driver = Driver(self._library)
            account = Account(driver.names())
            wait = threading.Event()
            while True:
                account.take(self._clock(), driver.look())
                self._account = account
                wait.wait(PERIOD_SECONDS)
        except (OSError, AttributeError, ValueError):
            return


def _float(value: Optional[int]) -> Optional[float]:
    return None if value is None else float(value)

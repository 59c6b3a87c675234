"""Touches the heartbeat file of a run, and measures the process and its machine.

Both happen in a thread of their own, so that a long step does not look like a dead engine. The
thread never touches the event log: the loop reads the newest figures when it writes an event.
"""

import contextlib
import os
import threading

import psutil

from darts_engine.run.errors import UnsafeFileError
from darts_engine.run.events import GpuFigures
from darts_engine.run.folder import HEARTBEAT_S, RunFolder


class Figures:
    """The newest measurements. One thread writes and one reads, whole values only."""

    cpu_percent = 0.0
    rss_bytes = 0
    disk_free_bytes: int | None = None
    gpus: tuple[GpuFigures, ...] = ()


class Heartbeat(threading.Thread):
    """A thread that touches the heartbeat file and measures once a second.

    Args:
        folder: the run whose heartbeat file is touched.

    Attributes:
        gpu_index: the GPU to measure too; None if there is none, or torch is not imported yet.
    """

    gpu_index: int | None = None

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self.figures = Figures()
        self._folder = folder
        self._stopping = threading.Event()
        self._process = psutil.Process()
        self._process.cpu_percent()

    def run(self) -> None:
        """Touch and measure until stopped."""
        gpu: _Gpu | None = None
        while not self._stopping.wait(HEARTBEAT_S):
            # The loop reports a run folder that is gone; measuring goes on.
            with contextlib.suppress(OSError, UnsafeFileError):
                self._folder.beat()
                self.figures.disk_free_bytes = self._folder.free_bytes()
            with contextlib.suppress(psutil.Error):
                self.figures.cpu_percent = self._process.cpu_percent()
                self.figures.rss_bytes = self._process.memory_info().rss
            if gpu is None and self.gpu_index is not None:
                gpu = _Gpu(self.gpu_index)
            if gpu is not None:
                self.figures.gpus = gpu.measure()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self.join(timeout=5)


class _Gpu:
    """One NVIDIA GPU by torch's index, read through NVML. Without NVML it measures nothing."""

    def __init__(self, index: int) -> None:
        self._handle = None
        try:
            import pynvml
        except ImportError:
            return
        try:
            pynvml.nvmlInit()
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
            order = [v for v in visible.split(",") if v]
            name = order[index] if index < len(order) else str(index)
            self._handle = (
                pynvml.nvmlDeviceGetHandleByIndex(int(name))
                if name.isdigit()
                else pynvml.nvmlDeviceGetHandleByUUID(name)
            )
            self._nvml = pynvml
        except (OSError, pynvml.NVMLError):
            self._handle = None

    def measure(self) -> tuple[GpuFigures, ...]:
        if self._handle is None:
            return ()
        nvml = self._nvml
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(self._handle)
            name = nvml.nvmlDeviceGetName(self._handle)
            return (
                GpuFigures(
                    name=name if isinstance(name, str) else name.decode(errors="replace"),
                    utilisation=float(nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu),
                    memory_used_bytes=int(memory.used),
                    memory_total_bytes=int(memory.total),
                    power_w=nvml.nvmlDeviceGetPowerUsage(self._handle) / 1000,
                    temperature_c=float(nvml.nvmlDeviceGetTemperature(self._handle, 0)),
                ),
            )
        except nvml.NVMLError:
            return ()

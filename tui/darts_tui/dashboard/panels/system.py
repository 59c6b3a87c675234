"""Throughput, the parts of a step's time, and the use of the machine."""

from typing import ClassVar

from darts_engine.run.events import GpuFigures, SystemMeasured
from darts_tui.console.event_text import human_bytes
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.panels.panel import Content, Panel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.figures import bar, short_number
from darts_tui.dashboard.widgets.lines import EMPTY, Line, Span, fit, width_of

LABEL, VALUE = 9, 14
MAX_BAR = 64


class SystemPanel(Panel):
    """Throughput, step times, and bars for quantities with an upper limit."""

    TITLE: ClassVar[str] = "System"

    def content(self, view: View, width: int, height: int) -> Content:
        """The newest figures, also while an earlier epoch is shown."""
        figures, started = view.state.system, view.state.started
        if figures is None:
            return Content([(Span("not measured yet", "muted"),)])
        rows = [_speed(figures, width, is_text=view.is_text), *_step_times(figures, width)]
        cpu_share = figures.cpu_percent / 100 / max(1, figures.cpu_count)
        cores = f"{figures.cpu_percent / 100:.1f} / {figures.cpu_count} cores"
        rows.append(_bar_row("CPU", cpu_share, cores, width))
        memory = figures.rss_bytes / max(1, figures.memory_total_bytes)
        sizes = _of(figures.rss_bytes, figures.memory_total_bytes)
        rows.append(_bar_row("memory", memory, sizes, width))
        for number, gpu in enumerate(figures.gpus):
            rows += _gpu_rows(number, gpu, width)
        if figures.disk_free_bytes is not None:
            free = f"{human_bytes(figures.disk_free_bytes)} free"
            rows.append((Span("disk".ljust(LABEL), "muted"), Span(free)))
        if started and height > len(rows) + 2:
            rows += [EMPTY, *_process_rows(view)]
        device = clean(started.device, 24) if started else ""
        return Content(rows, status=(Span(device, "muted"),) if device else ())


def _speed(figures: SystemMeasured, width: int, *, is_text: bool) -> Line:
    long, short = ("tokens/s", "tok/s") if is_text else ("images/s", "img/s")
    count = figures.tokens_per_s if is_text else figures.images_per_s
    rate = f"{count:.0f} {long if width >= 32 else short}" if count is not None else "–"
    step = f"  {short_number(figures.step_ms).strip()} ms/step" if figures.step_ms else ""
    if LABEL + len(rate) + len(step) > width:
        rate, step = rate.replace(long, short), step.removesuffix("/step")
    return (Span("speed".ljust(LABEL), "muted"), Span(rate, "bold"), Span(step))


def _step_times(figures: SystemMeasured, width: int) -> list[Line]:
    """The parts of a step's milliseconds as one divided bar and its legend."""
    parts = [
        (name, value, f"series-{at}")
        for at, (name, value) in enumerate(
            (
                ("weights", figures.weight_ms),
                ("alpha", figures.alpha_ms),
                ("data", figures.data_ms),
            )
        )
        if value is not None
    ]
    total = sum(value for _, value, _ in parts)
    if not total:
        return []
    wide = max(6, min(MAX_BAR + VALUE + 1, width - LABEL))
    divided = [Span("step".ljust(LABEL), "muted")]
    left = wide
    for at, (_, value, role) in enumerate(parts):
        size = left if at == len(parts) - 1 else min(left, round(value / total * wide))
        divided.append(Span("━" * size, role))
        left -= size
    legend = _legend(parts, "  ", " " * LABEL)
    if width_of(legend) > width:
        legend = _legend(parts, " ", "")
    return [tuple(divided), fit(legend, width)]


def _legend(parts: list[tuple[str, float, str]], gap: str, indent: str) -> Line:
    spans = [Span(indent)]
    for at, (name, value, role) in enumerate(parts):
        unit = " ms" if at == len(parts) - 1 else gap
        spans += [Span(f"{name} ", role), Span(f"{value:.0f}{unit}")]
    return tuple(spans)


def _bar_row(label: str, share: float, text: str, width: int) -> Line:
    role = "warning" if share > 0.95 and label != "CPU" else "accent"
    wide = max(4, min(MAX_BAR, width - LABEL - VALUE - 1))
    return (
        Span(label.ljust(LABEL), "muted"),
        *bar(share, wide, role),
        Span(" "),
        Span(text.rjust(VALUE)),
    )


def _of(used: int, total: int) -> str:
    """Used and total in the unit of the total: "0.41 / 8.2 GB"."""
    number, unit = human_bytes(total).split(" ")
    return f"{used / total * float(number):.2g} / {number} {unit}"


def _gpu_rows(number: int, gpu: GpuFigures, width: int) -> list[Line]:
    rows: list[Line] = []
    if gpu.utilisation is not None:
        heat = [f"{gpu.power_w:.0f} W" if gpu.power_w is not None else ""]
        heat += [f"{gpu.temperature_c:.0f} °C" if gpu.temperature_c is not None else ""]
        text = " ".join(filter(None, (f"{gpu.utilisation:.0f} %", *heat)))
        rows.append(_bar_row(f"GPU {number}", gpu.utilisation / 100, text, width))
    if gpu.memory_used_bytes is not None and gpu.memory_total_bytes:
        used, total = gpu.memory_used_bytes, gpu.memory_total_bytes
        rows.append(_bar_row("   memory", used / total, _of(used, total), width))
    return rows


def _process_rows(view: View) -> list[Line]:
    started = view.state.started
    assert started is not None
    engine = f"pid {started.pid} on {clean(started.host, 30)}"
    threads = f"{started.threads} thread{'s' if started.threads != 1 else ''}"
    versions = " · ".join(f"{clean(k, 20)} {clean(v, 20)}" for k, v in started.versions.items())
    size = f"{started.parameters:,} parameters"
    if started.alpha_parameters:
        size += f", {started.alpha_parameters:,} alphas"
    parts = ", ".join(f"{count:,} {clean(name, 20)}" for name, count in started.images.items())
    shape = "x".join(str(side) for side in started.image_shape)
    data = ("images", f"{parts} of {shape}, {len(started.classes)} classes")
    if view.is_text:
        data = ("tokens", f"{parts}; {started.vocabulary or 0:,} different")
    return [
        (Span(label.ljust(LABEL), "muted"), Span(text))
        for label, text in (
            ("network", size),
            data,
            ("engine", f"{engine}, {threads}"),
            ("versions", versions),
        )
    ]

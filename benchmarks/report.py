"""Write what a race found: a page with the table and the machine, and a chart of the ratios."""

from __future__ import annotations

import datetime as dt
import os
import platform
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

LABELS = {"retrograd": "retrograd", "compiled": "compiled", "torch": "torch", "jax": "JAX (jit)"}
HEADS = {
    ("retrograd", "torch"): "eager / torch",
    ("compiled", "torch"): "compiled / torch",
    ("compiled", "jax"): "compiled / JAX",
}
UNITS = {"s": [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")], "B": [(1e6, "MB")]}
COLOURS = {  # by number of threads; gray where there is no such number
    "retrograd": ("tab:gray", "tab:blue", "tab:cyan", "tab:olive"),
    "compiled": ("tab:gray", "tab:red", "tab:orange", "tab:pink"),
}
TICKS = (
    0.01,
    0.02,
    0.03,
    0.05,
    0.07,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    1,
    1.25,
    1.5,
    2,
    3,
    4,
    5,
    7,
    10,
    20,
    50,
    100,
)


def write_report(rows: list[Any], versions: dict[str, str], rounds: int, folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    page, chart = folder / "performance.md", folder / "performance.png"
    draw(rows, chart)
    contenders = [name for name in LABELS if name in versions]
    lines = [
        "# Performance",
        "",
        "Written by `make bench` (benchmarks/race.py); do not edit. The contenders take turns, each in a",
        f"process of its own. Times are medians of {rounds} rounds; a ratio is the median of the rounds'",
        "ratios, with the least and the greatest in brackets; below 1, retrograd is faster. After it stands",
        "what the project aims at. torch runs eagerly; `compiled` is `retrograd.compile` of the step.",
        "",
        *machine(versions),
        "",
        "![Ratios of retrograd's time to torch's](performance.png)",
        "",
        *table(rows, contenders),
    ]
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [page, chart]


def table(rows: list[Any], contenders: list[str]) -> list[str]:
    pairs = [pair for pair in HEADS if any(pair in row.ratios for row in rows)]
    heads = ["workload", "threads", *(LABELS[name] for name in contenders), *(HEADS[p] for p in pairs)]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    notes = []
    for row in rows:
        cells = [row.name, str(row.threads or "")]
        for name in contenders:
            if name in row.failures:
                notes.append(f"{LABELS[name]} failed at `{row.name}`: {row.failures[name]}")
            cells.append("failed" if name in row.failures else amount(row.values.get(name), row.unit))
        if row.limit is not None:
            reached = "reached" if row.values["retrograd"] < row.limit else "missed"
            cells[2] += f"; < {amount(row.limit, row.unit)} {reached}"
        cells += [ratio(row.ratios.get(pair, []), row.targets.get(pair)) for pair in pairs]
        lines.append("| " + " | ".join(cells) + " |")
    return lines + ([""] + [f"- {note}" for note in notes] if notes else [])


def ratio(found: list[float], target: float | None) -> str:
    if not found:
        return ""
    text = f"{median(found):.2f} [{min(found):.2f}, {max(found):.2f}]"
    if target is None:
        return text
    return f"{text}; {target:.2f} {'reached' if median(found) <= target else 'missed'}"


def amount(value: float | None, unit: str) -> str:
    """Write a quantity with three digits in the unit that suits it."""
    if value is None:
        return ""
    scale, name = next(((s, n) for s, n in UNITS[unit] if value >= s), UNITS[unit][-1])
    return f"{value / scale:.3g} {name}"


def machine(versions: dict[str, str]) -> list[str]:
    others = {name: installed(name) for name in ("numpy", "ml_dtypes", "llvmlite")}
    software = {
        "Python": platform.python_version(),
        **{LABELS[n]: v for n, v in versions.items() if n != "compiled"},
        **others,
    }
    return [
        f"- machine: {cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        f"- software: {', '.join(f'{name} {version}' for name, version in software.items())}",
        f"- date: {dt.datetime.now(dt.UTC).date().isoformat()}",
    ]


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"


def installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def draw(rows: list[Any], path: Path) -> None:
    """Draw the ratios to torch's times as bars from 1, on a logarithmic scale; targets are black strokes."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    bars = [
        (row.name, (ours, row.threads), median(found), row.targets.get((ours, theirs)))
        for row in rows
        for (ours, theirs), found in row.ratios.items()
        if theirs == "torch"
    ]
    names = list(dict.fromkeys(name for name, *_ in bars))
    figure, axes = plt.subplots(figsize=(9.5, 1.4 + 0.62 * len(names)), layout="constrained")
    for name, kind, ratio, target in bars:
        kinds = sorted({k for n, k, *_ in bars if n == name}, key=lambda k: (k[0] != "retrograd", k[1]))
        thick = 0.8 / len(kinds)
        y = names.index(name) + (kinds.index(kind) - (len(kinds) - 1) / 2) * thick
        axes.barh(y, ratio - 1, thick * 0.9, left=1, color=colour(*kind))
        axes.annotate(
            f"{ratio:.2f}",
            (ratio, y),
            xytext=(-3 if ratio < 1 else 3, 0),
            textcoords="offset points",
            ha="right" if ratio < 1 else "left",
            va="center",
            fontsize=7,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
        )
        if target is not None:
            axes.plot([target] * 2, [y - thick / 2, y + thick / 2], color="black", linewidth=2)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xscale("log")
    ends = [ratio for _, _, ratio, _ in bars] + [target for *_, target in bars if target]
    axes.set_xlim(min(0.8, *ends) / 1.25, max(1.25, *ends) * 1.25)
    axes.set_xticks([tick for tick in TICKS if axes.get_xlim()[0] < tick < axes.get_xlim()[1]])
    axes.xaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    axes.set_xlabel("retrograd's time / torch's; left of 1 retrograd is faster; black: target")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    shown = sorted({kind for _, kind, *_ in bars if kind[1]}, key=lambda k: (k[0] != "retrograd", k[1]))
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour(*kind)) for kind in shown]
    labels = [
        f"{'eager' if name == 'retrograd' else name}, {count} thread{'s' * (count > 1)}"
        for name, count in shown
    ]
    figure.legend(handles, labels, loc="outside upper right", ncols=4)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def colour(contender: str, threads: int) -> str:
    return COLOURS[contender][min(threads, len(COLOURS[contender]) - 1)]

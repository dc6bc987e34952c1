"""How the report looks: one style sheet, with the ledger's colours for bright and dark screens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["STYLE"]

COLOURS: Final[Mapping[str, str]] = {
    "step": "#56a64b",
    "rework": "#e02f44",
    "data_wait": "#ff780a",
    "checkpoint_save": "#3274d9",
    "checkpoint_restore": "#8ab8ff",
    "eval": "#96d98d",
    "compile": "#a352cc",
    "rendezvous": "#ca95e5",
    "init": "#deb6f2",
    "image_pull": "#f2cc0c",
    "gang_wait": "#cc9d00",
    "restart_backoff": "#8f0f1d",
    "terminating": "#b85c00",
    "idle": "#9a9a9a",
    "unmeasured": "#c4c4c4",
    "queued": "#6b7280",
    "plain0": "#3274d9",
    "plain1": "#ff780a",
    "plain2": "#56a64b",
}

STYLE: Final = (
    """
:root { --ink: #1f2328; --soft: #59636e; --line: #d8dee4; --back: #ffffff; --tile: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #9aa4b0; --line: #343b45; --back: #14171c; --tile: #1d2128; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 Inter, system-ui, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 32px 20px 48px; overflow-wrap: break-word; }
h1 { margin: 0 0 4px; font-size: 30px; line-height: 1.2; } h2 { margin: 40px 0 12px; font-size: 19px; }
p { margin: 6px 0; } .over, .small, footer, .note { color: var(--soft); } .over { margin: 0; }
.phase { font-weight: 600; } .Succeeded, .Running { color: #3f9142; } .Failed { color: #e02f44; }
.note { border-left: 3px solid var(--line); padding-left: 10px; }
.facts { display: flex; flex-wrap: wrap; gap: 10px 32px; margin: 16px 0; }
dt { color: var(--soft); font-size: 13px; } dd { margin: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 12px; margin: 24px 0 0; }
.tile { background: var(--tile); border-radius: 8px; padding: 14px 16px; }
.tile b { display: block; font-size: 24px; line-height: 1.2; } .tile span { color: var(--soft); font-size: 13px; }
table { border-collapse: collapse; width: 100%; margin-top: 14px; font-size: 14px; }
th { text-align: left; font-weight: 500; color: var(--soft); white-space: nowrap; }
.w { overflow-wrap: anywhere; min-width: 110px; } .n { text-align: right; white-space: nowrap; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 8px; }
figure { margin: 20px 0; } figcaption { color: var(--soft); } figcaption b { color: var(--ink); margin-right: 8px; }
svg { display: block; width: 100%; height: auto; border-radius: 6px; margin: 6px 0; }
.line { fill: none !important; stroke-width: 1.6; stroke-linejoin: round; } .grid { stroke: var(--line); }
.mark { stroke: var(--ink); stroke-dasharray: 4 4; opacity: .6; } .axis { fill: var(--soft); font-size: 11px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 13px; }
em { color: var(--soft); font-style: normal; }
code { background: var(--tile); padding: 1px 5px; border-radius: 4px; } footer { margin-top: 48px; font-size: 13px; }
@media print { main { max-width: none; } figure, tr { break-inside: avoid; } }
"""
    + "\n".join(
        f".s-{name} {{ fill: {colour}; stroke: {colour}; }} i.s-{name} {{ background: {colour}; }}"
        for name, colour in COLOURS.items()
    )
    + "\nrect, path:not(.line) { stroke: none; }\n"
)

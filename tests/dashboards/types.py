"""Dashboards against the types that Grafana publishes of its own: a TypeScript file, and what the compiler says."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.cluster.tool.paths import Paths
from tests.dashboards import npm

__all__ = ["complaints"]

PLUGINS: Final = {"timeseries": "TimeSeries", "stat": "Stat", "bargauge": "BarGauge", "table": "Table"}
PANEL_CONFIG: Final = "@grafana/schema/dist/esm/raw/composable/{type}/panelcfg/x/{name}PanelCfg_types.gen"
HEAD: Final = """
// JSON has strings where the types have enumerations.
type Plain<T> = T extends string ? `${T}` : T extends Array<infer U> ? Plain<U>[]
  : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
import type { Dashboard, Panel, RowPanel } from '@grafana/schema';
"""
WITH_FIELDS: Final = ("timeseries", "table")
"""Plugins that have settings of their own for each field; the others' types export none."""


def complaints(board: Mapping[str, Any]) -> str:
    """What the compiler has to say about a dashboard; nothing when all is well."""
    modules = npm.packages(Paths.default()) / "node_modules"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dashboard.ts"
        file.write_text("\n".join(_lines(board)))
        (Path(folder) / "node_modules").symlink_to(modules)
        command = [
            str(modules / ".bin" / "tsc"),
            "--noEmit",
            "--strict",
            "--skipLibCheck",
            "--pretty",
            "false",
            "--target",
            "es2022",
            "--module",
            "nodenext",
            str(file),
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or done.stdout, done.stderr
    return done.stdout


def _lines(board: Mapping[str, Any]) -> Iterator[str]:
    yield HEAD
    for kind, name in PLUGINS.items():
        yield f"import type * as {name} from '{PANEL_CONFIG.format(type=kind, name=name)}';"
    outside = {key: value for key, value in board.items() if key != "panels"}
    yield f"export const board = {json.dumps(outside)} satisfies Plain<Partial<Dashboard>>;"
    for panel in board["panels"]:
        number = panel["id"]
        if panel["type"] == "row":
            yield f"export const row{number} = {json.dumps(panel)} satisfies Plain<RowPanel>;"
            continue
        name = PLUGINS[panel["type"]]
        yield f"export const panel{number} = {json.dumps(panel)} satisfies Plain<Panel>;"
        yield f"export const options{number} = {json.dumps(panel['options'])} satisfies Plain<Partial<{name}.Options>>;"
        if panel["type"] in WITH_FIELDS:
            custom = json.dumps(panel["fieldConfig"]["defaults"].get("custom", {}))
            yield f"export const fields{number} = {custom} satisfies Plain<Partial<{name}.FieldConfig>>;"

"""The few kinds of panels that the dashboards are made of; the only module that knows the SDK.

Whoever replaces the SDK replaces this file: dashboards themselves name nothing of it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

__all__ = [
    "Query",
    "Variable",
    "bars",
    "board",
    "lines",
    "number",
    "query",
    "row",
    "stacked",
    "table_of",
    "to_json",
    "word",
]

SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG: Final = "regatta"
SLOW: Final = "1m"
"""Scrape interval of the operator's metrics of each job: what is shorter finds one sample and no rate."""
TILE: Final = "5m"
"""Least interval of what is counted: each event belongs to one of them, so that they can be added up."""

Panel = Any
Colours = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One line of PromQL, and how its series are called."""

    expr: str
    legend: str = ""
    instant: bool = False
    step: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A choice at the head of a dashboard, filled from the labels of a metric."""

    name: str
    title: str
    values: str
    several: bool = False


def query(expr: str, legend: str = "", *, instant: bool = False, slow: bool = False, tiled: bool = False) -> Query:
    """A query; `slow` where its metrics are scraped once a minute, `tiled` where intervals must not overlap."""
    return Query(expr=expr, legend=legend, instant=instant, step=TILE if tiled else SLOW if slow else "")


def board(
    *,
    uid: str,
    title: str,
    description: str,
    variables: Sequence[Variable],
    panels: Iterable[Panel],
    since: str,
    refresh: str,
) -> Any:
    """A whole dashboard; panels flow into lines of 24 columns, and rows begin new ones."""
    built = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .refresh(refresh)
        .time(since, "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Regatta")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
            .tooltip("The other dashboards of Regatta")
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for each in variables:
        built = built.with_variable(_choice(each))
    for number_of, panel in enumerate(panels, start=1):
        panel = panel.id(number_of)
        built = built.with_row(panel) if isinstance(panel, dashboard.Row) else built.with_panel(panel)
    return built.build()


def row(title: str) -> Panel:
    """A heading across the dashboard."""
    return dashboard.Row(title)


def number(
    title: str,
    words: str,
    asked: Query,
    *,
    unit: str,
    width: int = 4,
    decimals: int | None = None,
    steps: Sequence[tuple[float | None, str]] = ((None, "text"),),
) -> Panel:
    """One number: the last of the time range."""
    panel = (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .graph_mode(shapes.BigValueGraphMode.NONE)
        .color_mode(shapes.BigValueColorMode.VALUE)
        .justify_mode(shapes.BigValueJustifyMode.AUTO)
        .text_mode(shapes.BigValueTextMode.AUTO)
    )
    panel = _dressed(panel, title, words, [asked], unit=unit, width=width, height=4)
    panel = panel if decimals is None else panel.decimals(decimals)
    return panel.thresholds(_steps(steps)).color_scheme(_by_thresholds())


def word(title: str, words: str, asked: Query, *, width: int = 4, colours: Colours | None = None) -> Panel:
    """One word, which is the name of the series."""
    panel = (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .graph_mode(shapes.BigValueGraphMode.NONE)
        .color_mode(shapes.BigValueColorMode.VALUE)
        .justify_mode(shapes.BigValueJustifyMode.AUTO)
        .text_mode(shapes.BigValueTextMode.NAME)
    )
    panel = _dressed(panel, title, words, [asked], unit="none", width=width, height=4)
    return _coloured(panel.color_scheme(_fixed("text")), colours or {})


def lines(
    title: str,
    words: str,
    asked: Sequence[Query],
    *,
    unit: str,
    width: int = 12,
    height: int = 8,
    low: float | None = 0,
    high: float | None = None,
    colours: Colours | None = None,
    calcs: Sequence[str] = ("mean", "lastNotNull"),
    dashed: Sequence[str] = (),
    legend: bool = True,
) -> Panel:
    """Curves over time; `dashed` are those, by the end of their name, that the others are measured against."""
    panel = (
        _curves(calcs, width=width, legend=legend)
        .draw_style(shapes.GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(0)
        .show_points(shapes.VisibilityMode.NEVER)
    )
    panel = _dressed(panel, title, words, asked, unit=unit, width=width, height=height)
    panel = panel if low is None else panel.min(low)
    panel = panel if high is None else panel.max(high)
    for name in dashed:
        dash = {"fill": "dash", "dash": [8, 6]}
        panel = panel.override_by_regexp(f"/{name}$/", [_property("custom.lineStyle", dash), _colour("text")])
    return _coloured(panel.color_scheme(_palette()), colours or {})


def stacked(
    title: str,
    words: str,
    asked: Sequence[Query],
    *,
    unit: str,
    width: int = 12,
    height: int = 8,
    high: float | None = None,
    colours: Colours | None = None,
    calcs: Sequence[str] = ("mean", "lastNotNull"),
    columns: bool = False,
) -> Panel:
    """Areas (or columns) upon one another, so that their height is the whole."""
    panel = (
        _curves(calcs, width=width)
        .draw_style(shapes.GraphDrawStyle.BARS if columns else shapes.GraphDrawStyle.LINE)
        .line_width(0)
        .fill_opacity(85)
        .show_points(shapes.VisibilityMode.NEVER)
        .stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
    )
    panel = _dressed(panel, title, words, asked, unit=unit, width=width, height=height).min(0)
    panel = panel if high is None else panel.max(high)
    return _coloured(panel.color_scheme(_palette()), colours or {})


def bars(
    title: str,
    words: str,
    asked: Query,
    *,
    unit: str,
    width: int = 8,
    height: int = 8,
    colours: Colours | None = None,
    decimals: int | None = None,
) -> Panel:
    """One bar for each series, by the last value."""
    panel = (
        bargauge.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .orientation(shapes.VizOrientation.HORIZONTAL)
        .display_mode(shapes.BarGaugeDisplayMode.BASIC)
        .value_mode(shapes.BarGaugeValueMode.TEXT)
        .name_placement(shapes.BarGaugeNamePlacement.LEFT)
        .show_unfilled(False)
        .sizing(shapes.BarGaugeSizing.MANUAL)
        .min_viz_height(16)
        .max_viz_height(32)
        .text(common.VizTextDisplayOptions().title_size(11).value_size(12))
    )
    panel = _dressed(panel, title, words, [asked], unit=unit, width=width, height=height).min(0)
    panel = panel if decimals is None else panel.decimals(decimals)
    return _coloured(panel.thresholds(_steps(((None, "blue"),))).color_scheme(_by_thresholds()), colours or {})


def table_of(
    title: str,
    words: str,
    columns: Mapping[str, tuple[Query, str]],
    *,
    keys: Mapping[str, str],
    width: int = 24,
    height: int = 9,
    order: str = "",
    gauges: Mapping[str, str] | None = None,
    link: tuple[str, str] | None = None,
) -> Panel:
    """A line for each combination of the labels in `keys` (label to heading), a column for each query with its unit."""
    asked = [each for each, _ in columns.values()]
    letters = {chr(ord("A") + index): name for index, name in enumerate(columns)}
    values = {f"Value #{letter}" if len(columns) > 1 else "Value": name for letter, name in letters.items()}
    panel = _dressed(table.Panel(), title, words, asked, unit="none", width=width, height=height, as_table=True)
    panel = (
        panel.show_header(True)
        .cell_height(shapes.TableCellHeight.SM)
        .color_scheme(_fixed("text"))
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            models.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "includeByName": {},
                    "indexByName": {name: index for index, name in enumerate((*keys, *values))},
                    "renameByName": {**keys, **values},
                },
            )
        )
    )
    for name, (_, unit) in columns.items():
        properties = [_property("unit", unit)]
        if gauges and name in gauges:
            properties += [
                _property("custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}),
                _property("min", 0),
                _property("max", 1),
                _property("decimals", 1),
                _colour(gauges[name]),
            ]
        panel = panel.override_by_name(name, properties)
    if link is not None:
        heading, url = link
        shown = [{"title": "Open the job", "url": url, "targetBlank": False}]
        panel = panel.override_by_name(heading, [_property("links", shown)])
    if order:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(order).desc(True)])
    return panel


def to_json(built: Any) -> str:
    """The dashboard as it is committed."""
    body = json.loads(JSONEncoder(sort_keys=True, indent=2).encode(built))
    # What the SDK writes and Grafana's own types no longer have: settings of intervals on every variable, and a
    # table's footer.
    for variable in body["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            variable.pop(name, None)
    for panel in body["panels"]:
        if panel["type"] == "table":
            panel["options"].pop("footer", None)
    return json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _choice(each: Variable) -> Any:
    choice = (
        dashboard.QueryVariable(each.name)
        .label(each.title)
        .datasource(SOURCE)
        .query({"query": each.values, "refId": each.name, "qryType": 1})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(each.several)
    )
    if not each.several:
        return choice
    everything = models.VariableOption(text="All", value="$__all", selected=True)
    return choice.include_all(True).all_value(".*").current(everything)


def _curves(calcs: Sequence[str], *, width: int, legend: bool = True) -> Any:
    wide = width > 8
    names = (
        common.VizLegendOptions()
        .display_mode(shapes.LegendDisplayMode.TABLE if wide else shapes.LegendDisplayMode.LIST)
        .placement(shapes.LegendPlacement.RIGHT if wide else shapes.LegendPlacement.BOTTOM)
        .show_legend(legend)
        .calcs(list(calcs))
    )
    tooltip = common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING)
    return timeseries.Panel().legend(names).tooltip(tooltip)


def _dressed(
    panel: Panel,
    title: str,
    words: str,
    asked: Sequence[Query],
    *,
    unit: str,
    width: int,
    height: int,
    as_table: bool = False,
) -> Panel:
    panel = panel.title(title).description(words).datasource(SOURCE).unit(unit).span(width).height(height)
    for index, each in enumerate(asked):
        target = prometheus.Dataquery().expr(each.expr).ref_id(chr(ord("A") + index)).datasource(SOURCE)
        target = target.instant() if each.instant else target.range()
        target = target.legend_format(each.legend or "__auto")
        target = target.format(PromQueryFormat.TABLE if as_table else PromQueryFormat.TIME_SERIES)
        panel = panel.with_target(target.interval(each.step) if each.step else target)
    return panel


def _steps(steps: Sequence[tuple[float | None, str]]) -> Any:
    return (
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=value, color=colour) for value, colour in steps])
    )


def _coloured(panel: Panel, colours: Colours) -> Panel:
    for name, colour in colours.items():
        panel = panel.override_by_name(name, [_colour(colour)])
    return panel


def _property(name: str, value: object) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(id_val=name, value=value)


def _colour(colour: str) -> models.DynamicConfigValue:
    return _property("color", {"mode": "fixed", "fixedColor": colour})


def _fixed(colour: str) -> Any:
    return dashboard.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color(colour)


def _palette() -> Any:
    return dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC)


def _by_thresholds() -> Any:
    return dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)

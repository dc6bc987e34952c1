"""Where the chart's Grafana dashboards come from: `python -m charts.dashboards` writes them as JSON."""

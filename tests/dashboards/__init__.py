"""Dashboards on a real Prometheus: invented data to fill them with, and a renderer that draws them."""

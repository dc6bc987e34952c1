"""The way from Regatta's metrics to Prometheus: its rules as the chart renders them, and a Prometheus of our own."""

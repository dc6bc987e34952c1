"""What `make observe` runs: a training run on a real Kubernetes, as Prometheus sees it."""

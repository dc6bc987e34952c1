"""What `make demo` runs: from nothing to a real distributed training run on a real Kubernetes."""

"""The cluster tool: a real Kubernetes on one machine, and the images that run on it. Start reading at `api`."""

"""Regatta: a Kubernetes-native distributed training operator."""

__version__ = "0.1.0"

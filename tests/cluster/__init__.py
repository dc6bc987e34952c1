"""Tests against a real Kubernetes, and the tool that brings one up (`python -m tests.cluster`)."""

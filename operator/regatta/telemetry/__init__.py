"""Operator metrics, and what running jobs tell about their progress."""

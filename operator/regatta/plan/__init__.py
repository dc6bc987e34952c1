"""Decisions, all of them pure: from a job and what is observed of the cluster to what should happen next."""

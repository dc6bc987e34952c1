"""Caffe models for tests: written here, computed by OpenCV, and read by the runtime that is tested."""

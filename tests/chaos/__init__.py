"""Jobs that must come to their right end while everything around them is broken at random; `make chaos` runs it."""

"""How a training script says how many samples its steps really train on: `samples.per_step(2048)`. Optional.

For batches whose first dimension is something else, such as tokens packed together. Outside of Regatta it does nothing.
"""

from __future__ import annotations

from regatta_runtime.measure import meter


def per_step(samples: int) -> None:
    """From now on each step of this process is taken to train on so many samples."""
    measuring = meter.the_one()
    if measuring is not None and isinstance(samples, int) and 0 <= samples < 2**31:
        measuring.set_samples_per_step(samples)

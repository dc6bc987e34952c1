"""Where a training process's time goes: measured in the process, kept and served by its launcher."""

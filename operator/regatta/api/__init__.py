"""What a user writes and reads: the TrainingJob's models, names, validation and generated CRD."""

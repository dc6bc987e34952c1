"""How the operator does with many: the real API server and scheduler, kwok's nodes, and not one container."""

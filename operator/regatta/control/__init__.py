"""Making it happen: keyed queue, reconcile, apply, kopf handlers, main."""

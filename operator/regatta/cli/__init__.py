"""The `regatta` command, which is `kubectl regatta` as well."""
